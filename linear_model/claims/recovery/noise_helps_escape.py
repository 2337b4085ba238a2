"""Claim `noise-helps-escape`: sampling noise shortens the way out of the worst region."""

from __future__ import annotations

import numpy as np

from linear_model.claims.literal import in_blocks
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.problem import Problem
from linear_model.simulation import simulate
from theory.recovery import escape_noise, local_moment
from theory.samples import bstep
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly

ROUNDS = 4
"""So few that c² and v·d/M, which the formula leaves out, stay below 1e-4 at the settings here."""
LEFT_OUT = (
    "sine and length of the moved factor: relative terms c²(2 + κ²d/M) a round, E c⁴ = 3(E c²)²"
)
LITERAL = (3, 2, 20)
"""(d, N, m) of one round on literal data; further directions leave its move along a* alone."""


@claim(
    "noise-helps-escape",
    "Sampling noise helps a random start",
    statement="From a random direction E c_t² → (1 + κ)^(2t)/d + κv((1 + κ)^(2t) − 1)/(2 + κ) as d and "
    "N·m grow, c_t² v and v d/(Nm) being small: the noise adds κv/(2 + κ) to the start's 1/d.",
    latex=r"\mathbb{E}\,c_t^2\approx(1+\kappa)^{2t}\Bigl(\frac1d+\frac{\kappa v}{2+\kappa}\Bigr)"
    r"-\frac{\kappa v}{2+\kappa}",
    source=OURS,
    assumptions=(
        "rank 1",
        "homogeneous clients",
        "no label noise",
        "fresh samples",
        "m > 2",
        "c_t, v, v d/M → 0",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    says="2 % more noise",
    exact="the escape takes log(1 + dκv/(2 + κ))/(2 log(1 + κ)) rounds fewer",
    order=125,
)
def check(
    evidence: Evidence,
    *,
    d: int = 100_000_000,
    clients: int = 10,
    samples: int = 333_335,
    kappa: float = 1.0,
    stretch: float = 1.0,
) -> None:
    """Derive the recursion; measure E c_t² by the chain, and one round's on literal data.

    Args:
        d, clients, samples: d, N and m, of which d and N·m must be so large that c² stays small.
        kappa: step size.
        stretch: multiplies the noise; 1 for the true statement.
    """
    between(1_000_000, 1_000_000_000, d=d)
    between(1, 100, clients=clients)
    between(max(3, d // (100 * clients)), 10**9, samples=samples)
    between(0.1, 1.9, kappa=kappa)
    trials = evidence.pick(600_000, 1_000_000)
    v = stretch * float(bstep.mean_variance(clients, samples))
    problem, method = Problem(d=d, clients=clients, samples=samples), Algorithm2(kappa=kappa)
    stream = evidence.stream("escape", d, clients, samples)
    run = simulate(
        problem, method, simulator="chain", rounds=ROUNDS, trials=trials, start="random", **stream
    )
    squares = (1.0 - run.angle) * (1.0 + run.angle)
    rows, left_out = [], 0.0
    longer = 2.0 + kappa**2 * d / (clients * samples)
    for t in range(1, ROUNDS + 1):
        theory = float(escape_noise.mean_square_cosine(t, kappa, d, v))
        where = f"d = {d}, N = {clients}, m = {samples}, κ = {kappa:g}"
        words = f"E c² after {t} rounds from a random direction, {where}"
        before = float(escape_noise.mean_square_cosine(t - 1, kappa, d, v))
        left_out += 3.0 * longer * (before + v)
        found = evidence.mean(
            words, squares[:, t], equals=theory, correction=left_out * theory, why=LEFT_OUT
        )
        alone = float(escape_noise.mean_square_cosine(t, kappa, d, 0.0))
        rows.append(({"round": t, "theory": theory, "no noise": alone}, found))
    evidence.precise()
    _literal(evidence, kappa, stretch)
    evidence.steps(*escape_noise.derive(exactly(stretch)))
    evidence.argued(
        "the terms left out are of relative order c², v d/M and 1/√M",
        because="they are the second order of the expansion above, and the moved factor's length, whose "
        "square exceeds 1 by κ²β²h², h² ≈ d/M",
    )
    evidence.method(
        f"SymPy from the literal round; {trials:,} runs of the exact chain, and literal data for one round"
    )
    evidence.table(
        lambda: [row | found.columns() | found.errors(row["theory"]) for row, found in rows], PLOT
    )


def _literal(evidence: Evidence, kappa: float, stretch: float) -> None:
    """One round by a plain loop over clients with their samples: ρ̄ alone moves c from 0."""
    d, clients, samples = LITERAL

    def run(trials: int, rng: np.random.Generator) -> np.ndarray:
        beta, pull = np.zeros(trials), np.zeros((trials, d))
        for _ in range(clients):
            X = rng.standard_normal((trials, samples, d))
            g, h = X[..., 0], X[..., 1]  # a is the first axis, a* the second: c = 0
            beta += (g * h).sum(axis=1) / np.square(g).sum(axis=1) / clients
        for _ in range(clients):
            X = rng.standard_normal((trials, samples, d))
            gap = beta[:, None] * X[..., 0] - X[..., 1]
            pull += (gap[:, None] @ X)[:, 0] / (samples * clients)
        return np.square(kappa * beta * pull[:, 1])

    found = in_blocks(evidence, evidence.pick(160_000, 400_000), run)
    # E κ²ρ̄²(γ − wρ̄)²
    v, pooled = float(bstep.mean_variance(clients, samples)), clients * samples
    fourth = float(local_moment.fourth_moment(clients, samples))
    theory = kappa**2 * (stretch * v * (1 + 2 / pooled) + fourth / pooled)
    words = f"E of the squared first move along a* from the equator, d = {d}, N = {clients}, m = {samples}"
    evidence.mean(f"{words} (literal)", found, equals=theory)


PLOT = Plot(
    "round", (Series("measured", "measured", Mark.POINTS, "low", "high"),
        Series("theory", "with the noise's help", Mark.LINE),
        Series("no noise", "without it", Mark.DASHED)),
    "round", "E cos²θ from a random direction",
    "While a random start is far from a*, the b-step's sampling error is a push of its own, as likely to "
    "either side, and is multiplied by 1 + κ a round like the start: it makes the escape shorter.", ylog=True,
)  # fmt: skip

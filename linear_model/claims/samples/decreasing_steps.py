"""Claim `decreasing-steps`: with decreasing steps label noise averages out, like 1/t (theory.md §9)."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from linear_model.claims.literal import Literal, in_blocks, near, tangents
from theory.samples import decreasing_steps as theory
from theory.samples import mean_square_rate as rate
from theory.samples import noise
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly

LENGTH = 1.5
"""B = ‖b*‖."""
SMALL = 1e-4
"""σ/B at which corrections of relative order σ² are invisible."""
START = 4.0
"""S_0 over ν."""
LONG = 100_000
"""Rounds after which the map is compared with its limit."""


@claim(
    "decreasing-steps",
    "Decreasing steps make label noise average out",
    statement="Under label noise the best step of a round, κ_t = S_t/((1 + q)S_t + ν) with "
    "ν = (d − 1)σ²(1 + v)/(B²M), gives 1/S_{t+1} = 1/S_t + 1/(qS_t + ν) for S_t = E s²: t S_t → ν, which is "
    "1 + v times the Cramér–Rao bound of the a-steps' tM samples.",
    latex=r"\kappa_t=\frac{S_t}{(1+q)S_t+\nu},\quad \frac1{S_{t+1}}=\frac1{S_t}+\frac1{qS_t+\nu},\quad "
    r"S_t\sim\frac\nu t=(1+v)\frac{(d-1)\sigma^2}{B^2\,tM}",
    source=OURS,
    assumptions=(
        "rank 1, homogeneous clients",
        "X_i and label noise i.i.d. Gaussian",
        "fresh samples in each half-step",
        "one averaged gradient step on A a round",
        "m > 2",
        "first order in σ², steps known beforehand: S_0, σ and B enter them",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    control_at={"alone": True},
    says="a noise ν 2 % larger",
    exact="with the b-steps' samples counted too, 2(1 + v) times the bound: half of what is drawn fits b",
    order=194,
)
def check(
    evidence: Evidence,
    *,
    d: int = 6,
    clients: int = 2,
    samples: int = 8,
    rounds: int = 8,
    alone: bool = False,
    stretch: float = 1.0,
) -> None:
    """Derive step, map and bound; measure literal runs round by round.

    Args:
        d: width.
        clients: N.
        samples: m, at least 8: with fewer the tails are too heavy for the intervals.
        rounds: of the literal runs, at least 4, so that ν decides.
        alone: whether to leave out the rounds before the last.
        stretch: multiplies the stated ν; 1 for the true statement.
    """
    between(2, 100, d=d)
    between(1, 100, clients=clients)
    between(8, 1_000, samples=samples)
    between(4, 60, rounds=rounds)
    sigma = SMALL * LENGTH
    q = float(rate.noise_ratio(d, clients, samples))
    nu = float(theory.unit_noise(sigma, LENGTH, d, clients, samples))
    steps, _ = theory.schedule(START * nu, q, nu, rounds)
    _, stated = theory.schedule(START * nu, q, stretch * nu, rounds)
    trials = evidence.pick(140_000, 400_000)
    squares = _runs(evidence, d, clients, samples, steps, START * nu, trials)
    words = f"E s²_t/σ², d = {d}, N = {clients}, m = {samples}, t"
    rows: list[tuple[dict[str, Any], Any]] = []
    for t in [rounds] if alone else [rounds, *range(1, rounds)]:
        seen = squares[:, t - 1] / sigma**2
        asked = evidence.mean(f"{words} = {t}", seen, equals=stated[t] / sigma**2)
        rows.append((_row(t, (d, clients, samples), sigma, stated[t]), asked))
    evidence.precise()
    _limit(evidence, (d, clients, samples), q, nu)
    least = theory.least_square(START * nu, rounds, nu) / sigma**2
    evidence.state(
        f"and it is above the bound for every q, {words} = {rounds}", rows[0][1], at_least=least
    )
    evidence.steps(*theory.derive(exactly(stretch)))
    for statement, because in theory.ARGUED:
        evidence.argued(statement, because=because)
    evidence.method(
        f"SymPy: best step, map, bound, information; beside it {trials:,} literal runs, client by client, "
        f"with the steps of the map at σ/B = {SMALL:g}"
    )
    evidence.note(
        "A constant step stops at the floor of claim noise-floor. The factor 1 + v is the noise of the "
        "averaged b; a b-step that pools the clients' normal equations has a smaller one."
    )
    evidence.table(
        lambda: sorted((row | one.columns() for row, one in rows), key=lambda row: row["round"]),
        PLOT,
    )


PLOT = Plot(
    x="round",
    series=(
        Series("measured", "literal runs", Mark.POINTS, low="low", high="high"),
        Series("theory", "the map", Mark.LINE),
        Series("bound", "Cramér–Rao, a-steps' samples", Mark.DASHED),
        Series("constant", "floor at the noiseless best step", Mark.DASHED),
    ),
    xlabel="round t",
    ylabel="E s²/σ²",
    caption="Label noise with steps that decrease as the map says: the angle passes the floor of the "
    "constant step that is best without noise and approaches (1 + v) times the Cramér–Rao bound. Bars: "
    "intervals at 1e-6 together.",
    xlog=True,
    ylog=True,
)


def _row(t: int, sizes: tuple[int, int, int], sigma: float, stated: float) -> dict[str, Any]:
    d, clients, samples = sizes
    kappa = float(rate.optimal_kappa(rate.noise_ratio(*sizes)))
    bound = theory.information_bound(1.0, LENGTH, d, t * clients * samples)
    constant = float(noise.floor(kappa, 1.0, LENGTH, *sizes))
    return {"round": t, "theory": stated / sigma**2, "bound": bound, "constant": constant}


def _runs(
    evidence: Evidence,
    d: int,
    clients: int,
    samples: int,
    steps: np.ndarray,
    start: float,
    trials: int,
) -> np.ndarray:
    """s² after each round of literal runs with these steps: (trials, rounds)."""
    literal = Literal([LENGTH * np.eye(d)[:, :1]] * clients, samples, label=SMALL * LENGTH)

    def run(count: int, rng: np.random.Generator) -> np.ndarray:
        A = near(np.sqrt(start / (d - 1)) * rng.standard_normal((count, d - 1, 1)))
        seen = []
        for kappa in steps:
            A, _ = literal.round(A, kappa / (2.0 * LENGTH**2), rng)
            seen.append(np.square(tangents(A)).sum(axis=(1, 2)))
        return np.stack(seen, axis=1)

    return in_blocks(evidence, trials, run)


def _limit(evidence: Evidence, sizes: tuple[int, int, int], q: float, nu: float) -> None:
    """Of t S_t/ν far out, against the Cramér–Rao bound too."""
    d, clients, samples = sizes
    square = theory.schedule(START * nu, q, nu, LONG)[1][-1]
    bound = theory.information_bound(SMALL * LENGTH, LENGTH, d, LONG * clients * samples)
    evidence.equal(
        f"E s² over the Cramér–Rao bound after {LONG:,} rounds of the map: 1 + v",
        theory.inefficiency(clients, samples),
        square / bound,
        rounding=4.0 * (1.0 + q * log(LONG)) / LONG,
        why="ν/S_t is t up to ν/S_0 and q log t",
    )

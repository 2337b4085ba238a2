"""Claim `too-few-samples`: how many pooled samples are necessary, beside those that are enough."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from linear_model.claims.recovery.literal_chain import beside_chain, literal_angles
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.problem import Problem
from linear_model.run import Run
from linear_model.simulation import simulate
from theory.recovery import sharp_recovery
from theory.recovery.sharp import too_few
from theory.samples import finite_sample
from verification.claim import OURS, claim
from verification.evidence import Evidence, between, exactly
from verification.finding import Mark, Plot, Series
from verification.verdict import Verdict

EPSILON, DELTA, WITHIN = 1e-6, 0.01, 150
"""What is asked for: an angle, a failure, and rounds within which samples count as enough."""
WIDTHS = (10, 100, 1_000)
POOLS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.1, 1.2, 1.3, 1.5, 1.7, 2.0)
"""N·m/d at which the actual threshold is looked for."""
SMALL = 1e-9
"""A start so small that the factor is that of small angles."""


@claim(
    "too-few-samples",
    "On too few pooled samples the angle stays",
    statement="For every angle, 0 < p ≤ d − 3 and N·m = M samples, P(s_T ≤ ε) ≤ ε^p E s_T^(−p) with a mean "
    "that a round multiplies by at most E[(1 − κγ)² + κ²γχ²_(d−2)/M]^(−p/2) near the solution, and by "
    "3^p E[1 + χ²_(M+1)/χ²_(d−2)]^(p/2) elsewhere: so with one sample a client fewer than "
    "`sharp_recovery.least_samples` finds, recovery within T rounds fails with probability above δ.",
    latex=r"P(s_T\le\varepsilon)\le\varepsilon^p\,E\,s_T^{-p},\qquad "
    r"E[s_{t+1}^{-p}]\lesssim E\Bigl[(1-\kappa\gamma)^2+\tfrac{\kappa^2\gamma}{M}\chi^2_{d-2}\Bigr]^{-p/2}"
    r"E[s_t^{-p}]",
    source=OURS,
    assumptions=(
        "rank 1",
        "homogeneous clients",
        "no label noise",
        "fresh samples in each half-step",
        "d ≥ 4",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    control_at={"alone": True},
    says="the factor of a step 2 % longer than the one taken",
    exact="the samples known to be necessary are at least 0.4 of those at which random starts get there, and "
    "from d = 100 on at least 0.7",
    order=122,
)
def check(
    evidence: Evidence,
    *,
    d: int = 1_000,
    clients: int = 2,
    samples: int = 500,
    kappa: float = 1.0,
    alone: bool = False,
    stretch: float = 1.0,
) -> None:
    """Prove the steps; hold factor and bound to runs of chain and literal data, and to the threshold.

    Args:
        d, clients, samples: d, N and m, too few.
        kappa: step size.
        alone: whether to leave out the table.
        stretch: multiplies the step that the factor is for; 1 for the true statement.
    """
    between(4, 1_000_000, d=d)
    between(1, 1_000, clients=clients)
    between(1, 10_000_000, samples=samples)
    between(0.1, 1.5, kappa=kappa)
    cell = d, clients, samples, kappa
    most = too_few.success(WITHIN, *cell, EPSILON, "random")
    if most > 0.5:
        raise ValueError(
            f"samples must be so few that recovery is known to be improbable, got {samples}"
        )
    evidence.share(12)
    trials = evidence.pick(2_000, 20_000)
    reached = _reached(_run(evidence, cell, WITHIN, trials, "own"))
    evidence.proportion(
        f"probability of an angle of at most {EPSILON:g} within {WITHIN} rounds, d = {d}, N = {clients}, "
        f"m = {samples}, κ = {kappa:g}",
        reached, trials, at_most=most,
    )  # fmt: skip
    _factors(evidence, stretch)
    evidence.precise()
    _formulas(evidence)
    if not alone:
        widths = evidence.pick(WIDTHS[1:2], WIDTHS)
        rows = [_threshold(evidence, d, step, trials // 4) for d in widths for step in (0.5, 1.0)]
        evidence.table(rows, PLOT)
    evidence.steps(*too_few.derive(exactly(stretch)), *finite_sample.derive())
    _tell(evidence)


def _tell(evidence: Evidence) -> None:
    evidence.argued(
        "the noise that is alike in all d − 1 directions across a* does not raise E|P|^(−p), p ≤ d − 3",
        because="given ρ̄ and γ it is independent of the rest and rotation-invariant, and the mean of a "
        "superharmonic function over a sphere is at most its value at the centre",
    )
    evidence.argued(
        "E s^(−p) is multiplied by the stated factors",
        because="below s₁, with |ρ̄| and |Ḡx|/|x| no larger than in all but a stated share of runs, the "
        "moved factor's length is at most 1 + k|Ḡx|/|x|; and s⁺ ≥ s/(3Q) always; then Markov's inequality",
    )
    evidence.method(
        "SymPy, python-flint and Z3 for the vector and the inequalities; the factor by sums of chords, which "
        "bound it from above; runs of the exact chain and of literal data beside it"
    )
    evidence.note(
        "Near the solution the mean square grows below M = dκ/(2 − κ), about; the bound on the samples lies "
        "close to it, and the samples at which random starts get there, in so many rounds, hardly above.",
    )


def _run(
    evidence: Evidence, cell: tuple[int, int, int, float], rounds: int, trials: int, name: str,
    start: Any = "random",
) -> Run:  # fmt: skip
    d, clients, samples, kappa = cell
    stream = evidence.stream(name, d, clients, samples, round(1e6 * kappa))
    problem, method = Problem(d=d, clients=clients, samples=samples), Algorithm2(kappa=kappa)
    return simulate(
        problem, method, simulator="chain", rounds=rounds, trials=trials, start=start, **stream
    )


def _reached(run: Run) -> int:
    return int(np.count_nonzero(run.angle[:, -1] <= EPSILON))


def _factors(evidence: Evidence, stretch: float) -> None:
    """The factor near the solution, where ρ̄ is small in the mean; its bound on literal data; one far away."""
    p, wide, kappa = 2.0, (2_000, 50, 40, 0.9), 0.9
    count = evidence.pick(4_000, 40_000)
    factor = float(too_few.inverse_moment(p, stretch * kappa, 0.0, 2_000, 2_000, 256)[0])
    near = _run(evidence, wide, 1, count, "factor", SMALL)
    evidence.mean(
        "E (s/s⁺)² near the solution, d = 2000, N = 50, m = 40, κ = 0.9",
        np.square(SMALL / near.angle[:, 1]),
        equals=factor,
        correction=2e-3 * factor,
        why="the b-step's noise, of variance v = 1/(N(m − 2)), adds a share v to (s⁺/s)²; parts of the laws",
    )
    few = evidence.pick(2_000, 20_000)
    for start in (SMALL, 0.9):
        literal, _ = literal_angles(
            evidence, (12, 3, 6), 0.8, start, 1, few, "few", round(9 * start)
        )
        bound = 3**p * too_few.spread_moment(p, 12, 18)
        if start == SMALL:
            bound = too_few.inverse_moment(p, stretch * 0.8, 0.0, 12, 18)[0]
        evidence.mean(
            "E (s/s⁺)² by a loop over clients with their samples, d = 12, N = 3, m = 6, κ = 0.8, "
            f"sin θ = {start:g}",
            np.square(start / literal[:, 1]),
            at_most=float(bound),
        )
    beside_chain(evidence, (12, 3, 6), 0.8)


def _formulas(evidence: Evidence) -> None:
    """Each formula where it is known in closed form."""
    d, M = 12, 30
    for quantity, theory, found in (
        ("E Q²", 1 + (M + 1) / (d - 4), too_few.spread_moment(2.0, d, M)),
        ("E s⁻² of a random direction", (d - 2) / (d - 3), too_few.start_moment(2.0, d)),
        ("success, on very many samples", 1.0,
            too_few.success(WITHIN, d, 10, 10_000, 1.0, EPSILON, "random")),
    ):  # fmt: skip
        evidence.equal(
            quantity, theory, float(found), rounding=1e-9, why="rounding, and tails of χ²"
        )
    limit = M**2 / ((M - 2) * (M + d - 6))  # E (γ² + γχ²/M)⁻¹ = M² E 1/(BS²), B ~ Beta, S ~ χ²
    long = 1e4
    evidence.equal("the factor of very long steps, κ²E R⁻²", limit,
        long**2 * float(too_few.inverse_moment(2.0, long, 0.0, d, M, 256)[0]),
        rounding=2e-3 * limit, why="the chords of 256 parts")  # fmt: skip
    least = sharp_recovery.least_samples(DELTA, 1_000, 1, 1.0, EPSILON)
    for words, share, short in (("one less than", 1.0, True), ("2 % more than", 1.02, False)):
        m = round(share * least) - 1
        said = too_few.success(WITHIN, 1_000, 1, m, 1.0, EPSILON, "random") < 1 - DELTA
        evidence.equal(f"whether {words} the samples found are known to be too few", short, said)


def _threshold(evidence: Evidence, d: int, kappa: float, trials: int) -> dict[str, Any]:
    """Pooled samples over width: known to be necessary, of those tried the fewest for 99 %, and enough."""
    found, clients = inf, 1
    for pool in reversed(POOLS):
        cell = d, clients, max(3, round(pool * d)), kappa
        if _reached(_run(evidence, cell, WITHIN, trials, "threshold")) < (1 - DELTA) * trials:
            break
        found = cell[2] / d
    asked = DELTA, d, clients, kappa, EPSILON
    least, enough = (f(*asked) / d for f in (sharp_recovery.least_samples, sharp_recovery.samples))
    words = f"random starts, d = {d}, κ = {kappa:g}"
    share = 0.7 if d >= 100 else 0.4
    evidence.at_most(f"samples necessary over samples that do, {words}", 1.0, least / found)
    evidence.at_least(f"samples necessary over samples that do, {words}", share, least / found)
    evidence.at_least(f"samples enough over samples that do, {words}", 1.0, enough / found)
    if d >= 1_000:
        evidence.at_most(f"samples enough over samples that do, {words}", 10.0, enough / found)
    return {
        "cell": f"κ = {kappa:g}", "d": d, "necessary": least, "actual": found, "enough": enough,
        "enough / actual": enough / found, "actual / necessary": found / least,
    }  # fmt: skip


PLOT = Plot(
    "d", (Series("actual", "actual", Mark.POINTS), Series("necessary", "known to be necessary", Mark.LINE),
        Series("enough", "known to be enough", Mark.LINE)),
    "width d", "pooled samples over width",
    "Samples with which 99 % of random starts reach 1e-6 within 150 rounds, one client, between the number "
    "below which that is known to fail and the number known to be enough.",
    group="cell", xlog=True, ylog=True,
)  # fmt: skip

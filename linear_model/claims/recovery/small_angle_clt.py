"""Claim `small-angle-clt`: log s_T of small angles is a sum of independent terms, normal in the long run."""

from __future__ import annotations

from math import ceil, log, sqrt
from typing import Any

import numpy as np

from linear_model.claims.recovery.literal_chain import beside_chain, literal_angles
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.problem import Problem
from linear_model.run import Run
from linear_model.simulation import simulate
from theory.recovery import small_angle
from theory.samples import mean_square_rate
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly

START, FAR = 1e-6, 1e-90
"""A small angle, and one so much smaller that 2 % of the rounds between are many."""
FAILURES = (0.5, 0.1, 0.01)
ADDED, WIDER = 16, 100
"""Rounds whose logarithms are added, and how much larger d and m are there: next orders are then small."""
NEXT = "the next order of R²'s spread, its skewness below 1"


@claim(
    "small-angle-clt",
    "Small angles: independent factors, Markov's rounds and the normal law's",
    statement="At small angles the factors R_t = s_(t+1)/s_t are independent and alike: P(s_T > ε) ≤ "
    "(s₀/ε)² ρ^(2T), ρ² = (1 − κ)² + κ²q, and log s_T is asymptotically normal, with the mean and spread "
    "that E R² and E R⁴ give to second order.",
    latex=r"P(s_T>\varepsilon)\le(s_0/\varepsilon)^2\rho^{2T},\qquad"
    r" \frac{\log(s_T/s_0)-T\mu}{\sigma\sqrt T}\to N(0,1)",
    source=OURS,
    assumptions=(
        "rank 1",
        "homogeneous clients",
        "no label noise",
        "fresh samples",
        "m > 4",
        "s₀ → 0",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 0.98},
    says="a fourth moment E R⁴ 2 % smaller",
    order=123,
)
def check(
    evidence: Evidence,
    *,
    d: int = 400,
    clients: int = 4,
    samples: int = 200,
    kappa: float = 0.6,
    stretch: float = 1.0,
) -> None:
    """Derive E R⁴; measure it, drift, spread and quantiles by the chain, E R² by a loop over clients.

    Args:
        d: at least 50, so that R² scatters little.
        clients, samples: N and m, m at least 12: with fewer the tails are too heavy.
        kappa: step size, so that the angle falls.
        stretch: multiplies the fourth moment; 1 for the true statement.
    """
    between(50, 1_000_000, d=d)
    between(12, 100_000, samples=samples)
    between(0.2, 1.2, kappa=kappa)
    shape = d, clients, samples
    rate = float(mean_square_rate.rate_squared(kappa, mean_square_rate.noise_ratio(*shape)))
    if rate > 0.9:
        raise ValueError(
            f"samples must be so many that the angle falls by 5 % a round, got {samples}"
        )
    trials = evidence.pick(20_000, 200_000)
    run = _run(evidence, shape, kappa, 2, trials, "two", START)
    first, both = (run.angle[:, t] / START for t in (1, 2))
    words = "d = {}, N = {}, m = {}".format(*shape) + f", κ = {kappa:g}"
    fourth = stretch * float(small_angle.fourth_power(kappa, *shape))
    evidence.mean(f"E R⁴, {words}", first**4, equals=fourth)
    evidence.mean(f"E R₁²R₂² is ρ⁴, {words}", both**2, equals=rate**2)
    small, count = (12, 3, 20), evidence.pick(16_000, 40_000)
    literal, _ = literal_angles(evidence, small, kappa, START, 1, count, "small")
    stated = mean_square_rate.rate_squared(kappa, mean_square_rate.noise_ratio(*small))
    said = "E R² by a loop over clients with their samples, d = 12, N = 3, m = 20"
    evidence.mean(said, np.square(literal[:, 1] / START), equals=stated)
    beside_chain(evidence, small, kappa)
    _sums(evidence, (WIDER * d, clients, WIDER * samples), kappa)
    rows = _long(evidence, shape, kappa, rate, words)
    evidence.precise()
    evidence.steps(*small_angle.derive(exactly(stretch)))
    evidence.argued(
        "the factors are independent and alike as s₀ → 0",
        because="each round's noise is new, and R has the angle in s² and sρ̄ alone, which go to 0",
    )
    evidence.argued(
        "log s_T is asymptotically normal",
        because="the central limit theorem for the sum of log R_t, which has a second moment; to second "
        "order in R²'s spread E log R = ½(log ρ² − spread/2) and Var log R = spread/4",
    )
    evidence.method(
        f"SymPy from the literal round; {trials:,} rounds of the exact chain, and a loop over clients with "
        "their samples, which is the chain on the same samples"
    )
    evidence.table(rows, PLOT)


def _run(
    evidence: Evidence, shape: tuple[int, int, int], kappa: float, rounds: int, trials: int, name: str,
    start: float,
) -> Run:  # fmt: skip
    d, clients, samples = shape
    stream = evidence.stream(name, *shape, round(1e6 * kappa))
    problem, method = Problem(d=d, clients=clients, samples=samples), Algorithm2(kappa=kappa)
    return simulate(
        problem, method, simulator="chain", rounds=rounds, trials=trials, start=start, **stream
    )


def _sums(evidence: Evidence, shape: tuple[int, int, int], kappa: float) -> None:
    """Mean and variance of log s after some rounds, in a width where R² scatters little."""
    trials = evidence.pick(96_000, 200_000)
    angle = _run(evidence, shape, kappa, ADDED, trials, "sums", START).angle
    sums = np.log(angle[:, ADDED] / START)
    drift, spread = (float(of(kappa, *shape)) for of in (small_angle.drift, small_angle.spread))
    words = "d = {}, N = {}, m = {}".format(*shape) + f", κ = {kappa:g}"
    evidence.mean(
        f"E log(s_{ADDED}/s₀), {words}", sums, equals=ADDED * drift,
        correction=ADDED / 2 * spread**1.5, why=NEXT,
    )  # fmt: skip
    width = ADDED * spread / 4
    evidence.mean(
        f"Var log s_{ADDED}, {words}", (sums - sums.mean()) ** 2, equals=width,
        correction=sqrt(spread) * width, why=NEXT,
    )  # fmt: skip


def _long(
    evidence: Evidence, shape: tuple[int, int, int], kappa: float, rate: float, words: str
) -> list[dict[str, Any]]:
    """Rounds from a small angle to a tiny one: both laws against the actual quantiles."""
    ratio, trials = START / FAR, evidence.pick(3_000, 6_000)
    horizon = ceil(float(small_angle.markov_rounds(ratio, 1e-4, rate, log=log)))
    angle = _run(evidence, shape, kappa, horizon, trials, "long", START).angle
    drift, spread = (float(of(kappa, *shape)) for of in (small_angle.drift, small_angle.spread))
    needed, rows = np.argmax(angle <= FAR, axis=1), []
    for delta in FAILURES:
        markov = ceil(float(small_angle.markov_rounds(ratio, delta, rate, log=log)))
        failed = int(np.count_nonzero(angle[:, markov] > FAR))
        said = f"P(s_T > ε) at Markov's T = {markov} for {delta:g}, {words}"
        evidence.proportion(said, failed, trials, at_most=delta)
        normal = small_angle.normal_rounds(ratio, delta, kappa, *shape)
        actual = evidence.quantile(
            f"rounds that fail with probability {delta:g}, by the normal law, {words}", needed, 1 - delta,
            equals=normal, correction=1.0 + normal * spread**1.5 / 2 / -drift,
            why="rounds are whole, and the drift has a next order",
        )  # fmt: skip
        rows.append({"delta": delta, "markov": markov, "normal": normal, "actual": actual.measured})
    return rows


PLOT = Plot(
    "delta", (Series("actual", "actual", Mark.POINTS), Series("normal", "normal law", Mark.LINE),
        Series("markov", "Markov's bound", Mark.DASHED)),
    "failure δ", "rounds from 1e-6 to 1e-90",
    "Rounds that reach the target but for a failure δ. Markov's bound needs only the mean square rate; the "
    "normal law, with the exact fourth moment, is where the actual quantiles are.", xlog=True,
)  # fmt: skip

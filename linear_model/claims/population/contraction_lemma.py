"""The contraction lemma: its exact range in the population, and at finitely many samples (theory.md §4)."""

from typing import Any

import numpy as np
import sympy as sp

from linear_model.claims.samples.mean_square_rate import one_round_ratios
from theory.population import contraction_lemma, population_map
from theory.samples import mean_square_rate as rate
from verification.claim import PAPER, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import at_least

ROUNDING = 1e-12
FOUNDATION = 2
"""Steps of the proof without which the others mean nothing."""
WIDE = (10, 400, 1_000)
"""(N, m, d) so wide that a round's factor hardly scatters: the lemma fails nearly always or never."""


@claim(
    "contraction-lemma",
    "The contraction lemma and its exact step size range",
    statement="δ⁺ ≤ δ · sqrt(1 − η(1 − (δ⁰)²)‖b*‖²) in every round.",
    latex=r"\delta^{t+1}\le\delta^t\sqrt{1-\eta\,(1-(\delta^0)^2)\,\|b^*\|^2}",
    source=f"{PAPER}, contraction lemma of the linear model",
    assumptions=(
        "rank 1",
        "homogeneous clients",
        "no label noise",
        "fresh samples in each half-step",
        "step size η ≤ c/L² with ‖b*‖ ≤ L; the paper's constant c is not certain to us",
    ),
    expected=Verdict.HOLDS_UNDER,
    mutant={"stretch": sp.Rational(51, 50)},
    says="the same with every largest step 2 % larger, κ = 1.53 in the population limit",
    exact="m → ∞: true at every angle if and only if κ = 2η‖b*‖² ≤ 3/2, that is η ≤ 3/(4‖b*‖²); without the "
    "factor 2 in the gradient if and only if η ≤ 1/‖b*‖². Finite m: the mean square of a small angle keeps "
    "it if and only if κ(1 + q) ≤ 3/2, q = (d + (d − 1)v)/(Nm)",
    order=40,
)
def check(
    evidence: Evidence,
    *,
    start: sp.Rational = sp.S.One,
    d: int = 5,
    rounds: int = 60,
    clients: int = 10,
    samples: int = 40,
    stretch: sp.Rational = sp.S.One,
) -> None:
    """Find the largest admissible step exactly, prove the lemma up to it, break it above.

    Args:
        start: smallest cos²θ⁰ for which the first comparison's largest κ must do; 1 for every angle.
        d: dimension of the literal rounds and of the finite samples.
        rounds: length of the trajectories.
        clients, samples: N and m of the finite samples, m at least 8: with fewer the tails are too heavy.
        stretch: multiplies the stated largest step sizes; 1 for the true statement.
    """
    y_0 = sp.Rational(str(start))
    if not 0 < y_0 <= 1:
        raise ValueError(f"start must lie in (0, 1], got {start}")
    at_least(2, d=d)
    at_least(1, rounds=rounds)
    between(8, 100_000, samples=samples)
    norm = sp.Symbol("B", positive=True)
    limit = float(stretch * 2 * contraction_lemma.largest_step(norm) * norm**2)
    limit_one = stretch * contraction_lemma.largest_step_without_two(norm) * norm**2
    proof = contraction_lemma.derive(stretch, y_0)
    if len(proof) > FOUNDATION:
        evidence.equal(
            "largest κ = 2η‖b*‖² for which the lemma holds "
            + ("at every angle" if y_0 == 1 else f"in every round from cos²θ⁰ = {y_0}"),
            limit if y_0 == 1 else stretch * contraction_lemma.largest_kappa_from(y_0),
            contraction_lemma.largest_kappa_found(y_0),
            why="found from the roots of the inequality's polynomial, in exact arithmetic",
        )
        evidence.equal(
            "the same without the factor 2 in the gradient (κ = η‖b*‖²)",
            limit_one,
            contraction_lemma.largest_kappa(contraction_lemma.lemma_factor_without_two),
        )
    evidence.at_most(
        f"largest (δ⁺/δ)² ÷ lemma over literal rounds in R^{d} at κ = {limit:g}, 200 angles",
        1.0,
        _worst_literal_ratio(limit, d, evidence.rng()),
        rounding=ROUNDING,
        why="both go to 1 as θ → 90°: there the lemma is tight; at κ = 3/2 also as θ → 0",
    )
    evidence.at_most(
        f"largest δ^t ÷ lemma's geometric bound over {rounds} rounds, κ ≤ {limit:g}, 9 starts",
        1.0,
        _worst_trajectory_ratio(limit, rounds),
        rounding=ROUNDING,
        why="the bound keeps the first angle's cosine; the true one improves every round",
    )
    _mean_square(evidence, (clients, samples, d), float(stretch))
    _probability(evidence, float(stretch))
    evidence.steps(*proof)
    _tell(evidence)
    evidence.table(_excess(limit, float(limit_one)), PLOT)


def _tell(evidence: Evidence) -> None:
    """What no machine checked, and what the numbers mean."""
    evidence.argued(
        "from a start that never lands on angle 0, κ > 2 − cos²θ⁰/2 breaks the lemma in some round",
        because="for κ < 2 the angle tends to 0 without reaching it, where truth exceeds the bound by the "
        "limit above; for κ ≥ 2 it does not fall geometrically, as the lemma promises. Only countably many "
        "starts land on 0 exactly, and for them the lemma holds from then on",
    )
    evidence.argued(
        "the mean square of claim mean-square-rate is the one of finitely many samples as θ → 0",
        because="the limit passes under the expectation, as argued there",
    )
    evidence.record(
        added_assumption="m → ∞ and κ = 2η‖b*‖² ≤ 3/2, that is η ≤ 3/(4‖b*‖²), if ∇ is the true gradient "
        "(factor 2 of the square included); at finite m κ(1 + q) ≤ 3/2, in the mean square of a small angle"
    )
    evidence.method(
        "exact: the inequality's polynomial in cos²θ and κ is decided between its critical values, proved by "
        "non-negative coefficients on either side of the largest κ; rounds on fresh samples by the chain"
    )
    evidence.note(
        "Without the factor 2 in ∇ the lemma is true for exactly η ≤ 1/‖b*‖², so on the whole "
        "range η ≤ 1/L² with ‖b*‖ ≤ L.",
        "With the factor 2, η ≤ 1/‖b*‖² is too much: κ = 2 does not contract at all as θ → 0, "
        "where the lemma promises a factor δ⁰.",
        "From one given start, but for the countably many that land on angle 0 exactly, the range in the "
        "population limit is κ ≤ 2 − cos²θ⁰/2: nearly 2 from a random start in high dimension, 3/2 only when "
        "all starts are to be covered.",
        "At finite m a round's factor is random. Where d is large against √(Nm) it hardly scatters, and the "
        "edge 3/(2(1 + q)) is one of probability too: at κ = 3/2, above it for every m, most rounds break "
        "the lemma.",
    )


def _mean_square(evidence: Evidence, shape: tuple[int, int, int], stretch: float) -> None:
    """At the stated edge the mean square of a round meets the lemma's factor."""
    clients, samples, d = shape
    edge = stretch * float(
        contraction_lemma.largest_kappa_at(rate.noise_ratio(d, clients, samples))
    )
    ratios = one_round_ratios(evidence, shape, edge, evidence.pick(60_000, 600_000), "edge")
    evidence.mean(
        f"E[δ⁺²]/δ² as δ → 0 at κ = 3/(2(1 + q)) = {edge:.4g}, N = {clients}, m = {samples}, d = {d}: the "
        "lemma's factor",
        ratios,
        equals=contraction_lemma.lemma_factor(1.0, edge),
    )


def _probability(evidence: Evidence, stretch: float) -> None:
    """How often a round breaks the lemma on either side of the edge, and at the population's."""
    clients, samples, d = WIDE
    edge = stretch * float(
        contraction_lemma.largest_kappa_at(rate.noise_ratio(d, clients, samples))
    )
    trials = evidence.pick(2_000, 20_000)
    for place, (kappa, share) in enumerate((
        (0.97 * edge, {"at_most": 0.2}),
        (1.03 * edge, {"at_least": 0.8}),
        (1.5, {"at_least": 0.8}),
    )):  # fmt: skip
        ratios = one_round_ratios(evidence, WIDE, kappa, trials, "share", place)
        broken = int(np.count_nonzero(ratios > contraction_lemma.lemma_factor(1.0, kappa)))
        words = (
            f"rounds at small angle that break the lemma at κ = {kappa:.4g}, edge {edge:.4g}, N = {clients}, "
            f"m = {samples}, d = {d}"
        )
        evidence.proportion(words, broken, trials, certify=True, **share)


PLOT = Plot(
    "kappa", (Series("with two", "gradient with the factor 2", Mark.LINE),
        Series("without two", "gradient without it", Mark.DASHED)),
    "κ (2η‖b*‖² with the factor 2, η‖b*‖² without)", "largest (δ⁺/δ)² − lemma's bound over all angles",
    "Above zero the lemma is false at some angle. It stays at zero up to κ = 3/2 "
    "(true gradient) or κ = 1 (gradient without the factor 2); zero, not less, because truth "
    "and bound meet as θ → 90°.",
)  # fmt: skip


def _excess(limit: float, limit_without_two: float) -> list[dict[str, float]]:
    angles = np.linspace(0.0, 1.0, 2001)[1:-1]
    rows = []
    for kappa in np.linspace(0.05, 2.0, 40):
        truth = sine_ratio_squared(angles, kappa)
        rows.append(
            {
                "kappa": float(kappa),
                "with two": float(np.max(truth - contraction_lemma.lemma_factor(angles, kappa))),
                "without two": float(
                    np.max(truth - contraction_lemma.lemma_factor_without_two(angles, kappa))
                ),
                "largest with two": limit,
                "largest without two": limit_without_two,
            }
        )
    return rows


def _worst_literal_ratio(kappa: float, d: int, rng: np.random.Generator) -> float:
    a_star, other = np.linalg.qr(rng.standard_normal((d, 2)))[0].T
    worst = 0.0
    for t in np.geomspace(1e-3, 1e3, 200):
        a = (a_star + t * other) / np.hypot(1.0, t)
        moved = population_map.round_by_vectors(a, a_star, kappa)
        sine = np.linalg.norm(moved - a_star * (a_star @ moved))
        ratio = (sine / np.linalg.norm(a - a_star * (a_star @ a))) ** 2
        worst = max(worst, float(ratio / contraction_lemma.lemma_factor((a_star @ a) ** 2, kappa)))
    return worst


def _worst_trajectory_ratio(limit: float, rounds: int) -> float:
    worst = 0.0
    for kappa in np.linspace(0.1, 1.0, 10) * limit:
        for start in np.geomspace(1e-2, 1e2, 9):
            t, first = start, start / np.hypot(1.0, start)
            shrink = np.sqrt(contraction_lemma.lemma_factor(1.0 / (1.0 + start**2), kappa))
            for round in range(1, rounds + 1):
                t = population_map.next_tangent(t, kappa)
                worst = max(worst, t / np.hypot(1.0, t) / (first * shrink**round))
    return float(worst)


def sine_ratio_squared(y: Any, kappa: Any) -> Any:
    """`(δ⁺/δ)²` of one exact round, from the population map, y = cos²θ in (0, 1), floats or arrays."""
    square = (1 - y) / y
    after = population_map.next_tangent(np.sqrt(square), kappa) ** 2
    return after / (1 + after) / (1 - y)

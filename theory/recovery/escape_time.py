"""How many rounds a random start needs: logarithmically many in d (theory.md §3, last item).

Population map, κ = 2 η ||b*||², start at cos²θ⁰ = 1/d. About
`log(tan θ⁰)/log(1 + κ) + log(1/tan θ_end)/log(1/|1 − κ|)` rounds, tan θ⁰ = sqrt(d − 1): logarithmic in
d, where the theorem's T grows linearly. Exact result: for κ in (0, 1) "about" means within a constant of
κ alone, on either side; for κ in (1, 2) the upper half of that holds (a lucky angle lands on zero at once).
"""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp

from theory.population import plateau, population_map
from theory.recovery import escape_bounds, recovery_theorem
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly
from verification.finding import ProofStep
from verification.proof.identities import identity

BELOW_ONE = (0.25, 0.5, 0.9)
ABOVE_ONE = (1.1, 1.5, 1.9)
MOST_ROUNDS = 100_000


def uniform_rounds(start: float, target: float, kappa: float) -> float:
    """An upper bound on the rounds for every κ in (0, 2), κ = 1 included.

    From the uniform rate alone: `log(start/target)/log(1/max(|1 − κ|, 1/(1 + κ))) + 1`.
    """
    return math.log(start / target) / -math.log(float(plateau.uniform_rate(kappa))) + 1.0


def random_start_tangent(d: int) -> float:
    """Tan θ⁰ of a start with cos²θ⁰ = 1/d, its mean over uniform random directions: sqrt(d − 1)."""
    return math.sqrt(d - 1)


def target_tangent(epsilon: float) -> float:
    """Tan θ where sin θ = ε."""
    return epsilon / math.sqrt(1.0 - epsilon**2)


def rounds_needed(start: float, target: float, kappa: float) -> int:
    """Rounds of the population map from tan θ = start until tan θ ≤ target.

    Raises:
        ValueError: if κ is not in (0, 2), where the map always gets there, or the tangents are not
            positive and finite.
    """
    if not 0.0 < kappa < 2.0:
        raise ValueError(f"kappa must lie strictly between 0 and 2 for recovery, got {kappa}")
    for name, value in (("start", start), ("target", target)):
        if not 0.0 < value < math.inf:
            raise ValueError(f"{name} must be a positive finite tangent, got {value}")
    t, rounds = start, 0
    while t > target:
        t = population_map.next_tangent(t, kappa)
        rounds += 1
        if rounds > MOST_ROUNDS:
            raise ValueError(
                f"kappa must be farther from 0 and 2 for recovery within {MOST_ROUNDS} rounds,"
                f" got {kappa}"
            )
    return rounds


def theorem_rounds(d: int, kappa: float, epsilon: float) -> float:
    """The paper's T with 1 − (δ⁰)² = 1/d, evaluated exactly before it is rounded: linear in d."""
    first = sp.sqrt(sp.Rational(d - 1, d))
    bound = recovery_theorem.rounds_bound(
        first, sp.Rational(str(epsilon)), sp.Rational(str(kappa)), log=sp.log
    )
    return float(bound)


def _theorem_step() -> ProofStep:
    d, epsilon, kappa, first = sp.symbols("d epsilon kappa delta", positive=True)
    return identity(
        "the theorem's T is 4 d log(δ⁰/ε)/κ at (δ⁰)² = 1 − 1/d: linear in d",
        recovery_theorem.rounds_bound(first, epsilon, kappa, log=sp.log),
        4 * d * sp.log(first / epsilon) / kappa,
        where={first: sp.sqrt(1 - 1 / d)},
    )


@claim(
    "escape-time",
    "From a random start: logarithmically many rounds, not linearly many",
    statement="For κ in (0, 1) the population map goes from tan θ⁰ ≥ 1 to tan θ ≤ t ≤ 1 in "
    "log(tan θ⁰)/log(1 + κ) + log(1/t)/log(1/(1 − κ)) rounds, up to constants of κ alone, which are what the "
    "bounds on the two phases' corrections add up to; with cos²θ⁰ = 1/d this is "
    "logarithmic in d, the theorem's T is linear.",
    latex=r"T=\frac{\log\sqrt{d-1}}{\log(1+\kappa)}+\frac{\log(1/\tan\theta_{\rm end})}"
    r"{\log(1/(1-\kappa))}+O_\kappa(1)",
    source=OURS,
    assumptions=("rank 1", "population limit m → ∞", "homogeneous clients", "no label noise"),
    expected=Verdict.PROVED,
    mutant={"stretch": 1.02},
    control_at={"d": 10**200, "epsilon": 1e-12},  # rounds alone tell the bounds apart there
    says="the bounds of a step 2 % longer than the one taken",
    exact="between −[κ(1+κ)/((2+κ)log(1+κ)) + log((2+κ)/(2−κ))/log(1/(1−κ))] and "
    "+[2 + κ(1+κ)²/((1−κ)(2+κ)log(1/(1−κ)))] rounds off the approximation; for κ in (1, 2) "
    "at most 3/2 + log(1/(κ−1))/(2 log(1+κ)) over it. "
    "These constants, and no looser ones, are the sums of the phases' bounds",
    order=70,
)
def check(
    evidence: Evidence,
    *,
    d: int = 10**12,
    kappa: float = 0.5,
    epsilon: float = 1e-6,
    stretch: float = 1.0,
) -> None:
    """Prove the logarithmic bounds, count the rounds of the map for d up to 10^12.

    Args:
        d, kappa: dimension and step size of the first three comparisons.
        epsilon: sin θ of the target.
        stretch: multiplies the step of the bounds; 1 for the true statement.
    """
    between(2, 10**200, d=d)  # the map cubes tan θ⁰ ≈ √d
    between(0.01, 0.99, kappa=kappa)
    between(1e-12, 0.1, epsilon=epsilon)
    dimensions = [10**k for k in evidence.pick((1, 2, 4, 6, 8, 10, 12), tuple(range(1, 13)))]
    below = [_below_one(n, step, epsilon, stretch) for step in BELOW_ONE for n in dimensions]
    above = [_above_one(n, step, epsilon) for step in (1.0, *ABOVE_ONE) for n in dimensions]
    seen = _below_one(d, kappa, epsilon, stretch)
    evidence.at_most(
        f"rounds to sin θ ≤ {_short(epsilon)} from a random start in d = {_short(d)}, κ = {kappa:g}, "
        "under the proved logarithmic bound",
        seen["upper"],
        seen["rounds"],
        why="the bound rounds each of the two phases up and sums their corrections generously",
    )
    evidence.at_least("the same over the proved lower bound", seen["lower"], seen["rounds"])
    evidence.at_most(
        "the same against the theorem's T",
        seen["theorem"],
        seen["rounds"],
        why="T charges every round with the first, worst angle: linear in d",
    )
    for what, rows, upper, lower in (
        ("rounds − upper bound", below, "rounds", "upper"),
        ("lower bound − rounds", below, "lower", "rounds"),
        ("rounds − upper bound", above, "rounds", "upper"),
    ):
        where = "below 1" if rows is below else "in [1, 2)"
        evidence.at_most(
            f"largest {what}, {len(rows)} pairs of d and κ {where}",
            0.0,
            max(row[upper] - row[lower] for row in rows),
        )
    _parts(evidence, epsilon)
    evidence.steps(*escape_bounds.derive(exactly(stretch)), _theorem_step())
    evidence.method(
        "SymPy: exact corrections to either phase, and potentials that fall by a fixed amount a round; "
        "rounds counted on the map, and on vectors for d = 10^4"
    )
    low = _below_one(10**4, 0.5, epsilon)
    evidence.note(
        f"At d = 10^4, κ = 0.5, ε = {_short(epsilon)}: {low['rounds']} rounds against the theorem's "
        f"{low['theorem']:.3g}.",
        "For κ in (1, 2) no lower bound exists: the start tan²θ⁰ = κ − 1 lands on zero in one "
        "round. At κ = 1 the contraction is cubic and the approximation's second term is zero.",
    )
    evidence.table(below, replace(PLOT, ylabel=f"rounds to sin θ ≤ {_short(epsilon)}"))
    evidence.extra_table("step sizes from 1 to 2", above)


PLOT = Plot(
    "d", (Series("rounds", "rounds of the map", Mark.POINTS),
        Series("approximate", "approximation", Mark.LINE, low="lower", high="upper"),
        Series("theorem", "theorem's T", Mark.DASHED)),
    "dimension d (start at cos²θ⁰ = 1/d)", "rounds",
    "Rounds grow with log d and stay inside the proved band (shaded, on this scale "
    "hardly wider than the line), whose width depends on κ alone. The theorem's T is linear "
    "in d because it charges every round with the cosine of the first angle, while in truth "
    "the cosine grows by 1 + κ a round.", group="kappa", xlog=True, ylog=True,
)  # fmt: skip


def _short(number: float) -> str:
    """10^12 and 1e-6, in place of 1e+12 and 1e-06."""
    power = re.fullmatch("1(0{3,})", str(number))
    return f"10^{len(power[1])}" if power else f"{number:g}".replace("e-0", "e-")


def _below_one(d: int, kappa: float, epsilon: float, stretch: float = 1.0) -> dict[str, Any]:
    """Counted rounds beside the bounds of a step `stretch` times as long, κ in (0, 1)."""
    start, target = random_start_tangent(d), target_tangent(epsilon)
    stated = min(stretch * kappa, 0.99)
    about = escape_bounds.approximate_rounds(start, target, stated)
    return {
        "kappa": kappa,
        "d": d,
        "rounds": rounds_needed(start, target, kappa),
        "approximate": about,
        "upper": about + escape_bounds.extra_rounds(stated),
        "lower": about - escape_bounds.spared_rounds(stated),
        "theorem": theorem_rounds(d, kappa, epsilon),
    }


def _above_one(d: int, kappa: float, epsilon: float) -> dict[str, Any]:
    """Counted rounds beside the better of the two upper bounds, κ in [1, 2)."""
    start, target = random_start_tangent(d), target_tangent(epsilon)
    bound = uniform_rounds(start, target, kappa)
    if kappa > 1.0:
        about = escape_bounds.approximate_rounds(start, target, kappa)
        bound = min(bound, about + float(escape_bounds.extra_rounds_above_one(kappa)))
    return {"kappa": kappa, "d": d, "rounds": rounds_needed(start, target, kappa), "upper": bound}


def _parts(evidence: Evidence, epsilon: float) -> None:
    """What the counts rest on: start, target, T, the uniform rate, and rounds on vectors, at κ = 0.5."""
    start, target = random_start_tangent(10**6), target_tangent(epsilon)
    low, high = (_below_one(n, 0.5, epsilon) for n in (10**4, 10**12))
    compared = (
        ("rounds added per factor 10^8 in d, κ = 0.5",
            high["approximate"] - low["approximate"], high["rounds"] - low["rounds"], 1.0,
            "rounds are whole"),
        ("cos²θ of the start × d, d = 10^4", 1.0, 10**4 / (1.0 + random_start_tangent(10**4) ** 2), 1e-12,
            "rounding"),
        ("sin θ of the target ÷ ε", 1.0, math.sin(math.atan(target)) / epsilon, 1e-12, "rounding"),
        ("the theorem's T at d = 10^4, κ = 0.5 against 4 d log(δ⁰/ε)/κ",
            4e4 * (math.log(1 / epsilon) + 0.5 * math.log1p(-1e-4)) / 0.5, low["theorem"], 1e-6,
            "rounding of a number of the size 10^6"),
        ("start × (uniform rate)^(uniform bound − 1) ÷ target, κ = 1.5", 1.0,
            start * float(plateau.uniform_rate(1.5)) ** (uniform_rounds(start, target, 1.5) - 1.0) / target,
            1e-9, "rounding of a power"),
        ("rounds counted on literal vectors in R^10000, κ = 0.5", low["rounds"],
            _literal_rounds(10**4, 0.5, epsilon), 0.0, ""),
    )  # fmt: skip
    for quantity, theory, measured, rounding, why in compared:
        evidence.equal(quantity, theory, measured, rounding=rounding, why=why)


def _literal_rounds(d: int, kappa: float, epsilon: float) -> int:
    a_star = np.full(d, d**-0.5)  # cos²θ⁰ = 1/d against the first unit vector
    a = np.zeros(d)
    a[0] = 1.0
    for rounds in range(1, 1000):
        a = population_map.round_by_vectors(a, a_star, kappa)
        if np.linalg.norm(a - a_star * (a_star @ a)) <= epsilon:
            return rounds
    return -1

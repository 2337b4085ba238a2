"""What the population map does at every step size: rate, threshold, plateau (theory.md §3).

Exact result, κ = 2 η ||b*||²: local rate |1 − κ|; the angle falls to zero by a uniform factor if and only
if κ < 2; for κ > 2 every start (but the countably many that land on 0) locks to the plateau
`tan²θ = (κ − 2)/(κ + 2)`, where one more round multiplies the deviation by `8/κ² − 1`.
"""

import math
from typing import Any

import numpy as np
import sympy as sp

from theory.population import population_map
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly
from verification.finding import ProofStep
from verification.proof.identities import identity, nonnegative_on_box, rational_identity

STEPS = (2.05, 2.2, 2.5, 2.8284271247461903, 3.0, 4.0, 6.0, 12.0)
STARTS = (1e-3, 0.3, 1.7, 1e3)
ROUNDS = 4000


def local_rate(kappa: Any) -> Any:
    """Factor by which a small angle changes in one round, `|1 − κ|`. Source: theory.md §3."""
    return abs(1 - kappa)


def uniform_rate(kappa: Any) -> Any:
    """The largest tan θ⁺/tan θ over all angles, `max(|1 − κ|, 1/(1 + κ))`: below 1 iff κ < 2.

    Floats or arrays. The first is approached as θ → 0, the second as θ → 90°.
    """
    return np.maximum(np.abs(1.0 - kappa), 1.0 / (1.0 + kappa))


def plateau_tangent_squared(kappa: Any) -> Any:
    """`tan²θ` of the plateau, `(κ − 2)/(κ + 2)` for κ > 2. Source: theory.md §3."""
    return (kappa - 2) / (kappa + 2)


def plateau_multiplier(kappa: Any) -> Any:
    """Derivative of the map in tan θ at the plateau, `8/κ² − 1`. Source: theory.md §3."""
    return 8 / kappa**2 - 1


def superstable_step() -> Any:
    """The κ at which the plateau is reached quadratically, `2√2`, exactly. Source: theory.md §3."""
    return 2 * sp.sqrt(2)


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """Each statement from the map of `population_map`.

    Args:
        stretch: multiplies the plateau's tan²θ; 1 for the true statement.
    """
    t, x, kappa = sp.symbols("t x kappa", positive=True)
    # Near θ = 0 it has the sign of 1 − κ, at the plateau it is negative: put right in each step.
    signed = population_map.signed_tangent(t, kappa)
    below = -signed  # the map where t² < κ − 1
    fixed = {kappa: 2 + x, t: sp.sqrt(stretch * plateau_tangent_squared(2 + x))}
    return (
        identity("local rate: tan θ⁺/tan θ → |1 − κ| as θ → 0, the slope of the map there",
            sp.Derivative(signed, t) ** 2, local_rate(kappa) ** 2, where={t: 0}),
        rational_identity(
            "the signed ratio tan θ⁺/tan θ grows with u = tan²θ, from 1 − κ to 1/(1 + κ), so its size "
            "is at most max(|1 − κ|, 1/(1 + κ)): its derivative in u is κ²/(1 + (1 + κ)u)²",
            sp.Derivative(signed / t, t) / (2 * t), kappa**2 / (1 + (1 + kappa) * t**2) ** 2),
        rational_identity("and it tends to 1/(1 + κ) as θ → 90°: it is less by κ²/((1 + κ)(1 + (1 + κ)u))",
            1 / (1 + kappa) - signed / t, kappa**2 / ((1 + kappa) * (1 + (1 + kappa) * t**2))),
        rational_identity("contraction: (tan θ⁺/tan θ)² < 1 at tan²θ = u, since 1 minus it is "
            "κ(1 + u)((κ + 2)u − (κ − 2)) over a square: > 0 for all u > 0 iff κ ≤ 2", 1 - (signed / t) ** 2,
            kappa * (1 + t**2) * ((kappa + 2) * t**2 - (kappa - 2)) / (1 + (1 + kappa) * t**2) ** 2),
        rational_identity("the plateau lies where the bracket is negative: κ − 1 − tan²θ = κ²/(κ + 2) > 0",
            kappa - 1 - plateau_tangent_squared(kappa), kappa**2 / (kappa + 2)),
        identity("the plateau is a fixed point for every κ = 2 + x > 2",
            below, t, where=fixed),
        identity("the derivative of the map there is 8/κ² − 1",
            sp.Derivative(below, t), plateau_multiplier(kappa), where=fixed),
        rational_identity("1 − |8/κ² − 1| > 0 for every κ > 2: 1 − (8/κ² − 1)² = 16(κ² − 4)/κ⁴",
            1 - plateau_multiplier(kappa) ** 2, 16 * (kappa**2 - 4) / kappa**4),
        identity(
            "superstable at κ = 2√2: the derivative vanishes", plateau_multiplier(kappa), 0,
            where={kappa: superstable_step()}),
        *_no_two_cycle(x),
    )  # fmt: skip


def _no_two_cycle(x: sp.Symbol) -> list[ProofStep]:
    """A continuous interval map without a 2-cycle sends every orbit to a fixed point (Coppel 1955)."""
    kappa = 2 + x
    t, u = sp.symbols("t u", positive=True)
    at = {u: t**2}
    twice = population_map.signed_tangent(population_map.signed_tangent(t, kappa), kappa) / t
    under = (1 + (1 + kappa) * u) * (
        (1 + u) ** 3 + kappa * u * ((1 + u - kappa) ** 2 + kappa * (1 + u))
    )
    # The square (u(κ − u)κ)² takes the mixed signs; what is left has non-negative coefficients.
    square = (kappa * u * (kappa - u)) ** 2 + 2
    rest = sp.expand(sp.cancel(((1 + twice) * under.xreplace(at)).subs(t, sp.sqrt(u))) - square)
    return [
        rational_identity(
            "no 2-cycle with product of ratios +1 besides the plateau: 1 minus it is κ(1 + u)³((κ + 2)u − (κ "
            "− 2)) over (1 + (1 + κ)u)((1 + u)³ + κu((1 + u − κ)² + κ(1 + u))) > 0",
            1 - twice, kappa * (1 + u) ** 3 * ((kappa + 2) * u - (kappa - 2)) / under, where=at),
        rational_identity(
            "no 2-cycle with product of ratios −1: 1 plus it is κ²u²(κ − u)² + 2 + a rest, over the same …",
            1 + twice, (square + rest) / under, where=at),
        nonnegative_on_box("… which has positive terms", rest, {u: (0, sp.oo), x: (0, sp.oo)}),
    ]  # fmt: skip


def limit_tangent(start: np.ndarray | float, kappa: float, rounds: int = ROUNDS) -> Any:
    """Tan θ after many rounds of the map from the given starts (array or float, > 0)."""
    t = np.asarray(start, dtype=np.float64)
    for _ in range(rounds):
        t = population_map.next_tangent(t, kappa)
    return t


@claim(
    "plateau",
    "Contraction below κ = 2, a plateau above",
    statement="The population map contracts uniformly if and only if κ < 2, at local rate |1 − κ|; "
    "for κ > 2 it locks to tan²θ = (κ − 2)/(κ + 2) from every start but the countably many that land on "
    "0, stable with multiplier 8/κ² − 1, superstable at κ = 2√2.",
    latex=r"\kappa<2:\ \tan\theta^{+}\le\max\{|1-\kappa|,\tfrac1{1+\kappa}\}\tan\theta;\qquad "
    r"\kappa>2:\ \tan^2\theta^t\to\frac{\kappa-2}{\kappa+2},\ \text{multiplier } 8/\kappa^2-1",
    source=OURS,
    assumptions=(
        "rank 1",
        "population limit m → ∞",
        "homogeneous clients",
        "no label noise",
        "a start that is not orthogonal to a*, where every round stays",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    says="a plateau whose tan²θ is 2 % higher",
    order=50,
)
def check(evidence: Evidence, *, kappa: float = 3.0, stretch: float = 1.0) -> None:
    """Prove rate, threshold and plateau; iterate the map on either side of κ = 2.

    Args:
        kappa: step size of the literal vectors, above 2, and so that some ten thousand rounds suffice.
        stretch: multiplies the plateau's tan²θ; 1 for the true statement.
    """
    between(2.001, 50.0, kappa=kappa)
    starts = np.array(STARTS)
    gaps, rates, uniform = [], [], []
    for step in STEPS:
        expected = np.sqrt(stretch * plateau_tangent_squared(step))
        gaps.append(np.max(np.abs(limit_tangent(starts, step) - expected)))
        point = np.sqrt(plateau_tangent_squared(step))
        small = 1e-5
        up, down = (population_map.next_tangent(point + sign * small, step) for sign in (1, -1))
        rates.append(abs((up - down) / (2 * small) - plateau_multiplier(step)))
    for step in (0.1, 0.5, 1.0, 1.5, 1.9):
        angles = np.geomspace(1e-8, 1e8, 4001)
        ratios = population_map.next_tangent(angles, step) / angles
        uniform.append(abs(ratios.max() - uniform_rate(step)))
        rates.append(abs(ratios[0] - local_rate(step)))
    plateau = stretch * plateau_tangent_squared(kappa)
    rounds = _settled(kappa)
    compared = (
        (f"plateau at κ = {kappa:g} on literal vectors in R^6: sin θ after {rounds} rounds",
            np.sqrt(plateau / (1.0 + plateau)), _literal_plateau_sine(kappa, rounds), 1e-10,
            "rounding of vector rounds"),
        (f"largest |tan θ − plateau| after {ROUNDS} rounds, {len(STEPS)} steps × {len(STARTS)} starts",
            0.0, max(gaps), 1e-10, "float64 iteration of the map"),
        ("largest gap of the local rates |1 − κ| and 8/κ² − 1 to difference quotients, 13 steps", 0.0,
            max(rates), 1e-8, "second-order error of the difference quotient at distance 1e-5"),
        ("largest gap of max(|1 − κ|, 1/(1 + κ)) to the largest tan θ⁺/tan θ on 4001 angles, "
            "5 steps below 2", 0.0, max(uniform), 1e-12,
            "the ratio approaches its supremum as θ → 0 or 90°; the grid ends at 1e∓8"),
        ("superstable step: |error| after one round from 1e-4 off the plateau, κ = 2√2", 0.0,
            _one_round_error(float(superstable_step()), 1e-4), 1e-7,
            "quadratic: the square of the distance, times a constant below ten"),
    )  # fmt: skip
    for quantity, theory, measured, rounding, why in compared:
        evidence.equal(quantity, theory, measured, rounding=rounding, why=why)
    evidence.steps(*derive(exactly(stretch)))
    evidence.argued(
        "for κ > 2 every orbit converges, and to the plateau unless it lands on 0",
        because="a continuous map of an interval (here tan²θ in [0, ∞]) without a 2-cycle sends every orbit "
        "to a fixed point (Coppel 1955); 0 and 90° repel, since the factors there, κ − 1 and 1 + κ "
        "outwards, exceed 1, so only an orbit that lands on 0 exactly ends there, and each round has "
        "at most three preimages of a point: countably many starts, tan²θ = κ − 1 among them",
    )
    evidence.method(
        "SymPy: limits, fixed point and derivative of the map, no 2-cycle by non-negative "
        "coefficients; iteration in float64 beside it"
    )
    evidence.note(
        "At κ = 2 the angle still falls at every angle, but without a uniform factor: sublinearly."
    )
    evidence.table(_bifurcation(evidence), PLOT)
    evidence.extra_table("phases", _phases())


PLOT = Plot(
    "kappa", (Series("sine", "sin θ after many rounds, four starts", Mark.POINTS),
        Series("theory", "0 up to κ = 2, then sqrt((κ − 2)/(2κ))", Mark.LINE)),
    "κ = 2η‖b*‖²", "sin θ in the long run",
    "Below κ = 2 the angle goes to zero, above it locks to a plateau that rises "
    "towards 45°: no step size makes the angle blow up or oscillate for ever. Points lie above the "
    "line only close to κ = 2, where convergence is slow.",
)  # fmt: skip


def _settled(kappa: float) -> int:
    """Rounds after which the plateau is reached to rounding: the multiplier's, twice, for the way there."""
    return max(
        400, math.ceil(2.0 * math.log(1e-13) / math.log(max(0.5, abs(plateau_multiplier(kappa)))))
    )


def _literal_plateau_sine(kappa: float, rounds: int) -> float:
    a_star = np.zeros(6)
    a_star[2] = 1.0
    a = np.array([0.3, -0.2, 0.8, 0.1, 0.4, -0.5])
    a /= np.linalg.norm(a)
    for _ in range(rounds):
        a = population_map.round_by_vectors(a, a_star, kappa)
    return float(np.linalg.norm(a - a_star * (a_star @ a)))


def _one_round_error(kappa: float, distance: float) -> float:
    point = np.sqrt(plateau_tangent_squared(kappa))
    return float(abs(population_map.next_tangent(point + distance, kappa) - point))


def _bifurcation(evidence: Evidence) -> list[dict[str, float]]:
    steps = np.linspace(0.1, 8.0, evidence.pick(80, 317))
    t = np.broadcast_to(np.array(STARTS)[:, None], (len(STARTS), steps.size)).copy()
    for _ in range(evidence.pick(400, 4000)):
        t = population_map.next_tangent(t, steps)
    sines = t / np.hypot(1.0, t)
    return [
        {
            "kappa": float(kappa),
            "start": float(start),
            "sine": float(sines[i, j]),
            "theory": _long_run_sine(float(kappa)),
        }
        for j, kappa in enumerate(steps)
        for i, start in enumerate(STARTS)
    ]


def _long_run_sine(kappa: float) -> float:
    square = max(0.0, plateau_tangent_squared(kappa))
    return float(np.sqrt(square / (1.0 + square)))


def _phases() -> list[dict[str, str]]:
    rows = [
        ("0 < κ < 1", "falls monotonically to 0", "1 − κ"),
        ("κ = 1", "falls to 0, locally superlinear (cubic)", "0"),
        ("1 < κ < 2", "falls to 0; a lucky angle tan²θ = κ − 1 lands on it", "κ − 1"),
        ("κ = 2", "falls to 0 sublinearly", "1"),
        ("2 < κ < 2√2", "plateau, approached from one side", "8/κ² − 1 > 0"),
        ("κ = 2√2", "plateau, reached quadratically", "0"),
        ("κ > 2√2", "plateau, approached from alternating sides", "8/κ² − 1 < 0"),
    ]
    names = ("step size", "angle", "factor per round in the end")
    return [dict(zip(names, row, strict=True)) for row in rows]

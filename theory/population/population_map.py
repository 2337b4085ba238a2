"""The population limit (m → ∞) of one RoLoRA round: a one-line map of the angle (theory.md §2).

Problem: rank-1 linear model `Y_i = X_i a* b*ᵀ`, one round of the paper's Algorithm 2 with κ = 2 η ||b*||².
Exact result: `tan θ⁺ = tan θ · |1 − κ cos²θ| / (1 + κ sin²θ)`.
"""

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import at_least, exactly
from verification.finding import ProofStep
from verification.proof.identities import identity, sized_identity


def next_tangent(t: Any, kappa: Any) -> Any:
    """Tan θ after one round, from t = tan θ ≥ 0. Works on floats, arrays and SymPy expressions.

    Source: theory.md §2. Written in t alone, so it keeps its relative precision at every angle.
    """
    return t * abs(1 + t**2 - kappa) / (1 + t**2 + kappa * t**2)


def signed_tangent(t: Any, kappa: Any) -> Any:
    """`next_tangent` of SymPy expressions before its absolute value: negative where 1 + t² < κ."""
    return next_tangent(t, kappa).replace(sp.Abs, lambda z: z)


def round_by_vectors(
    a: Float[np.ndarray, " d"], a_star: Float[np.ndarray, " d"], kappa: float
) -> Float[np.ndarray, " d"]:
    """The literal population round on unit vectors: exact b-step, gradient step on a, normalise."""
    c = float(a_star @ a)  # b̄ = c b*
    gradient = 2.0 * c * (c * a - a_star)  # of ||a b̄ᵀ − a* b*ᵀ||² in a, ||b*|| = 1
    moved = a - 0.5 * kappa * gradient
    return moved / np.linalg.norm(moved)


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The map, derived from the loss: b-step by its normal equation, a-step by differentiation.

    Args:
        stretch: multiplies the step of the stated map; 1 for the true statement.
    """
    c, s, t, kappa, B = sp.symbols("c s t kappa B", positive=True)
    eta = kappa / (2 * B**2)
    x, y, beta = sp.symbols("x y beta", real=True)  # a = x·a* + y·v in the plane, b = beta·b*
    loss = B**2 * ((x * beta - 1) ** 2 + (y * beta) ** 2)
    ax = x - eta * sp.Derivative(loss, x)
    ay = y - eta * sp.Derivative(loss, y)
    cosine = 1 / sp.sqrt(1 + t**2)
    return (
        *_derive_plane(),
        identity(
            "b-step: argmin_b has b̄ = cos θ · b*",
            sp.Derivative(loss, beta),
            0,
            where={x: c, y: s, beta: c},
            vanishing=(c**2 + s**2 - 1,),
        ),
        identity(
            "a-step and normalisation: tan²θ⁺ is the square of the stated map",
            (ay / ax) ** 2,
            signed_tangent(t, stretch * kappa) ** 2,
            where={x: cosine, y: t * cosine, beta: cosine},
        ),
    )


def _derive_plane() -> list[ProofStep]:
    """Every width: a round stays in the plane of a and a*, in which the rest of the derivation works."""
    d, p = sp.symbols("d p", integer=True, positive=True)
    a, a_star, b_star, b, u = (
        sp.MatrixSymbol(n, k, 1) for n, k in (("a", d), ("A", d), ("b", p), ("B", p), ("u", d))
    )
    e, y, goal = sp.symbols("epsilon y goal", real=True)  # y and goal: b and b* at one output
    rest = y * a - goal * a_star
    c, one = a_star.T * a, sp.Identity(1)
    fit = b_star * c
    return [
        sized_identity("every d: along a + εu the loss ‖a b_j − a* b*_j‖² of output j has the slope "
            "2 uᵀ(a b_j − a* b*_j) b_j",
            (rest + e * y * u).T * (rest + e * y * u) - rest.T * rest,
            e * y * (u.T * rest + rest.T * u) + e**2 * y**2 * u.T * u),
        sized_identity("every d and p: one output j more adds (a b_j − a* b*_j) b_j to (a bᵀ − a* b*ᵀ) b, "
            "which is 0 without any: all slopes sum to 2 uᵀ(a bᵀ − a* b*ᵀ) b",
            a * (b.T * b + y**2 * one) - a_star * (b_star.T * b + goal * y * one),
            (a * b.T - a_star * b_star.T) * b + y * rest),
        sized_identity("every d: along b_j it has the slope 2 aᵀ(a b_j − a* b*_j)",
            (rest + e * a).T * (rest + e * a) - rest.T * rest,
            e * (a.T * rest + rest.T * a) + e**2 * a.T * a),
        sized_identity("every d and p: the normal equation b‖a‖² = (a* b*ᵀ)ᵀa has b̄ = (a*ᵀa) b* at ‖a‖ = 1",
            fit * (a.T * a) - (a_star * b_star.T).T * a, fit * (a.T * a - one)),
        sized_identity("every d and p: the gradient's (a b̄ᵀ − a* b*ᵀ) b̄ lies in the plane of a and a*",
            (a * fit.T - a_star * b_star.T) * fit,
            a * (c.T * (b_star.T * b_star) * c) - a_star * ((b_star.T * b_star) * c)),
    ]  # fmt: skip


@claim(
    "population-map",
    "One round is a one-line map of the angle",
    statement="With infinitely many samples, tan θ⁺ = tan θ · |1 − κ cos²θ| / (1 + κ sin²θ), "
    "κ = 2η‖b*‖².",
    latex=r"\tan\theta^{+}=\tan\theta\,\frac{|1-\kappa\cos^2\theta|}{1+\kappa\sin^2\theta},"
    r"\quad \kappa=2\eta\|b^*\|^2",
    source=OURS,
    assumptions=("rank 1", "population limit m → ∞", "homogeneous clients", "no label noise"),
    expected=Verdict.PROVED,
    mutant={"stretch": 1.02},
    says="the map at a step 2 % longer than the one taken",
    order=30,
)
def check(
    evidence: Evidence,
    *,
    kappa: float = 0.5,
    tangent: float = 1.0,
    d: int = 7,
    stretch: float = 1.0,
) -> None:
    """Derive the map symbolically, then compare it with literal rounds on vectors in R^d.

    Args:
        kappa, tangent: step size and tan θ of the first comparison's round.
        d: dimension of the literal vectors.
        stretch: multiplies the step of the map; 1 for the true statement.
    """
    at_least(2, d=d)
    if not 0.0 < kappa <= 1e4:  # beyond, the literal vectors' rounding grows with the step
        raise ValueError(f"kappa must be positive and at most 10000, got {kappa}")
    between(1e-4, 1e4, tangent=tangent)
    rng = evidence.rng()
    rows = []
    for step in (0.25, 0.5, 1.0, 1.5, 2.5):
        plane = np.linalg.qr(rng.standard_normal((d, 2)))[0].T
        rows += [_round(plane, t, step, stretch) for t in np.geomspace(1e-4, 1e4, 25)]
    seen = _round(np.eye(d)[:2], tangent, kappa, stretch)
    why = "rounding of the literal vectors at tan θ = 1e-4 (16 digits less 4)"
    compared = (
        (f"tan θ after one literal round in R^{d} from tan θ = {tangent:g} at κ = {kappa:g}",
            seen["theory"], seen["measured"], 1e-11 * max(seen["theory"], tangent), why),
        (f"largest relative gap between the map and literal rounds, {len(rows)} angles and steps", 0.0,
            max(abs(r["measured"] - r["theory"]) / max(r["theory"], r["tan"]) for r in rows), 1e-11, why),
    )  # fmt: skip
    for quantity, theory, measured, rounding, why in compared:
        evidence.equal(quantity, theory, measured, rounding=rounding, why=why)
    evidence.steps(*derive(exactly(stretch)))
    evidence.method("SymPy derivation from the loss; literal rounds in float64 beside it")
    evidence.table(rows, PLOT)


PLOT = Plot(
    "tan", (Series("measured", "literal round", Mark.POINTS), Series("theory", "map", Mark.LINE)),
    "tan θ before the round", "tan θ after the round",
    "One round of Algorithm 2 with infinitely many samples: the map and literal "
    "vector rounds coincide at every angle.", group="kappa", xlog=True, ylog=True,
)  # fmt: skip


def _round(plane: np.ndarray, t: float, kappa: float, stretch: float) -> dict[str, float]:
    """The map beside a literal round from tan θ = t in the plane of two unit vectors."""
    a_star, other = plane
    moved = round_by_vectors((a_star + t * other) / np.hypot(1.0, t), a_star, kappa)
    inner = float(a_star @ moved)
    measured = float(np.linalg.norm(moved - a_star * inner)) / abs(inner)
    predicted = float(next_tangent(t, stretch * kappa))
    return {"kappa": kappa, "tan": t, "theory": predicted, "measured": measured}

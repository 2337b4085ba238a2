"""Ill-conditioned targets: heavy ball on A, and the a-step preconditioned by (B̄B̄ᵀ)⁻¹ (theory.md §15).

Near the best subspace a mode of Oja's rule shrinks by 1 − 2ηg, g a gap λ_i − λ_j between s² and l² (a mean
target of rank r: its extreme singular values s and l). Heavy ball, `A⁺ = Â + β(A − A_before)`, makes that
`x⁺ = (1 + β − 2ηg)x − βx_before`: with `η = 2/(l + s)²`, β = ρ² every mode falls like `ρ = (l − s)/(l + s)`,
those at the ends like `ρᵗ(1 + t(1 − ρ))` and `(−ρ)ᵗ(1 + t(1 + ρ))`. Plain steps: 2ρ/(1 + ρ²) at best.
A gradient times (B̄B̄ᵀ)⁻¹ makes Â = (1 − 2η)A + 2ηSA(AᵀSA)⁻¹. A mean target of rank r: tangents
`T⁺ = (1 − 2η)T(I + 2ηTᵀT)⁻¹` at any condition number; at η = ½ the round is orthogonal iteration on S.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory.population import best_rank_r
from verification.finding import ProofStep
from verification.proof.identities import (
    identity,
    nonnegative_on_box,
    rational_identity,
    sized_identity,
)


def heavy_ball_step(large: Any, small: Any) -> Any:
    """The best step with momentum: 2/(l + s)². Source: Polyak 1964, for gaps from s² to l²."""
    return 2 / (large + small) ** 2


def momentum_rate(large: Any, small: Any) -> Any:
    """Its rate ρ = (l − s)/(l + s), the root of the best momentum β. Source: Polyak 1964."""
    return (large - small) / (large + small)


def end_mode(rho: Any, power: Any, rounds: Any, side: int) -> Any:
    """What t rounds from rest leave of a mode at an end: `power (1 + t(1 − side·ρ))`. Ours.

    Args:
        rho: ρ.
        power: (side·ρ)ᵗ.
        rounds: t.
        side: 1 at the smallest gap, −1 at the largest.
    """
    return power * (1 + rounds * (1 - side * rho))


def preconditioned_tangent(t: Any, eta: Any) -> Any:
    """A principal tangent after a preconditioned round, mean target of rank r: (1 − 2η)t/(1 + 2ηt²). Ours."""
    return (1 - 2 * eta) * t / (1 + 2 * eta * t**2)


def preconditioned_factor(high: Any, low: Any, eta: Any) -> Any:
    """What such a round leaves of a small tangent between λ_i > λ_j, any targets. Ours."""
    return 1 - 2 * eta * (1 - low / high)


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """Heavy ball's rate and its closed forms; the preconditioned round.

    Args:
        stretch: multiplies the stated rate ρ; 1 for the true statement.
    """
    return (*_derive_momentum(stretch), *_derive_ends(stretch), *_derive_preconditioned())


def _derive_momentum(stretch: Any) -> list[ProofStep]:
    small, more, gap, eta, root, z = sp.symbols("s more g eta beta_root z", positive=True)
    large = small + more
    rho, step = stretch * momentum_rate(large, small), heavy_ball_step(large, small)
    x, before = sp.symbols("x before", real=True)
    inside, beside = (1 - root) ** 2 - 2 * eta * gap, (1 + root) ** 2 - 2 * eta * gap
    return [
        identity("the mode's recursion, with β = ρ²: a step, and β times what it moved before",
            x - 2 * eta * gap * x + root**2 * (x - before),
            (1 + root**2 - 2 * eta * gap) * x - root**2 * before),
        identity("its roots' discriminant is the product of (1 − ρ)² − 2ηg and (1 + ρ)² − 2ηg; their "
            "product is ρ²",
            (1 + root**2 - 2 * eta * gap) ** 2 - 4 * root**2, inside * beside),
        rational_identity("at η = 2/(l + s)² the first is 2η(s² − g) …", (1 - rho) ** 2, 2 * step * small**2),
        rational_identity("… and the second 2η(l² − g): for g in [s², l²] the roots are conjugate, both "
            "of size ρ",
            (1 + rho) ** 2, 2 * step * large**2),
        rational_identity("plain steps at their best have 2ρ/(1 + ρ²)",
            best_rank_r.best_rate(small**2, large**2),
            2 * root / (1 + root**2), where={root: momentum_rate(large, small)}),
        nonnegative_on_box("which is larger: 2ρ/(1 + ρ²) ≥ ρ for ρ ≤ 1", 2 * z / (1 + z**2) - z, {z: (0, 1)}),
    ]  # fmt: skip


def _derive_ends(stretch: Any) -> list[ProofStep]:
    rho, power, t, small, more = sp.symbols("rho power t s more", positive=True)
    large = small + more
    steps = []
    for side, name in ((1, "smallest"), (-1, "largest")):
        factor = side * rho
        now, then = (
            end_mode(rho, power * factor, t, side),
            end_mode(rho, power * factor**2, t + 1, side),
        )
        first = end_mode(rho, factor, 1, side)
        gap = small**2 if side == 1 else large**2
        move = 1 - 2 * heavy_ball_step(large, small) * gap
        steps += [
            rational_identity(f"at the {name} gap, a double root {'' if side == 1 else '−'}ρ: the stated "
                f"mode obeys "
                "the recursion x⁺ = ±2ρx − ρ²x_before", then,
                2 * factor * now - rho**2 * end_mode(rho, power, t - 1, side)),
            rational_identity("and starts as one at rest: 1, then 1 − 2ηg", first, move,
                where={rho: stretch * momentum_rate(large, small)}),
        ]  # fmt: skip
    return steps


def _derive_preconditioned() -> list[ProofStep]:
    d, r, p, k = sp.symbols("d r p k", integer=True, positive=True)
    eta, t, u, high, low = sp.symbols("eta t u high low", positive=True)
    kept = sp.Symbol("kept", real=True)
    A, W, Q = (
        sp.MatrixSymbol(n, *size) for n, size in (("A", (d, r)), ("W", (d, p)), ("Q", (r, r)))
    )
    T, C, V = (
        sp.MatrixSymbol(n, *size) for n, size in (("T", (k, r)), ("C", (r, r)), ("V", (r, r)))
    )
    one, B = sp.Identity(r), A.T @ W
    gram = one + T.T @ T
    moved = A - (2 * eta) * (A @ B - W) @ B.T @ Q
    return [
        sized_identity("every d, r, p: with Q = (B̄B̄ᵀ)⁻¹, B̄ = AᵀW̄, the step is (1 − 2η)A + 2ηSAQ, S = "
            "W̄W̄ᵀ: at "
            "η = ½ it is SA(AᵀSA)⁻¹, orthogonal iteration", moved,
            (1 - 2 * eta) * A + (2 * eta) * W @ W.T @ A @ Q - (2 * eta) * A @ (B @ B.T @ Q - one)),
        sized_identity("a mean of rank r, A = (V_1 + V_2T)C: SAQ is V_1C⁻ᵀ, and C⁻ᵀ = (I + TᵀT)C by AᵀA = "
            "I; along "
            "V_1 that is (I + 2ηTᵀT)C, across it (1 − 2η)TC", (1 - 2 * eta) * C + (2 * eta) * V,
            (one + (2 * eta) * T.T @ T) @ C + (2 * eta) * (V - gram @ C)),
        rational_identity("so a principal tangent t becomes (1 − 2η)t/(1 + 2ηt²)",
            preconditioned_tangent(t, eta),
            t * (1 - 2 * eta) / ((1 - 2 * eta) + 2 * eta * (1 + t**2))),
        rational_identity("whose share of (1 − 2η)t is 1/(1 + u), u = 2ηt² …", kept + kept * u,
            (1 - 2 * eta) * t, where={kept: preconditioned_tangent(t, eta), u: 2 * eta * t**2}),
        nonnegative_on_box("… at most 1: it shrinks by |1 − 2η| at least", 1 - 1 / (1 + u), {u: (0, sp.oo)}),
        rational_identity("exact in one round at η = ½", preconditioned_tangent(t, eta), 0,
            where={eta: sp.Rational(1, 2)}),
        rational_identity("any targets: a mode's (1 − 2η)t + 2ηλ_jt/λ_i",
            (1 - 2 * eta) * t + 2 * eta * low * t / high,
            preconditioned_factor(high, low, eta) * t),
    ]  # fmt: skip

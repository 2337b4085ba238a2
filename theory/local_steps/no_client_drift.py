"""Local steps on one factor do not drift apart where all clients share one Hessian (theory.md §16).

Problem: `Y_i = X_i W_i`, any W_i, m → ∞, features of one covariance S for all clients. The gradients are
`2S(AB − W_i)Bᵀ` in A and `2AᵀS(AB − W_i)` in B: affine in W_i where the other factor is shared, with one
Hessian for all.
Exact results: the mean after K local steps is K central steps on W̄. For S = I, r = 1 and B by least squares
`tan θ⁺ = tan θ · c²|μ|ᴷ/|1 − μᴷs²|`, μ = 1 − κc²; any r: the mode (i, j) shrinks by
`λ_j/λ_i + (1 − λ_j/λ_i)(1 − 2ηλ_i)ᴷ`, for K → ∞ the factor of power iteration.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from theory.population import population_map
from verification.finding import ProofStep
from verification.proof.identities import identity, sized_identity


def after_steps(start: Any, fit: Any, power: Any) -> Any:
    """What gradient steps make of a start: `fit + power (start − fit)`, power = (1 − 2ηh)ᴷ. Ours.

    For b: fit c b̄*, h = ‖a‖² = 1. For a: fit (b̄ᵀb̄*)/‖b̄‖² a*, h = ‖b̄‖².
    """
    return fit + power * (start - fit)


def next_tangent(t: Any, power: Any) -> Any:
    """Tan θ, signed, after a round of K a-steps: `t c² power/(1 − power s²)`, power = (1 − κc²)ᴷ. Ours."""
    return t * power / (1 + t**2 - power * t**2)


def mode_factor(high: Any, low: Any, power: Any) -> Any:
    """What a round leaves of a small tangent between eigenvalues λ_i > λ_j of W̄W̄ᵀ. Ours.

    Args:
        high, low: λ_i and λ_j.
        power: (1 − 2ηλ_i)ᴷ.
    """
    return low / high + power * (1 - low / high)


def local_rate(eigenvalues: Float[np.ndarray, " d"], rank: int, eta: float, steps: int) -> float:
    """`max_{i≤r<j}` of the modes' factors with K local a-steps. Ours."""
    values = np.sort(eigenvalues)[::-1]
    high, low = values[:rank, None], values[None, rank:]
    return float(np.max(np.abs(mode_factor(high, low, (1.0 - 2.0 * eta * high) ** steps))))


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The mean of local steps is the central step, for any N, weights and sizes; closed forms of K steps.

    Args:
        stretch: multiplies μᴷ in the stated tangent; 1 for the true statement.
    """
    return (*_derive_means(), *_derive_steps(), *_derive_tangent(stretch), *_derive_modes())


def _derive_means() -> list[ProofStep]:
    d, r, p, n, k = sp.symbols("d r p n k", integer=True, positive=True)  # n = N·r, k = N·p
    eta = sp.Symbol("eta", positive=True)
    shapes = {
        "A": (d, r),
        "B": (r, p),
        "S": (d, d),
        "G": (r, r),
        "H": (d, k),
        "E": (k, p),
        "F": (n, r),
    }
    A, B, S, G, H, E, F = (sp.MatrixSymbol(name, *size) for name, size in shapes.items())
    side_B, side_A = sp.MatrixSymbol("Bs", r, k), sp.MatrixSymbol("As", d, n)
    square, across = sp.MatrixSymbol("Ms", n, n), sp.MatrixSymbol("Bt", k, n)  # I ⊗ BBᵀ and I ⊗ Bᵀ
    mean_A = side_A @ F
    return [
        sized_identity("every N, K, weights and sizes, the B_i side by side: the mean after a local step "
            "of each "
            "is a central step from their mean on W̄: so after every number of steps",
            (side_B - (2 * eta) * (G @ side_B - A.T @ S @ H)) @ E,
            B - (2 * eta) * (G @ B - A.T @ S @ (H @ E)), where={B: side_B * E}),
        sized_identity("the same for the A_i, up to factors that are 0: (I ⊗ BBᵀ)(w ⊗ I) = (w ⊗ I)BBᵀ and "
            "(I ⊗ Bᵀ)(w ⊗ I) = (w ⊗ I)Bᵀ",
            (side_A - (2 * eta) * (S @ side_A @ square - S @ H @ across)) @ F,
            mean_A - (2 * eta) * (S @ mean_A @ B @ B.T - S @ H @ E @ B.T)
            - (2 * eta) * (S @ side_A @ (square @ F - F @ B @ B.T) - S @ H @ (across @ F - E @ B.T))),
    ]  # fmt: skip


def _derive_steps() -> list[ProofStep]:
    d, p = sp.symbols("d p", integer=True, positive=True)
    a, a_star, b, b_star = (
        sp.MatrixSymbol(n, size, 1) for n, size in (("a", d), ("A", d), ("b", p), ("B", p))
    )
    start, fit, power, eta, h, overlap = sp.symbols("start fit power eta h overlap", real=True)
    now = after_steps(start, fit, power)
    return [
        sized_identity("r = 1: (abᵀ − a*b*ᵀ)b = a·bᵀb − a*·b*ᵀb: a step on a with h = ‖b‖² towards "
            "(bᵀb*)/‖b‖² a*", (a * b.T - a_star * b_star.T) * b, a * (b.T * b) - a_star * (b_star.T * b)),
        sized_identity("(abᵀ − a*b*ᵀ)ᵀa = b·aᵀa − b*·a*ᵀa: one on b with h = ‖a‖² towards c b*",
            (a * b.T - a_star * b_star.T).T * a, b * (a.T * a) - b_star * (a_star.T * a)),
        identity("of a coordinate: the stated value is the start at no step …",
            now, start, where={power: 1}),
        identity("… and a step takes power to power·(1 − 2ηh): by induction after K steps",
            now - eta * 2 * (h * now - h * fit), after_steps(start, fit, power * (1 - 2 * eta * h))),
        identity("with fit·h = overlap the coordinate's gradient is 2(h·now − overlap)",
            h * now - overlap, h * (now - fit), where={overlap: h * fit}),
    ]  # fmt: skip


def _derive_tangent(stretch: Any) -> list[ProofStep]:
    t, kappa = sp.symbols("t kappa", positive=True)
    power, c, s = sp.symbols("power c s", positive=True)
    along, across = after_steps(c, 1 / c, power), after_steps(s, 0, power)  # fit (b̄ᵀb̄*)/‖b̄‖² = 1/c
    at = {c: 1 / sp.sqrt(1 + t**2), s: t / sp.sqrt(1 + t**2)}
    stated = next_tangent(t, stretch * power)
    strong, low = sp.symbols("strong low", positive=True)
    return [
        identity("B by least squares, b̄ = c b̄*: K steps leave s·power across a*, c·power + (1 − "
            "power)/c along; "
            "the tangent's square", (across / along) ** 2, stated**2, where=at),
        identity("one step is the map of theory.md §2", next_tangent(t, power),
            population_map.signed_tangent(t, kappa), where={power: 1 - kappa / (1 + t**2)}),
        identity("near θ = 0 the factor is power, (1 − κ)ᴷ", next_tangent(t, power) / t - power,
            -power * t**2 * (1 - power) / (1 + t**2 - power * t**2)),
        identity("where W̄ has rank r a mode shrinks by its power alone",
            mode_factor(strong, low, power), power,
            where={low: 0}),
    ]  # fmt: skip


def _derive_modes() -> list[ProofStep]:
    d, r = sp.symbols("d r", integer=True, positive=True)
    A, now, S, W = (
        sp.MatrixSymbol(n, *size)
        for n, size in (("A", (d, r)), ("N", (d, r)), ("S", (d, d)), ("W", (d, r)))
    )
    eta, high, low, power, tangent = sp.symbols("eta high low power tangent", positive=True)
    left = after_steps(tangent, low / high * tangent, power)
    return [
        sized_identity("any r: with B = AᵀW̄ a local step from N takes off 2η(N·AᵀSA − SA), S = W̄W̄ᵀ",
            (now @ A.T @ W - W) @ W.T @ A, now @ A.T @ S @ A - S @ A, where={S: W * W.T}),
        identity("near the leading eigenspace AᵀSA = Λ_1 to first order, so the mode (i, j) has fit "
            "λ_j/λ_i of its "
            "tangent; along it the fit is 1, where it is", left, tangent * mode_factor(high, low, power)),
        identity("at K = 1 that is 1 − 2η(λ_i − λ_j)",
            mode_factor(high, low, power), 1 - 2 * eta * (high - low),
            where={power: 1 - 2 * eta * high}),
        identity("for K → ∞ (power 0) it is λ_j/λ_i: power iteration",
            mode_factor(high, low, power), low / high, where={power: 0}),
    ]  # fmt: skip

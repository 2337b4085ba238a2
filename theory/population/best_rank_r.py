"""RoLoRA finds the best rank-r approximation of the mean target, and how fast (theory.md §15).

Oja's rule of `oja_identity` for S = W̄W̄ᵀ with eigenvalues λ_1 ≥ … ≥ λ_d, in the eigenbasis (V_1, V_2), V_1 the
leading r: with tangents `T = V_2ᵀA(V_1ᵀA)⁻¹`, `K = (I + TᵀT)⁻¹` and `N = Λ_1 + TᵀΛ_2T`,
`T⁺ = (T + 2η(Λ_2T − TKN))(I + 2η(Λ_1 − KN))⁻¹`.
Exact results: tr AᵀSA rises in every round as long as `η(λ_1 − λ_d) < 1`, so the rounds lead to invariant
subspaces, of which the leading one alone is stable; local rate `max_{i≤r<j} |1 − 2η(λ_i − λ_j)|`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from verification.finding import ProofStep
from verification.proof.identities import (
    follows,
    identity,
    nonnegative_on_box,
    rational_identity,
    sized_identity,
)


def next_tangents(T: Any, top: Any, rest: Any, eta: Any) -> Any:
    """The tangents after one round. Ours; with Λ_2 = 0 those of `rank_r_map`.

    Args:
        T: (d − r, r); numpy array or SymPy matrix symbol.
        top, rest: Λ_1 (r, r) and Λ_2 (d − r, d − r).
        eta: step size of the true gradient.
    """
    r = T.shape[1]
    one, inverse = (
        (np.eye(r), np.linalg.inv) if isinstance(T, np.ndarray) else (sp.Identity(r), sp.Inverse)
    )
    kept = inverse(one + T.T @ T) @ (top + T.T @ rest @ T)
    return (T + (2 * eta) * (rest @ T - T @ kept)) @ inverse(one + (2 * eta) * (top - kept))


def local_rate(eigenvalues: Float[np.ndarray, " d"], rank: int, eta: float) -> float:
    """`max_{i≤r<j} |1 − 2η(λ_i − λ_j)|`, by which the slowest small tangent shrinks a round. Ours."""
    values = np.sort(eigenvalues)[::-1]
    gaps = values[:rank, None] - values[None, rank:]
    return float(np.max(np.abs(1.0 - 2.0 * eta * gaps)))


def best_step(narrow: Any, wide: Any) -> Any:
    """The step with the least local rate: 1/(narrow + wide), the gaps λ_r − λ_{r+1} and λ_1 − λ_d. Ours."""
    return 1 / (narrow + wide)


def best_rate(narrow: Any, wide: Any) -> Any:
    """The least local rate, (wide − narrow)/(wide + narrow). Ours."""
    return (wide - narrow) / (wide + narrow)


def threshold_step(wide: Any) -> Any:
    """The trace of AᵀSA rises in every round for η below 1/(λ_1 − λ_d), where the rate reaches 1. Ours."""
    return 1 / wide


def far_factor(gap: Any, above: Any, eta: Any) -> Any:
    """Rank 1: a component's tangent to the leading one is multiplied by this where aᵀSa = λ_d. Ours.

    No round leaves more of it than that or |1 − 2η(λ_1 − λ_j)|, at any angle.

    Args:
        gap: λ_1 − λ_j.
        above: λ_j − λ_d.
        eta: step size of the true gradient.
    """
    return (1 + 2 * eta * above) / (1 + 2 * eta * (above + gap))


def excess(A: Float[np.ndarray, "d r"], mean: Float[np.ndarray, "d p"]) -> float:
    """`‖(I − AAᵀ)W̄‖² − Σ_{j>r} λ_j`, the excess risk of A with its best B; FFA-LoRA's for ever. Ours."""
    outside = mean - A @ (A.T @ mean)
    tail = np.square(np.linalg.svd(mean, compute_uv=False)[A.shape[1] :]).sum()
    return float(np.square(outside).sum() - tail)


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The map of the tangents, its derivative, the ascent, rank 1 at every angle, the best step.

    Args:
        stretch: multiplies the eigenvalues in the stated local rate; 1 for the true statement.
    """
    return (
        *_derive_map(),
        *_derive_slope(stretch),
        *_derive_ascent(),
        *_derive_rank_one(),
        *_derive_best_step(),
    )


def _letters() -> tuple[Any, ...]:
    """r, T, Λ_1, Λ_2, K, Λ_1 + TᵀΛ_2T."""
    r, k = sp.symbols("r k", integer=True, positive=True)
    T, top, rest, K = (
        sp.MatrixSymbol(n, *size)
        for n, size in (("T", (k, r)), ("Lambda", (r, r)), ("Mu", (k, k)), ("K", (r, r)))
    )
    return r, T, top, rest, K, top + T.T @ rest @ T


def _derive_map() -> list[ProofStep]:
    eta = sp.Symbol("eta", positive=True)
    r, T, top, rest, K, N = _letters()
    C, over = sp.MatrixSymbol("C", r, r), sp.MatrixSymbol("Q", r, r)
    one, gram = sp.Identity(r), sp.Identity(r) + T.T @ T
    below = one + (2 * eta) * (top - K @ N)
    stated = next_tangents(T, top, rest, eta).xreplace({sp.Inverse(gram): K})
    stated = stated.xreplace({sp.Inverse(one + (2 * eta) * (top - K @ N)): over})
    up = T + (2 * eta) * (rest @ T - T @ K @ N)
    square = C.T @ (top + T.T @ rest @ T) @ C  # AᵀSA for A = (V_1 + V_2T)C
    return [
        sized_identity("every d and r, A = (V_1 + V_2T)C: V_1ᵀÂ = (I + 2η(Λ_1 − KN))C with K = CCᵀ …",
            C + (2 * eta) * (top @ C - C @ square), below @ C, where={K: C * C.T}),
        sized_identity("… and V_2ᵀÂ = (T + 2η(Λ_2T − TKN))C, so T⁺ = V_2ᵀÂ(V_1ᵀÂ)⁻¹ is free of C",
            T @ C + (2 * eta) * (rest @ T @ C - T @ C @ square), up @ C, where={K: C * C.T}),
        sized_identity("I = AᵀA is Cᵀ(I + TᵀT)C, so CCᵀ(I + TᵀT)C = C: K = (I + TᵀT)⁻¹ as C is invertible",
            C @ C.T @ gram @ C - C, C @ (C.T @ gram @ C - one)),
        sized_identity("every d and r: the stated T⁺, Q the inverse of I + 2η(Λ_1 − KN), is their quotient",
            stated @ below - up, up @ (over @ below - one)),
    ]  # fmt: skip


def _derive_slope(stretch: Any) -> list[ProofStep]:
    eta, high, low = sp.symbols("eta lambda_i lambda_j", positive=True)
    r, T, top, rest, K, N = _letters()
    one, turn = sp.Identity(r), rest @ T - T @ top
    slope = T + (2 * eta) * turn
    w, v = sp.MatrixSymbol("w", T.shape[0], 1), sp.MatrixSymbol("v", r, 1)
    column, row = sp.MatrixSymbol("column", T.shape[0], 1), sp.MatrixSymbol("row", 1, r)
    factor = 1 - 2 * eta * (stretch * high - stretch * low)
    return [
        sized_identity("every d, r: T⁺ − T − 2η(Λ_2T − TΛ_1) is −4η²(Λ_2T − TΛ_1)(Λ_1 − KN)Q …",
            T + (2 * eta) * (rest @ T - T @ K @ N) - slope @ (one + (2 * eta) * (top - K @ N)),
            -(4 * eta**2) * turn @ (top - K @ N)),
        sized_identity("… and Λ_1 − KN = K(TᵀTΛ_1 − TᵀΛ_2T) for K = (I + TᵀT)⁻¹: of second order in T",
            top - K @ N, K @ (T.T @ T @ top - T.T @ rest @ T) - (K @ (one + T.T @ T) - one) @ top),
        sized_identity("the derivative has the eigenvalue 1 − 2η(λ_i − λ_j) on w_j v_iᵀ",
            w @ v.T + (2 * eta) * (column @ v.T - w @ row), factor * w @ v.T,
            where={column: low * w, row: high * v.T}),
    ]  # fmt: skip


def _derive_ascent() -> list[ProofStep]:
    """Why tr AᵀSA rises, by the eigenvalues h of GᵀG, G = (I − AAᵀ)SA."""
    d, r = sp.symbols("d r", integer=True, positive=True)
    A, G, Y = (sp.MatrixSymbol(n, d, r) for n in ("A", "G", "Y"))
    S, M = sp.MatrixSymbol("S", d, d), sp.MatrixSymbol("M", r, r)
    eta, h, m, g, high, low = sp.symbols("eta h m g lambda_1 lambda_d", nonnegative=True)
    moved = A + (2 * eta) * G
    after = A.T @ Y + (2 * eta) * (Y.T @ G + G.T @ Y) + (4 * eta**2) * G.T @ S @ G
    square = M + (4 * eta) * G.T @ G + (4 * eta**2) * G.T @ S @ G
    rise = (m + 4 * eta * h + 4 * eta**2 * g) / (1 + 4 * eta**2 * h) - m
    rest = (A.T @ A - sp.Identity(r)) @ M + A.T @ G
    return [
        sized_identity("with G = (I − AAᵀ)SA, AᵀG = 0: ÂᵀÂ = I + 4η²GᵀG", moved.T @ moved,
            A.T @ A + (2 * eta) * (A.T @ G + G.T @ A) + (4 * eta**2) * G.T @ G),
        sized_identity("and ÂᵀSÂ = M + 4ηGᵀG + 4η²GᵀSG with M = AᵀSA, for SA = G + AM", after,
            square + rest + (2 * eta) * (M.T @ A.T @ G + G.T @ A @ M), where={Y: G + A * M}),
        rational_identity("in the eigenbasis of GᵀG, QR divides by 1 + 4η²h: an entry m of M rises by "
            "4η(h(1 − ηm) + ηg)/(1 + 4η²h), g the entry of GᵀSG", rise,
            4 * eta * (h * (1 - eta * m) + eta * g) / (1 + 4 * eta**2 * h)),
        follows("m ≤ λ_1 and g ≥ λ_d h: that is at least 4ηh(1 − η(λ_1 − λ_d))/(1 + 4η²h), positive for "
            "η(λ_1 − λ_d) < 1 unless h = 0", h * (1 - eta * m) + eta * g - h * (1 - eta * (high - low)),
            (eta * h, high - m), (eta, g - low * h)),
    ]  # fmt: skip


def _derive_rank_one() -> list[ProofStep]:
    e, g, y, z, x = sp.symbols(
        "e g y z x", nonnegative=True
    )  # 2η, λ_1 − λ_j, λ_j − λ_d, λ_1 − ρ, ρ − λ_d
    low, first, part = sp.symbols("lambda_d first part", positive=True)
    rho, second, top = low + x, low + y, low + y + g
    ratio = (1 + e * (z - g)) / (1 + e * z)
    box = {e: (0, sp.oo), g: (0, sp.oo), y: (0, sp.oo), x: (0, sp.oo)}
    far = far_factor(g, y, e / 2)
    return [
        rational_identity("rank 1, ρ = aᵀSa: a component's tangent to the leading one is multiplied by "
            "R = (1 + 2η(λ_j − ρ))/(1 + 2η(λ_1 − ρ))",
            (part + e * (second * part - part * rho)) / (first + e * (top * first - first * rho)),
            part / first * ratio, where={z: y + g - x}),
        rational_identity("R is above 1 − 2η(λ_1 − λ_j), by a quotient that is positive, z = λ_1 − ρ …",
            ratio - (1 - e * g), e**2 * g * z / (1 + e * z)),
        rational_identity("… and falls with ρ: its value at ρ = λ_d exceeds it by a positive quotient",
            far - ratio, e**2 * g * x / ((1 + e * (y + g)) * (1 + e * z)), where={x: y + g - z}),
        nonnegative_on_box("it is below 1: so |R| ≤ max(|1 − 2η(λ_1 − λ_j)|, it) < 1 for η(λ_1 − λ_d) < 1",
            1 - far, box),
    ]  # fmt: skip


def _derive_best_step() -> list[ProofStep]:
    narrow, more, eta = sp.symbols("narrow more eta", positive=True)
    wide = narrow + more
    falling, rising = 1 - 2 * eta * narrow, 2 * eta * wide - 1
    step, sizes = best_step(narrow, wide), {narrow: (0, sp.oo), more: (0, sp.oo)}
    return [
        identity("at η = 1/(narrow + wide): 1 − 2η·narrow is the stated rate", falling,
            best_rate(narrow, wide), where={eta: step}),
        identity("and so is 2η·wide − 1", rising, best_rate(narrow, wide), where={eta: step}),
        nonnegative_on_box("the first falls with η …", -sp.Derivative(falling, eta), sizes),
        nonnegative_on_box("… and the second rises: the larger is least where they cross",
            sp.Derivative(rising, eta), sizes),
        identity("2η·wide − 1 reaches 1 at the threshold of the ascent", rising, 1,
            where={eta: threshold_step(wide)}),
    ]  # fmt: skip

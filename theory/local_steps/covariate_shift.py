"""Where exactness ends: clients whose features differ in covariance as well as in target (theory.md §16).

Problem: `Y_i = X_i W_i`, features of covariance `S_i = I + E_i`, mean_i E_i = 0, m → ∞. The mean loss is
`‖AB − W°‖² + const`, `W° = W̄ + mean_i E_iW_i`. Algorithm 2 averages the clients' solutions
`(AᵀS_iA)⁻¹AᵀS_iW_i`, ratios, where the best B is the ratio of averages, AᵀW°.
To first order in E, A the leading r left singular vectors V_1 of W°, the averaged b-step is off by
`Δ = −mean_i AᵀE_iA·AᵀW_i`; the fixed point's tangents are `T_ji = (v_jᵀW°)Δ_iᵀ/(λ_i − λ_j)`, its excess risk
`‖Δ‖² + Σ (λ_i − λ_j)T_ji²`. Clients that share a target of rank ≤ r leave no bias at any shift.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from verification.finding import ProofStep
from verification.proof.identities import identity, rational_identity, sized_identity

Targets = Float[np.ndarray, "N d p"]
Shifts = Float[np.ndarray, "N d d"]


def fit_bias(
    A: Float[np.ndarray, "d r"], shifts: Shifts, targets: Targets
) -> Float[np.ndarray, "r p"]:
    """`Δ = −mean_i AᵀE_iA·AᵀW_i`, first order of the averaged b-step's error. Ours."""
    return np.asarray(-((A.T @ shifts @ A) @ (A.T @ targets)).mean(axis=0))


def tangent_bias(pull: Any, high: Any, low: Any) -> Any:
    """The fixed point's tangent between eigenvalues λ_i > λ_j: pull/(λ_i − λ_j). Ours.

    Args:
        pull: (v_jᵀW°)Δ_iᵀ.
        high, low: λ_i and λ_j.
    """
    return pull / (high - low)


def excess(
    bias: Float[np.ndarray, "r p"],
    left: Float[np.ndarray, "d d"],
    mean: Float[np.ndarray, "d p"],
) -> float:
    """Excess risk of RoLoRA's fixed point, to second order in E. Ours.

    Args:
        bias: Δ.
        left: left singular vectors of `mean`, all d, by falling singular value.
        mean: the mean target at no shift.
    """
    rank = len(bias)
    rows = left.T @ mean
    values = np.square(rows).sum(axis=1)
    high, low = values[None, :rank], values[rank:, None]
    tangents = tangent_bias(rows[rank:] @ bias.T, high, low)
    return float(np.square(bias).sum() + ((high - low) * tangents**2).sum())


def moved_mean(shifts: Shifts, targets: Targets) -> Float[np.ndarray, "d p"]:
    """`Z = mean_i E_iW_i`, by which the mean loss's best matrix W° leaves W̄: exactly. Ours."""
    return np.asarray((shifts @ targets).mean(axis=0))


def fedavg_excess(across: Any, along: Any) -> Any:
    """Excess risk of the exact mean a*b̄*ᵀ where all share a*, to second order in E: across² + along². Ours.

    FedAvg-LoRA's once its clients' local optima are averaged without interference; RoLoRA's is along² alone.

    Args:
        across: ‖(I − a*a*ᵀ)Z b̄*‖/‖b̄*‖.
        along: ‖Zᵀa*‖.
    """
    return across**2 + along**2


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The b-step's error, the fixed point and its excess, and FedAvg-LoRA's.

    Args:
        stretch: multiplies Δ in what is stated; 1 for the true statement.
    """
    return (*_derive_fit(stretch), *_derive_fixed_point(), *_derive_excess(), *_derive_mean())


def _derive_fit(stretch: Any) -> list[ProofStep]:
    d, r, p = sp.symbols("d r p", integer=True, positive=True)
    shapes = {"A": (d, r), "S": (d, d), "E": (d, d), "W": (d, p), "B": (r, p), "F": (r, p)}
    A, S, E, W, B, fit = (sp.MatrixSymbol(name, *size) for name, size in shapes.items())
    D, R, Q, e = (
        sp.MatrixSymbol(n, *size)
        for n, size in (("D", (d, p)), ("R", (d, p)), ("Q", (r, r)), ("e", (r, r)))
    )
    one, square = sp.Identity(r), A.T @ E @ A
    first = -stretch * square @ A.T @ D
    rest = -square @ A.T @ E @ (D - R)
    return [
        sized_identity("every d, r, p: client i's B_i solves AᵀS_iA(B_i − B) = AᵀS_i(W_i − AB) for "
            "every B: with W_i = AB shared by all there is no bias",
            A.T @ S @ A @ (fit - B) - A.T @ S @ (W - A @ B), A.T @ S @ A @ fit - A.T @ S @ W),
        sized_identity("AᵀS_iA = I + e with e = AᵀE_iA, its inverse Q = I − e + Qee",
            Q - (one - e + Q @ e @ e),
            (Q @ (one + e) - one) @ (one - e)),
        sized_identity("with the pooled B, R = AB − W°, AᵀR = 0 and D_i = W_i − W° the right sides have "
            "mean 0, and "
            "−e times one is −e AᵀD_i, and what has two factors E_i; mean_i e W° = 0",
            -square @ A.T @ (D - R + E @ (D - R)), first + rest + square @ A.T @ R),
    ]  # fmt: skip


def _derive_fixed_point() -> list[ProofStep]:
    """In W°'s left singular basis, with rows Ω_1 (r × p) and Ω_2, ΩΩᵀ diagonal."""
    k, r, p = sp.symbols("k r p", integer=True, positive=True)
    e, eta = sp.symbols("epsilon eta", positive=True)
    T, up, below, bias = (
        sp.MatrixSymbol(n, *size)
        for n, size in (("T", (k, r)), ("U", (r, p)), ("L", (k, p)), ("D", (r, p)))
    )
    turn = T.T @ below + bias
    B = up + e * turn
    stated = T - (2 * eta) * (T @ up @ up.T - below @ below.T @ T - below @ bias.T)
    pull, high, low, t = sp.symbols("pull high low t", positive=True)
    mean = sp.MatrixSymbol("M", r, p)
    return [
        sized_identity("at tangents εT and B̄ = AᵀW° + εΔ the a-step leaves the tangents "
            "ε(T − 2η(TΛ_1 − Λ_2T − Ω_2Δᵀ)), up to ε², and Ω_2Ω_1ᵀ = 0",
            e * T - (2 * eta) * (e * T @ B - below) @ B.T, e * stated + (2 * eta) * below @ up.T
            - (2 * eta * e**2) * T @ (up @ turn.T + turn @ up.T + e * turn @ turn.T)),
        sized_identity("beside an A that stays to first order: along V_1 it is I − 2ηε(…)B̄ᵀ",
            sp.Identity(r) - (2 * eta) * (mean - up) @ mean.T,
            sp.Identity(r) - (2 * eta * e) * turn @ mean.T, where={mean: B}),
        rational_identity("so a mode's fixed point is T_ji = (v_jᵀW°)Δ_iᵀ/(λ_i − λ_j)",
            t - 2 * eta * (t * high - low * t - pull), t, where={t: tangent_bias(pull, high, low)}),
    ]  # fmt: skip


def _derive_excess() -> list[ProofStep]:
    d, r, p = sp.symbols("d r p", integer=True, positive=True)
    A, W, bias = (
        sp.MatrixSymbol(n, *size) for n, size in (("A", (d, r)), ("W", (d, p)), ("D", (r, p)))
    )
    missed, one = A @ A.T @ W - W, sp.Identity(r)
    apart, gap = missed + A @ bias, A.T @ A - one
    T, top, rest, K = (
        sp.MatrixSymbol(n, *size)
        for n, size in (("T", (d, r)), ("Lambda", (r, r)), ("Mu", (d, d)), ("K", (r, r)))
    )
    return [
        sized_identity("B̄ = AᵀW° + Δ leaves ‖(I − AAᵀ)W°‖² + ‖Δ‖², up to factors AᵀA − I", apart.T @ apart,
            missed.T @ missed + bias.T @ bias + W.T @ A @ gap @ bias + bias.T @ gap @ A.T @ W
            + bias.T @ gap @ bias),
        sized_identity("and ‖(I − AAᵀ)W°‖² exceeds its least by tr K(TᵀTΛ_1 − TᵀΛ_2T), K = (I + TᵀT)⁻¹: "
            "to second "
            "order Σ(λ_i − λ_j)T_ji²", top - K @ (top + T.T @ rest @ T),
            K @ (T.T @ T @ top - T.T @ rest @ T) - (K @ (one + T.T @ T) - one) @ top),
    ]  # fmt: skip


def _derive_mean() -> list[ProofStep]:
    d, p = sp.symbols("d p", integer=True, positive=True)
    E, W, best = (
        sp.MatrixSymbol(n, *size) for n, size in (("E", (d, d)), ("W", (d, p)), ("M", (d, p)))
    )
    e = sp.Symbol("epsilon", positive=True)
    names = "size x y z_11 z_12 z_21 z_22 norm"
    size, x, y, z11, z12, z21, z22, norm = sp.symbols(names, positive=True)
    # Coordinates (a*, across) × (b̄*, across) of the model (a* + εx)(b̄* + εy)ᵀ less a*b̄*ᵀ + εZ.
    fit = (y - z11) ** 2 + (norm - z12) ** 2 + (x * size - z21) ** 2 + z22**2
    entries = sp.Matrix([[size + e * y, e * norm], [e * x * (size + e * y), e**2 * x * norm]])
    target = sp.Matrix([[size + e * z11, e * z12], [e * z21, e * z22]])
    loss = sum(entry**2 for entry in entries - target)
    return [
        sized_identity("mean_i S_i(W_i − W°) = 0 with mean_i E_i = 0 says W° = mean_i W_i + mean_i E_iW_i",
            (sp.Identity(d) + E) @ (W - best), W + E @ W - best - E @ best),
        identity("all share a*, W° = a*b̄*ᵀ + Z: the loss of (a* + εx)(b̄* + εy)ᵀ is ε² times a sum of "
            "squares, up "
            "to ε³ …", sp.Derivative(loss, (e, 2)) / 2, fit, where={e: 0}),
        rational_identity("… least at y = Zᵀa*, x = (I − a*a*ᵀ)Zb̄*/‖b̄*‖², where one entry of Z is left "
            "…", fit,
            (y - z11) ** 2 + (norm - z12) ** 2 + size**2 * (x - z21 / size) ** 2 + z22**2),
        identity("… so the exact mean, x = y = 0, has the excess ‖Zᵀa*‖² + ‖(I − a*a*ᵀ)Zb̄*‖²/‖b̄*‖², Z's "
            "other ones",
            fit - z22**2, fedavg_excess(z21, sp.sqrt(z11**2 + z12**2)), where={x: 0, y: 0, norm: 0}),
        identity("and RoLoRA's fixed point, a = a* + εx with Δ = −Zᵀa* off the best y, ‖Zᵀa*‖² alone",
            fit - z22**2, z11**2 + z12**2, where={x: z21 / size, y: 0, norm: 0}),
    ]  # fmt: skip

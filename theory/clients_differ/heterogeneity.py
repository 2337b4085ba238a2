"""Heterogeneous clients, population limit: RoLoRA is not biased, FFA-LoRA keeps its floor (theory.md §10).

Problem: `Y_i = X_i a* b_i*ᵀ` with one a* and different b_i*, m → ∞, `b̄* = mean_i b_i*`.
Exact result: a round of Algorithm 2 has `b̄ = cos θ · b̄*` and moves the angle by the map of theory.md §2 with
κ = 2η‖b̄*‖²; the excess risk over the best shared model is `sin²θ ‖b̄*‖²`, which goes to 0 for RoLoRA when
κ < 2 and stays `s0² ‖b̄*‖²` for FFA-LoRA.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from theory.population import population_map
from verification.finding import ProofStep
from verification.proof.identities import (
    follows,
    identity,
    nonnegative_on_box,
    positive,
    rational_identity,
    sized_identity,
)
from verification.proof.means import average, mean


def effective_kappa(eta: Any, mean_norm: Any) -> Any:
    """The dimensionless step `κ = 2η‖b̄*‖²` that decides the angle. Source: theory.md §10."""
    return 2 * eta * mean_norm**2


def excess(sine: Any, mean_norm: Any) -> Any:
    """Excess risk `sin²θ ‖b̄*‖²` over the best shared model, with b̄ = cos θ b̄*. Source: theory.md §10.

    For FFA-LoRA the sine is that of the start for ever: no b̄ does better at this a.
    """
    return sine**2 * mean_norm**2


def excess_after_round(t: Any, kappa: Any, mean_norm: Any) -> Any:
    """Excess risk right after the a-step from tan θ = t, with that round's b̄ and a⁺ normalised. Ours.

    `‖a⁺ b̄ᵀ − a* b̄*ᵀ‖² = ‖b̄*‖² (c² + 1 − 2 c c⁺)`, c and c⁺ the cosines before and after the round.
    """
    after = population_map.next_tangent(t, kappa)
    root = sp.sqrt if isinstance(t, sp.Basic) else np.sqrt
    cosines = 1 / root((1 + t**2) * (1 + after**2))
    return mean_norm**2 * (1 / (1 + t**2) + 1 - 2 * cosines)


def derive(counted: Any = 0) -> tuple[ProofStep, ...]:
    """Decomposition of the risk, b-step, a-step, the map, and the fate of the excess.

    Args:
        counted: share of the clients' spread in the stated strength; 0 for the true statement.
    """
    return (*_derive_round(), *_derive_map(counted), *_derive_least(), *_derive_fate())


def _derive_round() -> list[ProofStep]:
    """Risk, b-step and gradient, for any number of clients."""
    n, p, d = sp.symbols("n p d", integer=True, positive=True)
    # the b_i*ᵀ stacked, c times them, and weights
    T, S, w = (sp.MatrixSymbol(name, n, size) for name, size in (("T", p), ("S", p), ("w", 1)))
    a, a_star, b = (sp.MatrixSymbol(name, size, 1) for name, size in (("a", d), ("A", d), ("b", p)))
    centre, u = sp.MatrixSymbol("B", p, 1), sp.MatrixSymbol("u", d, 1)
    c, e, y, t, square = sp.symbols("c epsilon y t square", real=True)
    column = a * y - a_star * t
    clientwise = a * b.T * b - a_star * w.T * (T * b)
    pooled = (a * b.T - a_star * (w.T * T)) * b
    fit, entry, truth, part = sp.symbols("fit entry truth part", real=True)
    clients = {entry: "entry"}
    typical = mean(entry, clients)
    gap = (part * fit - truth * entry) ** 2  # of one entry of a bᵀ − a* b_i*ᵀ
    return [
        identity("any N, entry by entry: mean_i ‖a bᵀ − a* b_i*ᵀ‖² = ‖a bᵀ − a* b̄*ᵀ‖² + mean_i ‖b_i* − b̄*‖²: "
            "the second part is nobody's to lower", average(gap, clients),
            gap.subs(entry, typical) + truth**2 * average((entry - typical) ** 2, clients)),
        sized_identity("every d: a column of a bᵀ − a* b_i*ᵀ has the square y²‖a‖² − 2yt a*ᵀa + t²‖a*‖², "
            "y and t its entries of b and b_i*", column.T * column, y**2 * a.T * a
            - y * t * (a.T * a_star + a_star.T * a) + t**2 * a_star.T * a_star),
        identity("whose derivative in y is 0 at y = (a*ᵀa) t, for ‖a‖ = 1: client i solves b_i = (a*ᵀa) b_i*",
            sp.Derivative(square * y**2 - 2 * c * y * t + t**2, y), 0, where={y: c * t, square: 1}),
        sized_identity("every d: along a + ε u that column's square has the slope 2y uᵀ(a y − a* t), so "
            "client i's loss has the gradient 2(a bᵀ − a* b_i*ᵀ)b in a",
            (column + e * y * u).T * (column + e * y * u) - column.T * column,
            e * y * (u.T * column + column.T * u) + e**2 * y**2 * u.T * u),
        sized_identity("every N, p and weights: the mean of c b_i* is c b̄*", S.T * w, c * centre,
            where={S: c * T, centre: T.T * w}),
        # Σ w_i (a bᵀ − a* b_i*ᵀ) b = a bᵀb − a* (wᵀT) b: the a-gradient needs only the mean row wᵀT.
        sized_identity("every N, d, p and weights: the a-step sees only b̄*", clientwise, pooled),
    ]  # fmt: skip


def _derive_map(counted: Any) -> list[ProofStep]:
    c, s, eta, t, mean_norm = sp.symbols("c s eta t B", positive=True)
    x, y, beta = sp.symbols("x y beta", real=True)  # a = x·a* + y·v, b̄ = beta·b̄*
    loss = mean_norm**2 * ((x * beta - 1) ** 2 + (y * beta) ** 2)  # ‖a b̄ᵀ − a* b̄*ᵀ‖²
    across, along = (z - eta * sp.Derivative(loss, z) for z in (y, x))
    cosine = 1 / sp.sqrt(1 + t**2)
    strength = sp.sqrt(mean_norm**2 + counted * sp.Symbol("V", positive=True))
    stated = population_map.signed_tangent(t, effective_kappa(eta, strength)) ** 2
    residual = sp.Matrix([[c * c - 1], [s * c]]) * mean_norm  # a b̄ᵀ − a* b̄*ᵀ along b̄*
    risk = residual.dot(residual).subs(c, sp.sqrt(1 - s**2))
    k = sp.Symbol("k", positive=True)
    after = population_map.next_tangent(t, k)
    c0, c1 = 1 / sp.sqrt(1 + t**2), 1 / sp.sqrt(1 + after**2)
    s1_square = 1 - c1**2
    kept = ((c1 * c0 - 1) ** 2 + s1_square * c0**2) * mean_norm**2
    return [
        identity("the angle moves by the map of theory.md §2 with κ = 2η‖b̄*‖² (squares)",
            (across / along) ** 2, stated, where={x: cosine, y: t * cosine, beta: cosine}),
        identity("excess risk with b̄ = cos θ b̄*", risk, excess(s, mean_norm)),
        identity(
            "excess risk between the a-step and the next b-step", kept, excess_after_round(t, k, mean_norm)),
    ]  # fmt: skip


def _derive_least() -> list[ProofStep]:
    """No b does better at its a than b̄ = cos θ b̄*, whatever the width and the number of outputs."""
    y, t, c, s = sp.symbols("y t c s", real=True)  # one entry of b, and of b̄*
    best = (y - c * t) ** 2 + excess(s, t)
    return [
        identity("a column's square, y² − 2cyt + t² with ‖a‖ = ‖a*‖ = 1, c = a*ᵀa, t now an entry of b̄*, is "
            "(y − ct)² + s²t², least at y = ct: no b does better at this a, FFA-LoRA's floor",
            y**2 - 2 * c * y * t + t**2, best, vanishing=(c**2 + s**2 - 1,)),
    ]  # fmt: skip


def _derive_fate() -> list[ProofStep]:
    """For 0 < κ < 2 the tangent falls by a uniform factor at every angle, and the excess with it."""
    u, kappa = sp.symbols("u kappa", positive=True)  # u = tan²θ
    start, now, then, rho, power = sp.symbols("start now then rho power", nonnegative=True)
    ratio = (1 + u - kappa) / (1 + u + kappa * u)
    t, after = sp.symbols("t after", positive=True)
    return [
        rational_identity("tan θ⁺/tan θ is the size of r = (1 + u − κ)/(1 + u + κu), u = tan²θ",
            after / t, ratio,
            where={t: sp.sqrt(u), after: population_map.signed_tangent(sp.sqrt(u), kappa)}),
        positive("1 − κ < r < 1/(1 + κ): so |r| ≤ ρ = max(|1 − κ|, 1/(1 + κ)) …", ratio - (1 - kappa),
            1 / (1 + kappa) - ratio),
        positive("… < 1 for 0 < κ < 2, here κ = 2/(1 + u)", 1 - (1 - 2 / (1 + u)) ** 2,
            1 - 1 / (1 + 2 / (1 + u))),
        follows("so after n + 1 rounds the tangent is at most ρⁿ⁺¹ times the first, if at most ρⁿ after n",
            rho * power * start - then, (rho, power * start - now), (1, rho * now - then)),
        nonnegative_on_box("sin²θ ≤ tan²θ, so the excess sin²θ ‖b̄*‖² goes to 0 geometrically",
            u - u / (1 + u), {u: (0, sp.oo)}),
    ]  # fmt: skip

"""Turns inside a round, as LA-LoRA takes them: the interference is proportional to the angle.

Problem: W_i = a* b_i*ᵀ with infinitely many samples. In a round client i first brings its b to the optimum at
the broadcast unit a, then takes K gradient steps of length η on its a; the server averages both factors.
Exact result: with `a* = c·a + s·u` and `μ_i = 1 − κ_i c²`, κ_i = 2η‖b_i*‖², client i ends at b_i = c b_i* and
`a_i = a*/c + μ_i^K (a − a*/c)`. So the server's product misses the mean product by exactly
`s ‖Cov(μ_i^K, b_i*)‖`, the angle moves by `tan θ⁺ = tan θ · μ̄/(1 + (1 − μ̄) tan²θ)`, μ̄ = mean μ_i^K, and
the excess risk after the round is `(μ̄ s)² ‖b̄*‖²`: no floor, for all κ_i < 2. FedAvg-LoRA's interference
stays when the angle is gone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Shaped

from verification.finding import ProofStep
from verification.proof.identities import (
    identity,
    induction,
    nonnegative_on_box,
    rational_identity,
    sized_identity,
)
from verification.proof.means import average, mean


def kept_share(kappa: Any, cosine: Any, steps: Any) -> Any:
    """`μ_i^K = (1 − κ_i c²)^K`: what K steps leave of client i's distance from a*/c. Ours."""
    return (1 - kappa * cosine**2) ** steps


def interference(
    sine: Any, kept: Shaped[np.ndarray, " N"], targets: Shaped[np.ndarray, "N p"]
) -> Any:
    """`‖ā b̄ᵀ − mean a_i b_iᵀ‖ = s ‖Cov(μ_i^K, b_i*)‖`, of the μ_i^K and the b_i*. Ours.

    The two are float64, or SymPy expressions in object arrays.
    """
    covariance = ((kept - kept.mean())[:, None] * (targets - targets.mean(axis=0))).mean(axis=0)
    square = covariance @ covariance
    return sine * (sp.sqrt(square) if isinstance(square, sp.Basic) else np.sqrt(square))


def next_tangent(t: Any, kept: Any) -> Any:
    """`tan θ⁺` up to its sign, from t = tan θ and μ̄ = mean μ_i^K. Ours."""
    return t * kept / (1 + (1 - kept) * t**2)


def excess(sine: Any, kept: Any, mean_norm: Any) -> Any:
    """Excess risk after the round from sin θ, `(μ̄ s)² ‖b̄*‖²`. Ours."""
    return (kept * sine * mean_norm) ** 2


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """A client's steps for every size and K; the averages for any number of clients; the map and its fate.

    Args:
        stretch: multiplies the stated interference; 1 for the true statement.
    """
    return (*_derive_client(), *_derive_averages(stretch), *_derive_map())


def _derive_client() -> list[ProofStep]:
    d, p = sp.symbols("d p", integer=True, positive=True)
    a, truth, b = sp.MatrixSymbol("a", d, 1), sp.MatrixSymbol("A", d, 1), sp.MatrixSymbol("b", p, 1)
    c, eta, y, t, size = sp.symbols("c eta y t size", positive=True)
    x, goal, ahead, mu = sp.symbols("x goal ahead mu", real=True)
    K = sp.Symbol("K", integer=True, nonnegative=True)
    pull = 2 * eta * (c**2 * x - c * goal) * size**2
    return [
        identity("b-step: a column's square y² − 2cyt + t², for ‖a‖ = 1, is least at y = ct: b_i = c b_i*",
            sp.Derivative(y**2 - 2 * c * y * t + t**2, y), 0, where={y: c * t}),
        sized_identity("every size: client i's gradient in a is 2(a b_iᵀ − a* b_i*ᵀ)b_i = 2(c²a − c "
            "a*)‖b_i*‖²",
            (a * (c * b).T - truth * b.T) * (c * b), (c**2 * a - c * truth) * (b.T * b)),
        identity("one step, entry by entry: the distance from a*/c is multiplied by μ_i = 1 − κ_i c²",
            x - pull - goal / c, kept_share(2 * eta * size**2, c, 1) * (x - goal / c)),
        induction("K steps move a by (1 − μ^K)(a*/c − a), each by (1 − μ) of what is left",
            (1 - mu**K) * ahead, K, (1 - mu) * mu**K * ahead),
    ]  # fmt: skip


def _derive_averages(stretch: Any) -> list[ProofStep]:
    x, goal, kept, beta = sp.symbols("x goal kept beta", real=True)
    c, s = sp.symbols("c s", positive=True)
    clients = {kept: "kept", beta: "beta"}
    a, b = goal / c + kept * (x - goal / c), c * beta  # one entry of a_i, and of b_i
    cov = mean(kept * beta, clients) - mean(kept, clients) * mean(beta, clients)
    N, p = 3, 2
    shares = np.array(sp.symbols(f"k0:{N}", real=True), dtype=object)
    targets = np.array(sp.symbols(f"t0:{N * p}", real=True), dtype=object).reshape(N, p)
    ends = [sp.Matrix([1 / c + k * (c - 1 / c), k * s]) for k in shares]  # along a*, across it
    fits = [c * sp.Matrix(t) for t in targets]
    middle = sum(ends, sp.zeros(2, 1)) / N * (sum(fits, sp.zeros(p, 1)) / N).T
    gap = (
        middle - sum((one * fit.T for one, fit in zip(ends, fits, strict=True)), sp.zeros(2, p)) / N
    )
    circle = (c**2 + s**2 - 1,)
    return [
        identity("any N, entry by entry: mean a_i b_iᵀ − ā b̄ᵀ = (c a − a*) Cov(μ_i^K, b_i*)ᵀ",
            average(a * b, clients) - average(a, clients) * average(b, clients),
            stretch * (c * x - goal) * cov),
        identity("‖c a − a*‖² = c²‖a‖² − 2c·c + ‖a*‖² = s²", (c * c - 1) ** 2 + (c * s) ** 2, s**2,
            vanishing=circle),
        identity(f"the interference as it is computed, for {N} generic b_i* in R^{p} and μ_i^K (squares)",
            sum(entry**2 for entry in gap), interference(s, shares, targets) ** 2,
            vanishing=circle),
    ]  # fmt: skip


def _derive_map() -> list[ProofStep]:
    c, s, t, size = sp.symbols("c s t size", positive=True)
    kept, u, k = sp.symbols("kept u k", real=True)
    onto = {c: 1 / sp.sqrt(1 + t**2), s: t / sp.sqrt(1 + t**2)}
    along, across = 1 / c + kept * (c - 1 / c), kept * s
    risk = size**2 * ((c * along - 1) ** 2 + (c * across) ** 2)
    tangent = sp.Symbol("tangent", positive=True)
    return [
        identity("the averaged a stands at the tangent tan θ · μ̄/(1 + (1 − μ̄) tan²θ)",
            across / along, next_tangent(t, kept), where=onto),
        identity("excess risk of ā b̄ᵀ, b̄ = c b̄*: (μ̄ s)²‖b̄*‖²", risk, excess(s, kept, size),
            vanishing=(c**2 + s**2 - 1,)),
        rational_identity("the tangent shrinks for |μ̄| < 1: 1 − (tan θ⁺/tan θ)² is (1 − μ̄)(1 + u)(1 + μ̄ + "
            "(1 − μ̄)u) over a square, u = tan²θ", 1 - (next_tangent(tangent, kept) / tangent) ** 2,
            (1 - kept) * (1 + u) * (1 + kept + (1 - kept) * u) / (1 + (1 - kept) * u) ** 2,
            where={u: tangent**2}),
        nonnegative_on_box("|μ_i| ≤ 1 for 0 ≤ κ_i ≤ 2 at every angle: 1 − μ_i² ≥ 0",
            1 - kept_share(k, c, 1) ** 2, {k: (0, 2), c: (0, 1)}),
    ]  # fmt: skip

"""Heterogeneous clients, population limit: RoLoRA is not biased, FFA-LoRA keeps its floor (theory.md §10).

Problem: `Y_i = X_i a* b_i*ᵀ` with one a* and different b_i*, m → ∞, `b̄* = mean_i b_i*`.
Exact result: a round of Algorithm 2 has `b̄ = cos θ · b̄*` and moves the angle by the map of theory.md §2 with
κ = 2η‖b̄*‖²; the excess risk over the best shared model is `sin²θ ‖b̄*‖²`, which goes to 0 for RoLoRA when
κ < 2 and stays `s0² ‖b̄*‖²` for FFA-LoRA. With m samples a round, fresh each half-step, different b_i* act
like label noise of σ = τ/‖b̄*‖, `τ² = mean_i (b̄*ᵀ(b_i* − b̄*))²`: a floor of order 1/m remains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from theory.population import population_map
from verification.finding import ProofStep
from verification.proof.identities import identity, nonnegative_on_box, positive, sized_identity


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


def sampling_floor(kappa: Any, spread: Any, mean_norm: Any, d: Any, pooled: Any) -> Any:
    """Stationary E s² with finite samples, at first order in 1/m: `(d−1)κ²τ²/(B⁴M)/(1 − (1−κ)²)`. Ours.

    Args:
        kappa: effective step in (0, 2).
        spread: τ = root mean square of `b̄*ᵀ(b_i* − b̄*)`.
        mean_norm: B = ‖b̄*‖.
        d: input width.
        pooled: M = N·m, fresh samples in each half-step.
    """
    added = (d - 1) * kappa**2 * spread**2 / (mean_norm**4 * pooled)
    return added / (1 - (1 - kappa) ** 2)


def derive() -> tuple[ProofStep, ...]:
    """Decomposition of the risk, b-step, a-step, the map, and the fate of the excess."""
    return (*_derive_round(), *_derive_map(), *_derive_fate())


def _derive_round() -> list[ProofStep]:
    """Three clients, d = 2, p = 2, generic vectors: risk, b-step and gradient."""
    N, p = 3, 2
    targets = [sp.Matrix(sp.symbols(f"b{i}_0:{p}", real=True)) for i in range(N)]
    mean = sum(targets[1:], targets[0]) / N
    a = sp.Matrix(sp.symbols("a0:2", real=True))
    b = sp.Matrix(sp.symbols("y0:2", real=True))
    a_star = sp.Matrix([1, 0])

    def risk(target: sp.Matrix) -> Any:
        return sum(entry**2 for entry in a * b.T - a_star * target.T)

    average = sum(risk(target) for target in targets) / N
    spread = sum((target - mean).dot(target - mean) for target in targets) / N
    fits = []
    for target in targets:
        solution = sp.solve([sp.diff(risk(target), entry) for entry in b], list(b), dict=True)[0]
        fits.append(sp.Matrix([solution[entry] for entry in b]))
    gradient = sp.Matrix([sp.diff(average, entry) for entry in a])
    homogeneous = sp.Matrix([sp.diff(risk(mean), entry) for entry in a])
    return [
        identity("mean_i ‖a bᵀ − a* b_i*ᵀ‖² = ‖a bᵀ − a* b̄*ᵀ‖² + mean_i ‖b_i* − b̄*‖²: the second part is "
            "nobody's to lower (three clients, generic)", average, risk(mean) + spread),
        identity("b-step: mean of the clients' fits = (a*ᵀa/‖a‖²) b̄*, linear in the b_i*",
            sum(fits[1:], fits[0]) / N, mean * a[0] / a.dot(a)),
        identity("a-step: the mean gradient is that of the mean target b̄*", gradient, homogeneous),
        _any_number_of_clients(),
    ]  # fmt: skip


def _any_number_of_clients() -> ProofStep:
    """The sums above for every N, d and p: T = (t_1 … t_N)ᵀ stacked, w the weights, 1ᵀw = 1."""
    n, p, d = sp.symbols("n p d", integer=True, positive=True)
    T, w = sp.MatrixSymbol("T", n, p), sp.MatrixSymbol("w", n, 1)
    a, a_star, b = (sp.MatrixSymbol(name, size, 1) for name, size in (("a", d), ("A", d), ("b", p)))
    # Σ w_i (a bᵀ − a* t_iᵀ) b = a bᵀb − a* (wᵀT) b: the a-gradient needs only the mean row wᵀT.
    clientwise = a * b.T * b - a_star * w.T * (T * b)
    pooled = (a * b.T - a_star * (w.T * T)) * b
    return sized_identity("every N, d, p and weights: the a-step sees only b̄*", clientwise, pooled)


def _derive_map() -> list[ProofStep]:
    c, s, eta, t, mean_norm = sp.symbols("c s eta t B", positive=True)
    # The gradient in a of ‖a b̄ᵀ − a* b̄*ᵀ‖² with b̄ = c b̄*, a = (c, s): 2 c B² (c a − a*).
    slope = 2 * c * mean_norm**2
    moved = sp.Matrix([c - eta * slope * (c * c - 1), s - eta * slope * c * s])
    circle = {c: 1 / sp.sqrt(1 + t**2), s: t / sp.sqrt(1 + t**2)}
    literal = sp.simplify((moved[1] / moved[0]).subs(circle)) ** 2
    stated = population_map.signed_tangent(t, effective_kappa(eta, mean_norm)) ** 2
    residual = sp.Matrix([[c * c - 1], [s * c]]) * mean_norm  # a b̄ᵀ − a* b̄*ᵀ along b̄*
    risk = residual.dot(residual).subs(c, sp.sqrt(1 - s**2))
    y = sp.Symbol("y", real=True)
    free = (c * y - mean_norm) ** 2 + (s * y) ** 2  # any b = (y/B) b̄* at this a
    best = sp.solve(sp.diff(free, y), y)[0]
    least = sp.simplify(free.subs(y, best).subs(c, sp.sqrt(1 - s**2)))
    k = sp.Symbol("k", positive=True)
    after = population_map.next_tangent(t, k)
    c0, c1 = 1 / sp.sqrt(1 + t**2), 1 / sp.sqrt(1 + after**2)
    s1_square = 1 - c1**2
    kept = ((c1 * c0 - 1) ** 2 + s1_square * c0**2) * mean_norm**2
    return [
        identity("the angle moves by the map of theory.md §2 with κ = 2η‖b̄*‖² (squares)", literal, stated),
        identity("excess risk with b̄ = cos θ b̄*", risk, excess(s, mean_norm)),
        identity("no b does better at this a: FFA-LoRA's floor", least, excess(s, mean_norm)),
        identity(
            "excess risk between the a-step and the next b-step", kept, excess_after_round(t, k, mean_norm)),
    ]  # fmt: skip


def _derive_fate() -> list[ProofStep]:
    """For 0 < κ < 2 every angle below a right one falls; with samples the b_i* keep it moving."""
    t, kappa = sp.symbols("t kappa", positive=True)
    larger = 1 + t**2 + kappa * t**2
    return [
        positive("tan θ⁺ < tan θ, first side: (1 + t² + κt²) − (1 + t² − κ) > 0",
            larger - (1 + t**2 - kappa)),
        nonnegative_on_box(
            "second side: (1 + t² + κt²) + (1 + t² − κ) ≥ 0 for 0 ≤ κ ≤ 2 (equal only at κ = 2, t = 0); "
            "so the tangent falls to the only fixed point, 0", sp.expand(larger + 1 + t**2 - kappa),
            {t: (0, sp.oo), kappa: (0, 2)}),
        _derive_sampling_floor(),
    ]  # fmt: skip


def _derive_sampling_floor() -> ProofStep:
    """At a = a* the b-step is exact (b_i = b_i*), the a-step is not; three clients, d = 3."""
    kappa, B, m = sp.symbols("kappa B m", positive=True)
    gaps = sp.symbols("w0:3", real=True)  # b̄*ᵀ(b_i* − b̄*)
    added = sp.Integer(0)
    for axis in range(2):  # coordinates across a*: (G_i a*)_k has mean 0 and variance 1/m
        entries = sp.symbols(f"g{axis}_0:3", real=True)
        force = kappa / B**2 * sum(g * w for g, w in zip(entries, gaps, strict=True)) / 3
        second = sp.Poly(sp.expand(force**2), *entries)
        added += sum(
            coefficient * (sp.Integer(0) if 1 in powers else 1 / m)
            for powers, coefficient in second.terms()
        )
    spread = sp.sqrt(sum(w**2 for w in gaps) / 3)
    return identity(
        "finite m: E‖step at a*‖² = (d − 1)κ²τ²/(B⁴M); against the rate (1 − κ)² of the map this leaves the "
        "stated floor at first order in 1/m",
        added / (1 - (1 - kappa) ** 2),
        sampling_floor(kappa, spread, B, 3, 3 * m),
    )

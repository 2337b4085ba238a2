"""One round with finitely many samples as a step of a one-dimensional Markov chain (theory.md §5).

Problem: rank-1 linear model, homogeneous clients, no label noise, fresh Gaussian data, one round of the
paper's Algorithm 2 with κ = 2 η ||b*||². By rotational invariance the angle alone is Markov.
In the frame (a, u, out of plane) with `a* = c·a + s·u`, `h_i = X_i u`, `g_i = X_i a`:
`ρ_i = g_i·h_i/|g_i|²`, `β = c + s ρ̄`, and `a⁺ ∝ a − κ β s · Ḡ(ρ̄ a − u)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def b_scale(c: Any, s: Any, rho: Any) -> Any:
    """β with b̄ = β b*, from the cosine, the sine and ρ̄. Source: theory.md §1."""
    return c + s * rho


def pull_of_new_batch(rho: Any, gamma: Any, along: Any, across: Any) -> tuple[Any, Any, Any]:
    """`Ḡ(ρ̄ a − u)` in the frame (a, u, out of plane) when the a-step has its own samples.

    Args:
        rho: ρ̄.
        gamma: χ²_M / M, the Rayleigh quotient of Ḡ along ρ̄ a − u.
        along: sqrt(γ/M) · N(0, 1), what leaks within the plane.
        across: sqrt(γ/M) · χ_{d−2}, what leaks out of it.

    Source: theory.md §5, with (τ w1, τ w2) written as independent normals.
    """
    return gamma * rho + along, -gamma + along * rho, (1 + rho**2) ** 0.5 * across


def pull_of_same_batch(rho: Any, gg: Any, gh: Any, hh: Any, across: Any) -> tuple[Any, Any, Any]:
    """`Ḡ(ρ̄ a − u)` in the same frame when both half-steps see the same samples.

    Args:
        rho: ρ̄.
        gg, gh, hh: sums over clients of |g_i|², g_i·h_i, |h_i|², each over M.
        across: χ_{d−2} / sqrt(M).

    Source: theory.md §5.
    """
    spread = rho**2 * gg - 2 * rho * gh + hh
    return rho * gg - gh, rho * gh - hh, spread**0.5 * across


def next_angle(c: Any, s: Any, kappa: Any, rho: Any, pull: tuple[Any, Any, Any]) -> tuple[Any, Any]:
    """Cosine and sine of the angle after the round; works on floats, arrays and SymPy expressions.

    The sine is s times a factor: it keeps its relative precision however small it is.

    Args:
        c, s: cosine (any sign) and sine (≥ 0) before the round.
        kappa: 2 η ||b*||².
        rho: ρ̄ of the b-step.
        pull: `Ḡ(ρ̄ a − u)` in the frame (a, u, out of plane).
    """
    p, q, out = pull
    gain = kappa * b_scale(c, s, rho)
    inside = 1 - gain * (s * p - c * q)  # minus the in-plane part orthogonal to a*, over s
    beside = gain * out
    sine = s * (inside**2 + beside**2) ** 0.5
    cosine = c - gain * s * (c * p + s * q)
    length = (cosine**2 + sine**2) ** 0.5
    return cosine / length, sine / length


def excess_of_round(c: Any, s: Any, c_next: Any, s_next: Any, rho: Any) -> Any:
    """`||a⁺ b̄ᵀ − a* b*ᵀ||² / ||b*||²`, = (β − c⁺)² + s⁺², without cancellation at small angles."""
    near = c * c_next > 0
    total = np.where(near, c + c_next, 1.0)
    # c − c⁺ = (s⁺² − s²)/(c + c⁺) when the signs agree.
    change = np.where(near, (s_next - s) * (s_next + s) / total, c - c_next)
    return (change + s * rho) ** 2 + s_next**2


def excess_of_frozen(s: Any, rho: Any) -> Any:
    """`||a b̄ᵀ − a* b*ᵀ||² / ||b*||² = s²(1 + ρ̄²)` for b̄ fitted to the same a. Source: theory.md §1."""
    return s**2 * (1 + rho**2)

"""One round with finitely many samples as a step of a one-dimensional Markov chain (theory.md §5).

Problem: rank-1 linear model, homogeneous clients, no label noise, fresh Gaussian data, one round of the
paper's Algorithm 2 with κ = 2 η ||b*||². By rotational invariance the angle alone is Markov.
In the frame (a, u, out of plane) with `a* = c·a + s·u`, `g_i = X_i a`, `h_i = X_i u`:
`ρ_i = g_i·h_i/|g_i|²`, `β = c + s ρ̄`, and `a⁺ ∝ a − κ β s · Ḡ(ρ̄ a − u)`.
The functions take floats, arrays and SymPy expressions; `derive` checks them against the loss.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import sympy as sp

from verification.finding import ProofStep
from verification.proof.identities import identity, sized_identity
from verification.proof.means import average, mean


def b_scale(c: Any, s: Any, rho: Any) -> Any:
    """β with b̄ = β b*, from the cosine, the sine and ρ̄. Source: theory.md §1."""
    return c + s * rho


def pull_of_new_batch(rho: Any, gamma: Any, along: Any, across: Any) -> tuple[Any, Any, Any]:
    """`Ḡ(ρ̄ a − u)` in the frame (a, u, out of plane) when the a-step has its own samples.

    Args:
        gamma: χ²_M / M, the Rayleigh quotient of Ḡ along ρ̄ a − u.
        along: sqrt(γ/M) · N(0, 1), what leaks within the plane.
        across: sqrt(γ/M) · χ_{d−2}, what leaks out of it.

    Source: theory.md §5, with (τ w1, τ w2) written as independent normals.
    """
    return gamma * rho + along, -gamma + along * rho, _sqrt(1 + rho**2) * across


def pull_of_same_batch(rho: Any, gg: Any, gh: Any, hh: Any, across: Any) -> tuple[Any, Any, Any]:
    """`Ḡ(ρ̄ a − u)` in the same frame when both half-steps see the same samples.

    Args:
        gg, gh, hh: sums over clients of |g_i|², g_i·h_i, |h_i|², each over M.
        across: χ_{d−2} / sqrt(M).

    Source: theory.md §5.
    """
    spread = rho**2 * gg - 2 * rho * gh + hh  # Σ |ρ̄ g_i − h_i|² / M
    return rho * gg - gh, rho * gh - hh, _sqrt(spread) * across


def next_direction(
    c: Any, s: Any, kappa: Any, rho: Any, pull: tuple[Any, Any, Any]
) -> tuple[Any, Any, Any]:
    """The moved factor before normalisation: along a*, and orthogonal to it over s (in and out of plane).

    Dividing by s is exact, because the step is proportional to s: nothing cancels at small angles.

    Args:
        c, s: cosine (any sign) and sine (≥ 0) before the round.
        pull: `Ḡ(ρ̄ a − u)` in the frame (a, u, out of plane).
    """
    p, q, out = pull
    gain = kappa * b_scale(c, s, rho)
    return c - gain * s * (c * p + s * q), 1 - gain * (s * p - c * q), gain * out


def next_angle(c: Any, s: Any, kappa: Any, rho: Any, pull: tuple[Any, Any, Any]) -> tuple[Any, Any]:
    """Cosine and sine (≥ 0) of the angle after the round. Arguments as in `next_direction`.

    The sine is s times a factor, so it keeps its relative precision however small it is.
    """
    cosine, inside, beside = next_direction(c, s, kappa, rho, pull)
    sine = s * _sqrt(inside**2 + beside**2)
    length = _sqrt(cosine**2 + sine**2)
    return cosine / length, sine / length


def cosine_drop(c: Any, s: Any, c_next: Any, s_next: Any) -> Any:
    """`c − c⁺` as (s⁺² − s²)/(c + c⁺), without cancellation at small angles.

    For cosines of one sign; where they differ in sign, c − c⁺ itself does not cancel.
    """
    return (s_next - s) * (s_next + s) / (c + c_next)


def excess_of_round(drop: Any, s: Any, s_next: Any, rho: Any) -> Any:
    """`||a⁺ b̄ᵀ − a* b*ᵀ||² / ||b*||² = (β − c⁺)² + s⁺²`, with drop = c − c⁺."""
    return (drop + s * rho) ** 2 + s_next**2


def excess_of_fit(s: Any, rho: Any) -> Any:
    """`||a b̄ᵀ − a* b*ᵀ||² / ||b*||² = s²(1 + ρ̄²)` for the a that b̄ was fitted to. Source: theory.md §1."""
    return s**2 * (1 + rho**2)


def derive() -> tuple[ProofStep, ...]:
    """Every formula above from the loss, for any number of clients, samples and any width."""
    return (*_fit(), *_gradient(), *_pulls(), *_moves())


def _fit() -> list[ProofStep]:
    """The clients' fits and their mean, in the vectors a and u with a* = c·a + s·u."""
    d = sp.Symbol("d", integer=True, positive=True)
    a, u, G = (
        sp.MatrixSymbol("a", d, 1),
        sp.MatrixSymbol("u", d, 1),
        sp.MatrixSymbol("G", d, d),
    )
    b, c, s, B, rho = sp.symbols("b c s B rho", real=True)
    gg, gh = sp.symbols("gg gh", positive=True)  # aᵀGa and aᵀGu
    residual = (b - c * B) * a - s * B * u
    hh = sp.Symbol("hh", positive=True)
    loss = (b - c * B) ** 2 * gg - 2 * (b - c * B) * s * B * gh + s**2 * B**2 * hh
    clients = {rho: "rho"}
    return [
        sized_identity("any d: client i's loss at b b*/‖b*‖ is a quadratic in b",
            residual.T @ G @ residual, (b - c * B) ** 2 * a.T @ G @ a
            - (b - c * B) * s * B * (a.T @ G @ u + u.T @ G @ a) + s**2 * B**2 * u.T @ G @ u),
        identity("client i: its slope is 0 at (c + s ρ_i) b*, ρ_i = aᵀG_iu/aᵀG_ia", sp.Derivative(loss, b),
            sp.Integer(0), where={b: B * b_scale(c, s, gh / gg)}),
        identity("any N: their mean is (c + s ρ̄) b*", average(b_scale(c, s, rho), clients),
            b_scale(c, s, mean(rho, clients))),
    ]  # fmt: skip


def _gradient() -> list[ProofStep]:
    """The averaged gradient of the loss at (a, b̄)."""
    d = sp.Symbol("d", integer=True, positive=True)
    a, u, y = (sp.MatrixSymbol(name, d, 1) for name in ("a", "u", "y"))
    G, H = (sp.MatrixSymbol(name, d, d) for name in ("G", "H"))
    e, c, s, rho, size = sp.symbols("epsilon c s rho size", real=True)
    beta = b_scale(c, s, rho)
    rest, moved = size * a - (c * a + s * u), size * (a + e * y) - (c * a + s * u)
    here = beta * a - (c * a + s * u)
    return [
        sized_identity("any d: along y client i's loss over ‖b*‖² has the slope 2β yᵀG_i(βa − a*)",
            moved.T @ G @ moved - rest.T @ G @ rest,
            e * size * (y.T @ G @ rest + rest.T @ G @ y) + e**2 * size**2 * y.T @ G @ y),
        sized_identity("any N: one more client adds its own G to what Σ G_i does to a vector",
            (H + G) @ rest, H @ rest + G @ rest),
        sized_identity("β a − a* = s(ρ̄ a − u): so the averaged gradient at (a, b̄) is 2 ‖b*‖² β s Ḡ(ρ̄ a − u)",
            here, s * (rho * a - u)),
    ]  # fmt: skip


def _pulls() -> list[ProofStep]:
    """What pulls on the direction, in the frame (a, u, out of plane)."""
    g, h, rho, gamma, along, across = sp.symbols("g h rho gamma along across", real=True)
    p, q, out = pull_of_same_batch(rho, g**2, g * h, h**2, across)  # of one sample
    length = sp.sqrt(1 + rho**2)
    unit, beside = sp.Matrix([rho, -1, 0]) / length, sp.Matrix([1, rho, 0]) / length
    return [
        identity("same batch: in-plane part of Ḡ(ρ̄ a − u), a sample's share; both sides add up over samples",
            sp.Matrix([p, q]), sp.Matrix([(rho * g - h) * g, (rho * g - h) * h])),
        identity("same batch: out of plane the sum over samples of (ρ̄ g − h) w has variance Σ (ρ̄ g − h)²",
            out**2, (rho * g - h) ** 2 * across**2),
        identity("new batch: |V| (γ V/|V| + leaks orthogonal to V), V = ρ̄ a − u",
            sp.Matrix(pull_of_new_batch(rho, gamma, along, across)),
            length * (gamma * unit + along * beside + sp.Matrix([0, 0, across]))),
    ]  # fmt: skip


def _moves() -> list[ProofStep]:
    """The direction after the step, and the losses before and after it."""
    s, kappa = sp.symbols("s kappa", positive=True)
    c, rho = sp.symbols("c rho", real=True)
    a, truth = sp.Matrix([1, 0, 0]), sp.Matrix([c, s, 0])
    pull = sp.symbols("p q o", real=True)
    moved = a - kappa * b_scale(c, s, rho) * s * sp.Matrix(pull)
    forward = (truth.T * moved)[0, 0]
    aside = moved - truth * forward
    cosine, inside, outside = next_direction(c, s, kappa, rho, pull)
    c_next, s_next = next_angle(c, s, kappa, rho, pull)
    c_after, s_after = sp.symbols("c_after s_after", real=True)
    beta = b_scale(c, s, rho)
    circles = (c**2 + s**2 - 1, c_after**2 + s_after**2 - 1)
    on_circle = partial(identity, vanishing=circles)
    return [
        on_circle("component along a* of a − κ β s Ḡ(ρ̄ a − u)", cosine, forward),
        on_circle("squared length of its component orthogonal to a*", s**2 * (inside**2 + outside**2),
            (aside.T * aside)[0, 0]),
        identity("cos²θ⁺ + sin²θ⁺ = 1", c_next**2 + s_next**2, 1),
        identity("tan²θ⁺ is the ratio of the two", s_after**2 * cosine**2,
            c_after**2 * s**2 * (inside**2 + outside**2), where={s_after: s_next, c_after: c_next}),
        on_circle("c − c⁺ = (s⁺² − s²)/(c + c⁺)", cosine_drop(c, s, c_after, s_after), c - c_after),
        on_circle("||a⁺ b̄ᵀ − a* b*ᵀ||² = ||b*||² ((β − c⁺)² + s⁺²)",
            excess_of_round(c - c_after, s, s_after, rho), (beta * c_after - 1) ** 2 + (beta * s_after) ** 2),
        on_circle("||a b̄ᵀ − a* b*ᵀ||² = ||b*||² s² (1 + ρ̄²)", excess_of_fit(s, rho),
            (beta * c - 1) ** 2 + (beta * s) ** 2),
    ]  # fmt: skip


def _sqrt(value: Any) -> Any:
    """Square root that stays exact on SymPy expressions."""
    return sp.sqrt(value) if isinstance(value, sp.Basic) else np.sqrt(value)

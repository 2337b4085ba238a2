"""Heterogeneous clients and finitely many samples: what spread keeps RoLoRA's angle from 0 (theory.md §10).

Problem: `Y_i = X_i a* b_i*ᵀ`, one averaged gradient step on a, fresh samples in each half-step, B = ‖b̄*‖,
κ = 2ηB², M = N·m, v and q of theory.md §6, and `τ² = mean_i (b̄*ᵀ(b_i* − b̄*))²`: the clients' spread along
b̄*, which alone counts to first order.
Exact result: a* is no resting point. From a = a* a round moves a across a* by `(κ/B²) mean_i w_i G_i a*`,
w_i = b̄*ᵀ(b_i* − b̄*), of mean square `(d − 1)κ²τ²/(B⁴M)`, whatever the spread. As τ → 0 with s/τ kept,
`E s⁺² = ((1 − κ)² + κ²q) s² + (d − 1)κ²τ²/(B⁴M)`, so for every m > 2
`E s²_∞ → (d − 1)κ²τ²/(B⁴M) / (1 − (1 − κ)² − κ²q)`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from theory.samples import mean_square_rate as rate
from theory.samples import noise
from theory.samples.bstep import mean_variance
from theory.samples.moments import (
    Law,
    Symmetric,
    chi_squared_moment,
    expected,
    normal_moment,
)
from verification.finding import ProofStep
from verification.proof.identities import identity, sized_identity
from verification.proof.means import average, mean, moment_of


def spread_along_mean(targets: Float[np.ndarray, "N p"]) -> float:
    """`τ`, root mean square of the clients' `b̄*ᵀ(b_i* − b̄*)`. Ours."""
    centre = targets.mean(axis=0)
    return float(np.sqrt(np.mean(np.square((targets - centre) @ centre))))


def round_spread(kappa: Any, spread: Any, mean_norm: Any, d: Any, pooled: Any) -> Any:
    """What one round adds to E s²: `(d − 1)κ²τ²/(B⁴M)`, τ = `spread`, B = `mean_norm`, M = `pooled`. Ours."""
    return (d - 1) * kappa**2 * spread**2 / (mean_norm**4 * pooled)


def floor(kappa: Any, spread: Any, mean_norm: Any, d: Any, clients: Any, samples: Any) -> Any:
    """Stationary E s² at first order in τ², m > 2. Arguments as for `round_spread`. Ours.

    Raises:
        ValueError: if numbers are given for which the mean square is not stable, κ ≥ 2/(1 + q).
    """
    kept = rate.stable_rate_squared(kappa, rate.noise_ratio(d, clients, samples))
    return round_spread(kappa, spread, mean_norm, d, clients * samples) / (1 - kept)


def first_order_floor(kappa: Any, spread: Any, mean_norm: Any, d: Any, pooled: Any) -> Any:
    """The same at first order in 1/m too, `(d − 1)κ²τ²/(B⁴M)/(1 − (1 − κ)²)`: too small at finite m. Ours."""
    return round_spread(kappa, spread, mean_norm, d, pooled) / (1 - (1 - kappa) ** 2)


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The linearised round for every size, its second moment, the fixed point; the move from a*.

    Args:
        stretch: multiplies the stated floor; 1 for the true statement.
    """
    return (
        *noise.derive_gradient(),
        *_derive_linearisation(),
        *_derive_second_moment(),
        *_derive_floor(stretch),
    )


def _derive_linearisation() -> list[ProofStep]:
    """One client's part of the a-step, for every d, from a = a* + εx with b_i* = b̄* + ε e_i."""
    d = sp.Symbol("d", integer=True, positive=True)
    e, r, omega, w, B = sp.symbols("epsilon r omega w B", real=True)
    a_star, x, G = (
        sp.MatrixSymbol("A", d, 1),
        sp.MatrixSymbol("X", d, 1),
        sp.MatrixSymbol("G", d, d),
    )
    # b̄ = (1 + εr) b̄* to first order; over B², (a b̄ᵀ − a* b_i*ᵀ) b̄ with b̄*ᵀb_i* = B²(1 + εω_i):
    literal = G * ((a_star + e * x) * (1 + e * r) ** 2 - a_star * (1 + e * omega) * (1 + e * r))
    first = G * (x + r * a_star - omega * a_star)
    rest = G * (r * x + (1 + e * r) * r * x + r * (r - omega) * a_star)
    fit, entry, other = sp.symbols("rho t o", real=True)
    spread, slope = {entry: "t", fit: "rho"}, {fit: "rho"}
    # one entry of mean_i b_i, b_i* = b̄* + ε e_i
    small = average((1 - e * fit) * (other + e * entry), spread)
    return [
        identity("b-step, any N: b̄ = (1 + εr) b̄* + O(ε²), r = −mean ρ_i ξ, since the e_i have mean 0",
            sp.Derivative(small, e), mean(entry, spread) - other * mean(fit, slope), where={e: 0}),
        sized_identity("a-step, every d: client i pulls by ε B² G_i(x + r a* − ω_i a*) + O(ε²), "
            "ω_i = b̄*ᵀe_i/B²", literal, e * first + e**2 * rest),
        sized_identity("at a = a* the b-step is exact, b_i = b_i*, and client i pulls by −w_i G_i a*, "
            "whatever the spread, w_i = b̄*ᵀ(b_i* − b̄*)", G * (a_star * B**2 - a_star * omega),
            -w * G * a_star, where={omega: B**2 + w}),
    ]  # fmt: skip


def _derive_second_moment() -> list[ProofStep]:
    """E‖x − κ mean_i P G_i(x + (r − ω_i) a*)‖², x = ξu: N independent clients, the first axis a*, then u.

    G_i ~ Wishart_d(m)/m: E g_uu = 1, E g_uu² = 1 + 2/m, E g_uk² = E g_u1² = E g_k1² = 1/m, mean 0 off the
    diagonal. A mean over independent clients has the mean of their means, and the mean of their variances
    over N. r = −ξρ̄ is independent of the a-step's samples, of mean 0 and variance ξ²v.
    """
    N, m, d, kappa, xi, tau, B, v = sp.symbols("N m d kappa xi tau B v", positive=True)
    x, z = sp.symbols("x z", positive=True)
    r, omega, g_uu, g_uk, g_u1, g_k1 = sp.symbols("r omega g_uu g_uk g_u1 g_k1", real=True)
    laws: dict[sp.Symbol, Law] = dict.fromkeys((g_uk, g_u1, g_k1), Symmetric(1 / m))
    laws |= {g_uu: {1: 1, 2: 1 + 2 / m}.__getitem__}
    known = {moment_of({omega: "omega"}, (1,)): 0, moment_of({omega: "omega"}, (2,)): tau**2 / B**4}
    second = sp.Integer(0)
    for pull, here, axes in (
        (xi * g_uu + (r - omega) * g_u1, xi, 1),
        (xi * g_uk + (r - omega) * g_k1, 0, d - 2),
    ):
        centre = expected(pull, laws)
        variance = average(expected(pull**2, laws) - centre**2, {omega: "omega"})
        second += axes * ((here - kappa * centre) ** 2 + kappa**2 * variance / N)
    found = expected(second, {r: Symmetric(xi**2 * v)})
    q = (d + (d - 1) * v) / (N * m)
    return [
        identity("any N, m > 2 and d: E‖x⁺‖² = ((1 − κ)² + κ²q) ξ² + (d − 1)κ²τ²/(B⁴M), τ² = B⁴ mean ω_i²",
            found, rate.rate_squared(kappa, q) * xi**2 + round_spread(kappa, tau, B, d, N * m), where=known),
        identity("E r² = ξ² v: −r is the mean of N ratios ρ_i ξ",
            N * expected((z * xi / N) ** 2 / x, {z: normal_moment, x: partial(chi_squared_moment, m)}),
            xi**2 * mean_variance(N, m)),
    ]  # fmt: skip


def _derive_floor(stretch: Any) -> list[ProofStep]:
    kappa, tau, B, d, N, m = sp.symbols("kappa tau B d N m", positive=True)
    stated, added = stretch * floor(kappa, tau, B, d, N, m), round_spread(kappa, tau, B, d, N * m)
    q = sp.Symbol("q", nonnegative=True)
    no_noise = added / (1 - rate.rate_squared(kappa, q))
    return [
        *rate.derive_recursion(kappa, rate.noise_ratio(d, N, m), added, stated),
        identity("with q = 0 in what is kept, it is the first order in 1/m", no_noise,
            first_order_floor(kappa, tau, B, d, N * m), where={q: 0}),
    ]  # fmt: skip

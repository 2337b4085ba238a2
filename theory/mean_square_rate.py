"""The exact mean-square rate of RoLoRA on fresh samples at small angles (theory.md §6).

Rank-1 linear model, homogeneous clients, no label noise, Algorithm 2 with separate samples in the two
half-steps, M = N·m, κ = 2 η ||b*||². As the angle distance s → 0,
`E[s⁺²]/s² → (1 − κ)² + κ² q`, q = (d + (d − 1) v)/M, v = Var ρ̄ = 1/(N(m − 2)), for m > 2.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory import moments
from theory.finding import ProofStep
from theory.proof import identity


def coefficient_variance(clients: Any, samples: Any) -> Any:
    """The variance v = Var ρ̄ = 1/(N(m − 2)): what the averaged least-squares step adds to b̄, for m > 2."""
    return moments.student_variance(samples) / (samples * clients)


def noise_ratio(d: Any, clients: Any, samples: Any) -> Any:
    """The noise ratio q = (d + (d − 1) v)/M: width over pooled samples, up to v.

    Args:
        d: input width ≥ 2.
        clients: N ≥ 1.
        samples: m > 2 per client and half-step.

    Source: theory.md §6. Works on numbers, arrays and SymPy expressions.
    """
    return (d + (d - 1) * coefficient_variance(clients, samples)) / (clients * samples)


def rate_squared(kappa: Any, q: Any) -> Any:
    """The limit of E[s⁺²]/s² is (1 − κ)² + κ² q as the angle goes to 0. Source: theory.md §6."""
    return (1 - kappa) ** 2 + kappa**2 * q


def optimal_kappa(q: Any) -> Any:
    """The step with the smallest mean-square rate: κ° = 1/(1 + q)."""
    return 1 / (1 + q)


def best_rate_squared(q: Any) -> Any:
    """The mean-square rate at the optimal step: q/(1 + q)."""
    return q / (1 + q)


def threshold_kappa(q: Any) -> Any:
    """The mean square of the angle shrinks iff κ < 2/(1 + q)."""
    return 2 / (1 + q)


def next_in_frame(
    c: Any, s: Any, kappa: Any, rho: Any, gamma: Any, tau: Any, w1: Any, w2: Any
) -> tuple[Any, Any, Any]:
    """One round before normalisation in the frame (a, u, out of plane), where a* = c·a + s·u.

    b̄ = β b* with β = c + s ρ̄, and Ḡ n = γ n + τ w for the unit vector n along ρ̄ a − u, w ⟂ n a unit
    vector with part w1 in the plane and w2 out of it. Source: theory.md §5.
    """
    step = kappa * (c + s * rho) * s
    out = (1 + rho**2) ** sp.Rational(1, 2) * tau * w2
    return (
        1 - step * (gamma * rho + tau * w1),
        -step * (-gamma + tau * w1 * rho),
        -step * out,
    )


def derive() -> tuple[ProofStep, ...]:
    """The rate from the literal round: the vector round, its small-angle limit, its moments."""
    return (*moments.derive((-1, 1, 2)), *_frame(), *_limit(), *_optimum())


def _frame() -> list[ProofStep]:
    """The a-step in the frame from the gradient 2 B² β Ḡ(β a − a*), with Ḡ n = γ n + τ w."""
    c, s, rho, gamma, tau, w1, w2, kappa = sp.symbols("c s rho gamma tau w1 w2 kappa", real=True)
    length = sp.sqrt(1 + rho**2)
    n = sp.Matrix([rho, -1, 0]) / length
    across = sp.Matrix([1, rho, 0]) / length  # the direction of the plane orthogonal to n
    image = gamma * n + tau * (w1 * across + w2 * sp.Matrix([0, 0, 1]))  # Ḡ n
    beta = c + s * rho
    residual = beta * sp.Matrix([1, 0, 0]) - sp.Matrix([c, s, 0])  # β a − a*
    moved = sp.Matrix([1, 0, 0]) - kappa * beta * s * length * image
    return [
        identity(
            "β a − a* = s (ρ̄ a − u): the gradient is proportional to s", residual, s * length * n
        ),
        identity(
            "a − η∇ in the frame, κ = 2ηB²",
            moved,
            sp.Matrix(next_in_frame(c, s, kappa, rho, gamma, tau, w1, w2)),
        ),
    ]


def _limit() -> list[ProofStep]:
    h = sp.Symbol("h", positive=True)  # h = tan(θ/2), so that c and s are rational
    rho, gamma, tau, w1, w2, kappa = sp.symbols("rho gamma tau w1 w2 kappa", real=True)
    c, s = (1 - h**2) / (1 + h**2), 2 * h / (1 + h**2)
    along, inside, out = next_in_frame(c, s, kappa, rho, gamma, tau, w1, w2)
    off = (c * inside - s * along) ** 2 + out**2  # squared part of a⁺ orthogonal to a*
    ratio = sp.cancel(sp.together(off / s**2)) / (along**2 + inside**2 + out**2)
    limit = sp.expand(ratio.subs(h, 0))
    linear = (1 - kappa * gamma + kappa * tau * w1 * rho) ** 2 + kappa**2 * (
        1 + rho**2
    ) * tau**2 * w2**2
    steps = [
        identity(
            "s⁺²/s² → (1 − κγ + κτw₁ρ̄)² + κ²(1 + ρ̄²)τ²w₂² as s → 0 (dominated for m > 2)",
            limit,
            linear,
        )
    ]
    N, m, d = sp.symbols("N m d", positive=True)
    M = N * m
    chi_m, chi_rest, spread = sp.symbols("chi_M chi_rest spread", positive=True)
    # γ ~ χ²_M/M, τ² = (γ/M) χ²_(d−1), w uniform on the sphere of R^(d−1), ρ̄ a mean of N scaled t's.
    inside_law = moments.sphere_second_moment(d - 1)
    expanded = sp.expand(linear.subs(w2**2, 1 - w1**2)).subs(
        {gamma: chi_m / M, tau: sp.sqrt(chi_m * chi_rest) / M}
    )
    laws: dict[sp.Symbol, moments.Law] = {
        w1: moments.symmetric_law(inside_law),
        rho: moments.symmetric_law(spread),
        chi_m: moments.chi_squared_law(M),
        chi_rest: moments.chi_squared_law(d - 1),
    }
    mean = moments.expectation(expanded, laws).subs(spread, coefficient_variance(N, m))
    t, x = sp.symbols("t x", positive=True)
    one = moments.expectation(t**2 / x, {t: moments.normal_law(), x: moments.chi_squared_law(m)})
    return [
        *steps,
        identity("Var ρ̄ = E[t²/χ²_m]/N = v", one / N, coefficient_variance(N, m)),
        identity(
            "its expectation is (1 − κ)² + κ² q, q = (d + (d − 1) v)/M",
            mean,
            rate_squared(kappa, noise_ratio(d, N, m)),
        ),
    ]


def _optimum() -> list[ProofStep]:
    kappa, q = sp.symbols("kappa q", positive=True)
    rate = rate_squared(kappa, q)
    best = sp.solve(sp.diff(rate, kappa), kappa)[0]
    return [
        identity("the only stationary step (a convex parabola in κ)", best, optimal_kappa(q)),
        identity("the rate there", rate.subs(kappa, optimal_kappa(q)), best_rate_squared(q)),
        identity(
            "rate² − 1 = κ (1 + q) (κ − 2/(1 + q)): it shrinks exactly for κ < 2/(1 + q)",
            rate - 1,
            kappa * (1 + q) * (kappa - threshold_kappa(q)),
        ),
    ]

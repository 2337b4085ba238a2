"""The exact second moment of a round at any angle, which near the solution makes tan² a supermartingale.

Rank 1, fresh samples in each half-step, N clients with m > 4 samples, M = N·m, κ = 2 η ||b*||²: what the
moved factor keeps orthogonal to a*, before it is normalised, over s = sin θ.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import sympy as sp

from theory.samples import finite_sample, mean_square_rate, moments
from theory.samples.bstep import mean_variance
from verification.finding import ProofStep
from verification.proof.identities import identity, nonnegative_on_box


def fourth_moment(clients: Any, samples: Any) -> Any:
    """`E ρ̄⁴ = 3[1/(N³(m − 2)(m − 4)) + (N − 1)/(N³(m − 2)²)]`, m > 4."""
    one = 1 / (samples - 2)
    return 3 * one * (1 / (samples - 4) + (clients - 1) * one) / clients**3


def second_moment(square: Any, kappa: Any, d: Any, clients: Any, samples: Any) -> Any:
    """`E‖(I − a*a*ᵀ)â⁺‖²/s²` of the factor before it is normalised, exactly; `square` is s², m > 4."""
    v, f = mean_variance(clients, samples), fourth_moment(clients, samples)
    return _second(square, kappa, d, clients * samples, v, f)


def _second(square: Any, kappa: Any, d: Any, pooled: Any, v: Any, f: Any) -> Any:
    c2 = 1 - square
    b2, b4 = c2 + square * v, c2**2 + 6 * c2 * square * v + square**2 * f
    wide = c2 * (1 + v) + square * (v + f)  # E β²(1 + ρ̄²)
    return 1 - 2 * kappa * b2 + kappa**2 * ((1 + 1 / pooled) * b4 + (d - 1) / pooled * wide)


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The moments of ρ̄, the second moment from the literal round, and where it is largest.

    Args:
        stretch: multiplies the stated step; 1 for the true statement.
    """
    c, s, kappa, M, d, N, m = sp.symbols("c s kappa M d N m", positive=True)
    z, rho = sp.symbols("z rho", real=True)
    chi, across, f, v = sp.symbols("chi across f v", positive=True)
    pull = finite_sample.pull_of_new_batch(rho, chi**2 / M, chi * z / M, chi * across / M)
    _, inside, beside = finite_sample.next_direction(c, s, kappa, rho, pull)
    slope = {0: 1, 2: v, 4: f}
    laws: dict[sp.Symbol, moments.Law] = {
        z: moments.normal_moment,
        rho: lambda power: 0 if power % 2 else slope[power],
        chi: partial(_even, M),
        across: partial(_even, d - 2),
    }
    found = moments.expected(sp.expand(inside**2 + beside**2), laws)
    given = _second(s**2, stretch * kappa, d, M, v, f)
    square = sp.Symbol("square", positive=True)
    one = {k: moments.chi_squared_moment(m, -k) for k in (1, 2)}
    return (
        identity("E(Σ 1/χ²)² of N clients: N E χ⁻⁴ + N(N − 1)(E χ⁻²)², times E z⁴/N⁴ = 3/N⁴, is E ρ̄⁴",
            fourth_moment(N, m), 3 * (N * one[2] + N * (N - 1) * one[1] ** 2) / N**4),
        identity("E‖(I − a*a*ᵀ)â⁺‖²/s², whatever the angle, from the literal round", found, given,
            vanishing=(c**2 + s**2 - 1,)),
        identity("it goes to the rate at small angles", second_moment(0, kappa, d, N, m),
            mean_square_rate.rate_squared(kappa, mean_square_rate.noise_ratio(d, N, m))),
        nonnegative_on_box("it is convex in s² where v ≤ 1/6, so largest at an end of an interval",
            sp.Derivative(_second(square, kappa, d, M, v, f), square, 2),
            {v: (0, sp.Rational(1, 6)), kappa: (0, sp.oo), M: (1, sp.oo), f: (0, sp.oo)}),
    )  # fmt: skip


def _even(degrees: Any, power: int) -> Any:
    return 0 if power % 2 else moments.chi_squared_moment(degrees, power // 2)

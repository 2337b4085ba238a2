"""The exact mean-square rate of RoLoRA on fresh samples at small angles (theory.md §6).

Rank-1 linear model, homogeneous clients, no label noise, Algorithm 2 with separate samples in the two
half-steps, M = N·m, κ = 2 η ||b*||². As the angle distance s → 0,
`E[s⁺²]/s² → (1 − κ)² + κ² q`, q = (d + (d − 1) v)/M, v = Var ρ̄ = 1/(N(m − 2)), for m > 2.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import sympy as sp

from theory.samples import finite_sample, moments
from theory.samples.bstep import mean_variance
from verification.finding import ProofStep
from verification.proof.identities import identity, nonnegative_on_box


def noise_ratio(d: Any, clients: Any, samples: Any) -> Any:
    """The noise ratio q = (d + (d − 1) v)/M: width over pooled samples, up to v.

    For m > 2 samples per client and half-step. Source: theory.md §6. Works on numbers, arrays and SymPy
    expressions.
    """
    return (d + (d - 1) * mean_variance(clients, samples)) / (clients * samples)


def rate_squared(kappa: Any, q: Any) -> Any:
    """The limit of E[s⁺²]/s² is (1 − κ)² + κ² q as the angle goes to 0. Source: theory.md §6."""
    return (1 - kappa) ** 2 + kappa**2 * q


def stable_rate_squared(kappa: Any, q: Any) -> Any:
    """The same, of a step for which a stationary mean square exists.

    Raises:
        ValueError: if numbers are given with κ ≥ 2/(1 + q).
    """
    kept = rate_squared(kappa, q)
    if not isinstance(kept, sp.Basic) and kept >= 1:
        raise ValueError(
            f"kappa must be below 2/(1 + q) for a mean square to exist, got {kappa} with"
            f" mean-square rate {kept:.6g}"
        )
    return kept


def optimal_kappa(q: Any) -> Any:
    """The step with the smallest mean-square rate: κ° = 1/(1 + q)."""
    return 1 / (1 + q)


def best_rate_squared(q: Any) -> Any:
    """The mean-square rate at the optimal step: q/(1 + q)."""
    return q / (1 + q)


def threshold_kappa(q: Any) -> Any:
    """The mean square of the angle shrinks iff κ < 2/(1 + q)."""
    return 2 / (1 + q)


def derive_recursion(kappa: Any, q: Any, added: Any, floor: Any) -> list[ProofStep]:
    """That a linearised round, keeping `rate_squared` of a mean square and adding `added`, tends to `floor`.

    Args:
        kappa, q, added, floor: expressions in positive symbols.
    """
    s2, e, across, along = sp.symbols("s2 epsilon across along", positive=True)
    kept = rate_squared(kappa, q)
    return [
        identity("normalising changes nothing at first order: the tangent of a* + ε(along, across) is "
            "ε·across up to ε²", e * across / (1 + e * along),
            e * across - e**2 * across * along / (1 + e * along)),
        identity("the distance of the mean square from the fixed point is multiplied by what a round keeps …",
            kept * s2 + added - floor, kept * (s2 - floor)),
        identity("… which is below 1 exactly for κ < 2/(1 + q): so it tends to the fixed point",
            1 - kept, kappa * (1 + q) * (threshold_kappa(q) - kappa)),
    ]  # fmt: skip


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The rate from the literal round: the chain from the loss, its small-angle limit, its moments.

    Args:
        stretch: multiplies the stated noise ratio; 1 for the true statement.
    """
    chain = finite_sample.derive()
    return (*moments.derive((-1, 1, 2)), *chain, *_limit(stretch), *_domination(), *_optimum())


def _limit(stretch: Any) -> list[ProofStep]:
    rho, gamma, along, across, kappa = sp.symbols("rho gamma along across kappa", real=True)
    pull = finite_sample.pull_of_new_batch(rho, gamma, along, across)
    # s⁺²/s² = (inside² + beside²)/(cosine² + s² (inside² + beside²)), continuous at s = 0, c = 1.
    cosine, inside, beside = finite_sample.next_direction(
        sp.Integer(1), sp.Integer(0), kappa, rho, pull
    )
    ratio = (inside**2 + beside**2) / cosine**2
    linear = (1 - kappa * gamma + kappa * along * rho) ** 2 + kappa**2 * (1 + rho**2) * across**2
    N, m, d = sp.symbols("N m d", positive=True)
    M = N * m
    chi_m, chi_rest = sp.symbols("chi_M chi_rest", positive=True)  # roots of χ² variables
    z, slope = sp.symbols("z slope", real=True)
    # γ = χ²_M/M, along = sqrt(γ/M) z, across = sqrt(γ/M) χ_(d−2), ρ̄ a mean of N scaled t's.
    drawn = ratio.xreplace(
        {
            gamma: chi_m**2 / M,
            along: chi_m * z / M,
            across: chi_m * chi_rest / M,
            rho: slope,
        }
    )
    laws: dict[sp.Symbol, moments.Law] = {
        z: moments.normal_moment,
        slope: moments.Symmetric(mean_variance(N, m)),
        chi_m: partial(_even_moment, M),
        chi_rest: partial(_even_moment, d - 2),
    }
    mean = moments.expected(drawn, laws)
    t, x = sp.symbols("t x", positive=True)
    of_x = partial(moments.chi_squared_moment, m)
    one = moments.expected((t / N) ** 2 / x, {t: moments.normal_moment, x: of_x})
    return [
        identity(
            "s⁺²/s² → (1 − κγ + κτw₁ρ̄)² + κ²(1 + ρ̄²)τ²w₂² as s → 0 (dominated for m > 2)", ratio,
            linear),
        identity("Var ρ̄ = E[t²/χ²_m]/N = v", N * one, mean_variance(N, m)),
        identity("its expectation is (1 − κ)² + κ² q, q = (d + (d − 1) v)/M", mean,
            rate_squared(kappa, stretch * noise_ratio(d, N, m))),
    ]  # fmt: skip


def _even_moment(degrees: Any, power: int) -> Any:
    """Of the root of a χ² variable; one of odd order stands beside an odd power of z, of mean 0."""
    if power % 2:
        raise ValueError(f"power must be even, got {power}")
    return moments.chi_squared_moment(degrees, power // 2)


def _domination() -> list[ProofStep]:
    """What bounds s⁺²/s² for every s where the step along a is short, with a finite mean."""
    half, x, y = sp.symbols("half x y", real=True)
    rho, kappa, p, q, out = sp.symbols("rho kappa p q out", real=True)
    c, s = (1 - half**2) / (1 + half**2), 2 * half / (1 + half**2)  # every angle but 180°
    moved = finite_sample.next_direction(c, s, kappa, rho, (p, q, out))
    gain = kappa * finite_sample.b_scale(c, s, rho)
    length = moved[0] ** 2 + s**2 * (moved[1] ** 2 + moved[2] ** 2)
    gamma, along, across, v, M, d = sp.symbols("gamma along across v M d", positive=True)
    new = finite_sample.pull_of_new_batch(rho, gamma, along, across)
    laws: dict[sp.Symbol, moments.Law] = {
        along: moments.Symmetric(1 / M),
        rho: moments.Symmetric(v),
        gamma: lambda power: moments.chi_squared_moment(M, power) / M**power,
        across: {2: (d - 2) / M}.__getitem__,
    }
    return [
        identity("for every s the moved factor has squared length (1 − x)² + κ²β²s²(q² + o²), x = κβsp, for "
            "a pull (p, q, o)", length,
            (1 - gain * s * p) ** 2 + gain**2 * s**2 * (q**2 + out**2)),
        nonnegative_on_box("where |x| ≤ ½ it is at least ¼ …", (1 - x) ** 2 - sp.Rational(1, 4),
            {x: (-sp.Rational(1, 2), sp.Rational(1, 2))}),
        identity("… and the squared length across a* over s² is (1 − x + y)² + z², y = κβcq, z = κβo …",
            moved[1] ** 2 + moved[2] ** 2,
            (1 - gain * s * p + gain * c * q) ** 2 + (gain * out) ** 2),
        identity("… at most 3(1 + x² + y²) + z²: the difference is a sum of squares",
            3 * (1 + x**2 + y**2) - (1 - x + y) ** 2, (1 + x) ** 2 + (1 - y) ** 2 + (x + y) ** 2),
        identity("where also s|ρ̄| ≤ 1, so |β| ≤ 2: s⁺²/s² ≤ 15 + 16κ²(3q² + o²), whose mean needs no more "
            "than v = Var ρ̄", moments.expected(3 * new[1] ** 2 + new[2] ** 2, laws),
            3 * ((M + 2) + v) / M + (1 + v) * (d - 2) / M),
    ]  # fmt: skip


def _optimum() -> list[ProofStep]:
    kappa, q = sp.symbols("kappa q", positive=True)
    rate = rate_squared(kappa, q)
    return [
        identity(
            "the only stationary step (a convex parabola in κ)",
            sp.Derivative(rate, kappa),
            0,
            where={kappa: optimal_kappa(q)},
        ),
        identity("the rate there", rate, best_rate_squared(q), where={kappa: optimal_kappa(q)}),
        identity(
            "rate² − 1 = κ (1 + q) (κ − 2/(1 + q)): it shrinks exactly for κ < 2/(1 + q)",
            rate - 1,
            kappa * (1 + q) * (kappa - threshold_kappa(q)),
        ),
    ]

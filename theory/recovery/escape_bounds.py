"""Logarithmic bounds on the rounds from a start to a target angle, with their derivation (theory.md §3).

Population map, κ = 2 η ||b*||². A round divides tan θ by 1 + κ while the angle is large and multiplies it by
|1 − κ| when it is small; both with corrections that the map states exactly and that sum to constants.
"""

from __future__ import annotations

import math
from typing import Any

import sympy as sp

from theory.population import population_map
from verification.finding import ProofStep
from verification.proof.identities import identity, nonnegative_on_box, rational_identity


def approximate_rounds(start: Any, target: Any, kappa: Any, *, log: Any = math.log) -> Any:
    """Rounds from tan θ = start ≥ 1 to tan θ ≤ target ≤ 1, up to a constant of κ in (0, 1) or (1, 2).

    `log(start)/log(1 + κ) + log(1/target)/log(1/|1 − κ|)`: escape, then local contraction.

    `log` is the natural logarithm of the caller's kind of number. Source: theory.md §3.
    """
    return log(start) / log(1 + kappa) - log(target) / log(1 / abs(1 - kappa))


def extra_rounds(kappa: Any, *, log: Any = math.log) -> Any:
    """At most this many rounds more than `approximate_rounds`, for κ in (0, 1), any start and target."""
    late = kappa * (1 + kappa) ** 2 / ((1 - kappa) * (2 + kappa))
    return 2 + late / log(1 / (1 - kappa))


def spared_rounds(kappa: Any, *, log: Any = math.log) -> Any:
    """At most this many rounds fewer than `approximate_rounds`, for κ in (0, 1), any start and target."""
    early = kappa * (1 + kappa) / (2 + kappa)
    return early / log(1 + kappa) + log((2 + kappa) / (2 - kappa)) / log(1 / (1 - kappa))


def extra_rounds_above_one(kappa: Any, *, log: Any = math.log) -> Any:
    """At most this many rounds more than `approximate_rounds`, κ in (1, 2), target² ≤ κ − 1."""
    return sp.Rational(3, 2) + log(1 / (kappa - 1)) / (2 * log(1 + kappa))


def _ratio(t: sp.Symbol, kappa: Any) -> Any:
    """Tan θ⁺/tan θ without its absolute value, positive for κ < 1."""
    return sp.cancel(population_map.signed_tangent(t, kappa) / t)


def derive() -> tuple[ProofStep, ...]:
    """Escape and contraction, each with its correction summed as a geometric series."""
    return (*_ratio_steps(), *_sum_steps(), *_above_one_steps())


def _ratio_steps() -> tuple[ProofStep, ...]:
    t, u, x = sp.symbols("t u x", positive=True)
    kappa = sp.Symbol("kappa", positive=True)
    ratio = _ratio(t, kappa)
    width = 1 + (1 + kappa) * t**2
    return (
        rational_identity("escape: (1 + κ) tan θ⁺/tan θ = 1 − κ²/(1 + (1 + κ)tan²θ) < 1",
            (1 + kappa) * ratio, 1 - kappa**2 / width),
        rational_identity("contraction: tan θ⁺/((1 − κ)tan θ) = 1 + κ²tan²θ/((1 − κ)(1 + (1 + κ)tan²θ)) > 1",
            ratio / (1 - kappa), 1 + kappa**2 * t**2 / ((1 - kappa) * width)),
        rational_identity("the ratio grows with tan²θ: its derivative is κ²/(1 + (1 + κ)tan²θ)²",
            sp.diff(ratio, t) / (2 * t), kappa**2 / width**2),
        rational_identity("log(1 + x) ≤ x for x ≥ 0: the gap is 0 at 0 and its derivative is x/(1 + x)",
            sp.diff(x - sp.log(1 + x), x), x / (1 + x)),
        rational_identity(
            "−log(1 − x) ≤ x/(1 − x) for 0 ≤ x < 1: the gap is 0 at 0, its derivative x/(1 − x)²",
            sp.diff(x / (1 - x) + sp.log(1 - x), x), x / (1 - x) ** 2),
        nonnegative_on_box("a contraction round's correction is at most κ²tan²θ/(1 − κ)",
            (1 - kappa) * (kappa**2 * u / (1 - kappa)) - kappa**2 * u / (1 + (1 + kappa) * u),
            {u: (0, sp.oo), kappa: (0, 1)}),
        rational_identity("an escape round's correction is at most κ²/((1 + κ)(1 − κ + tan²θ)), "
            "so at most κ²/((1 + κ)tan²θ)",
            sp.cancel((kappa**2 / width) / (1 - kappa**2 / width)),
            kappa**2 / ((1 + kappa) * (1 - kappa + t**2))),
        rational_identity(
            "the first tangent below 1 is at least the ratio at tan θ = 1, (2 − κ)/(2 + κ)", ratio.subs(t, 1),
            (2 - kappa) / (2 + kappa)),
    )  # fmt: skip


def _sum_steps() -> tuple[ProofStep, ...]:
    """Add the phases up. Tangents fall by at least 1 + κ a round, so corrections sum geometrically."""
    x, start, inverse = sp.symbols("x start inverse", positive=True)
    kappa = 1 - x  # 0 < x < 1, so that |1 − κ| = x
    late_rate = sp.log(1 / (1 - kappa))
    series = 1 / (1 - (1 + kappa) ** -2)  # Σ_j (1 + κ)^(−2j)
    late = kappa**2 / (1 - kappa) * series
    early = kappa**2 / (1 + kappa) * series
    floor = (2 - kappa) / (2 + kappa)
    target = 1 / inverse
    about = approximate_rounds(start, target, kappa, log=sp.log)
    upper = (sp.log(start) / sp.log(1 + kappa) + 1) + ((sp.log(inverse) + late) / late_rate + 1)
    lower = (sp.log(start) - early) / sp.log(1 + kappa) + (
        sp.log(inverse) + sp.log(floor)
    ) / late_rate
    return (
        _logs_equal("upper bound, κ < 1: [escape to tan θ < 1] + [contraction to the target] adds up to the "
            "approximation + extra_rounds(κ), whatever start and target", upper,
            about + extra_rounds(kappa, log=sp.log)),
        _logs_equal(
            "lower bound, κ < 1: the same sum from below is the approximation − spared_rounds(κ)", lower,
            about - spared_rounds(kappa, log=sp.log)),
    )  # fmt: skip


def _above_one_steps() -> tuple[ProofStep, ...]:
    x, start, inverse = sp.symbols("x start inverse", positive=True)
    t = sp.Symbol("t", positive=True)
    kappa = 1 + x  # 0 < x < 1
    ratio = _ratio(t, kappa)
    width = 1 + (1 + kappa) * t**2
    about = approximate_rounds(start, 1 / inverse, kappa, log=sp.log)
    turn = sp.sqrt(x)  # tan θ = sqrt(κ − 1), where the ratio changes sign
    upper = (sp.log(start / turn) / sp.log(1 + kappa) + 1) + (
        sp.log(turn * inverse) / sp.log(1 / x) + 1
    )
    return (
        rational_identity("κ in (1, 2), tan²θ ≥ κ − 1: 1/(1 + κ) − tan θ⁺/tan θ is κ²/((1 + κ)(…)) > 0",
            1 / (1 + kappa) - ratio, kappa**2 / ((1 + kappa) * width)),
        rational_identity("κ in (1, 2), tan²θ ≤ κ − 1: (κ − 1) − tan θ⁺/tan θ is κ²tan²θ/(…) > 0",
            (kappa - 1) + ratio, kappa**2 * t**2 / width),
        _logs_equal(
            "upper bound, κ in (1, 2): escape to tan²θ < κ − 1, then contraction by κ − 1, adds up to "
            "the approximation + extra_rounds_above_one(κ)", upper,
            about + extra_rounds_above_one(kappa, log=sp.log)),
    )  # fmt: skip


def _logs_equal(statement: str, left: Any, right: Any) -> ProofStep:
    """Equality of expressions in logarithms of positive symbols and of rational functions of κ."""
    difference = sp.expand_log(left - right, force=True)
    return identity(statement, sp.simplify(sp.expand(sp.cancel(difference))), sp.Integer(0))

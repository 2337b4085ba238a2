"""Logarithmic bounds on the rounds from a start to a target angle, with their derivation (theory.md §3).

Population map, κ = 2 η ||b*||². A round divides tan θ by 1 + κ while the angle is large and multiplies it by
|1 − κ| when it is small; both with corrections that the map states exactly and that add up to constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import sympy as sp

from theory.population import population_map
from verification.finding import ProofStep
from verification.proof.identities import by_slope, follows, nonnegative_on_box, rational_identity


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
    """One round's bounds, the potentials that fall with them, and the rounds counted from those."""
    return (*_ratio_steps(), *_below_one_steps(), *_above_one_steps())


def _ratio_steps() -> tuple[ProofStep, ...]:
    t, u, x = sp.symbols("t u x", positive=True)
    kappa = sp.Symbol("kappa", positive=True)
    ratio = _ratio(t, kappa)
    width = 1 + (1 + kappa) * t**2
    early = sp.cancel((kappa**2 / width) / (1 - kappa**2 / width)).subs(t, sp.sqrt(u))
    box = {u: (0, sp.oo), kappa: (0, 1)}
    return (
        rational_identity("escape: (1 + κ) tan θ⁺/tan θ = 1 − κ²/(1 + (1 + κ)tan²θ) < 1",
            (1 + kappa) * ratio, 1 - kappa**2 / width),
        rational_identity("contraction: tan θ⁺/((1 − κ)tan θ) = 1 + κ²tan²θ/((1 − κ)(1 + (1 + κ)tan²θ)) > 1",
            ratio / (1 - kappa), 1 + kappa**2 * t**2 / ((1 - kappa) * width)),
        rational_identity("the ratio grows with tan²θ: its derivative is κ²/(1 + (1 + κ)tan²θ)²",
            sp.diff(ratio, t) / (2 * t), kappa**2 / width**2),
        *by_slope("log(1 + x) ≤ x", x - sp.log(1 + x), x, {x: (0, sp.oo)}),
        *by_slope("−log(1 − x) ≤ x/(1 − x) for x < 1", x / (1 - x) + sp.log(1 - x), x, {x: (0, 1)}),
        nonnegative_on_box("so a contraction round's correction is at most κ²tan²θ/(1 − κ)",
            (1 - kappa) * (kappa**2 * u / (1 - kappa)) - kappa**2 * u / (1 + (1 + kappa) * u), box),
        nonnegative_on_box("and an escape round's, x/(1 − x) at x = κ²/(1 + (1 + κ)tan²θ), is at most "
            "κ²/((1 + κ)tan²θ)", kappa**2 / ((1 + kappa) * u) - early, box),
        rational_identity(
            "the first tangent below 1 is at least the ratio at tan θ = 1, (2 − κ)/(2 + κ)", ratio.subs(t, 1),
            (2 - kappa) / (2 + kappa)),
        rational_identity("κ in (1, 2), tan²θ ≥ κ − 1: 1/(1 + κ) − tan θ⁺/tan θ is κ²/((1 + κ)(…)) > 0",
            1 / (1 + kappa) - ratio, kappa**2 / ((1 + kappa) * width)),
        rational_identity("κ in (1, 2), tan²θ ≤ κ − 1: (κ − 1) − tan θ⁺/tan θ is κ²tan²θ/(…) > 0",
            (kappa - 1) + ratio, kappa**2 * t**2 / width),
    )  # fmt: skip


w, escape, contract = sp.symbols("w l_escape l_contract", positive=True)
"""κ or κ − 1 is 1/(1 + w), which runs through (0, 1); log(1 + κ) and log(1/|1 − κ|), both positive."""
n_escape, n_contract = sp.symbols("n_escape n_contract", integer=True, nonnegative=True)
"""Rounds until tan θ is below 1 (below sqrt(κ − 1) for κ > 1), and from there to the target."""
log_start, log_first = sp.symbols("log_start log_first", nonnegative=True)
log_target = sp.Symbol("log_target", nonpositive=True)
"""Logarithms of tan θ at the start, of (2 + κ)/(2 − κ), and of the target."""


def _logarithm(kappa: Any) -> Callable[[Any], Any]:
    """A logarithm that knows those of the quantities above by name: log of the start is `log_start`."""
    named = {
        1 + kappa: escape,
        1 / abs(1 - kappa): contract,
        (2 + kappa) / (2 - kappa): log_first,
    }
    named = {sp.factor(value): name for value, name in named.items()} | {
        log_start: log_start,
        log_target: log_target,
    }
    return lambda value: named[sp.factor(value)]


def _rounds(upper: Any, kappa: Any) -> Any:
    """`approximate_rounds` and a formula of κ in named logarithms, their sum or difference."""
    log = _logarithm(kappa)
    return approximate_rounds(log_start, log_target, kappa, log=log) + upper(kappa, log=log)


def _below_one_steps() -> tuple[ProofStep, ...]:
    """A potential for either direction falls by a fixed amount a round, so that nothing need be summed."""
    kappa = 1 / (1 + w)
    log_t, log_next, now, then = sp.symbols("log_t log_next V V_next", real=True)
    square, square_next, inverse, inverse_next = sp.symbols("u u_next i i_next", positive=True)
    n, fall = sp.Symbol("n", integer=True, nonnegative=True), sp.Symbol("fall", positive=True)
    log = _logarithm(kappa)
    c = (extra_rounds(kappa, log=log) - 2) * contract
    total = kappa * (1 + kappa) / (2 + kappa)
    e = kappa / ((1 + kappa) * (2 + kappa))
    last = kappa**2 / (1 + kappa)
    reached = sp.Symbol("log_after", nonpositive=True)
    return (
        follows("what falls by at least λ in each round falls by (n + 1)λ in n + 1, if by nλ in n",
            log_t - (n + 1) * fall - then, (1, log_t - n * fall - now), (1, now - fall - then)),
        follows("contraction: log t + c t² falls by λ = log 1/(1 − κ) a round, c = (extra_rounds − 2)λ",
            log_t + c * square - contract - (log_next + c * square_next),
            (1, log_t - contract + kappa**2 * square / (1 - kappa) - log_next),
            (sp.factor(c), square / (1 + kappa) ** 2 - square_next)),
        follows("upper bound, κ < 1: not below 1 a round before n_escape, not at the target a round "
            "before the end: together at most the approximation + extra_rounds(κ)",
            _rounds(extra_rounds, kappa) - n_escape - n_contract,
            (1 / escape, log_start - (n_escape - 1) * escape),
            (1 / contract, c - (n_contract - 1) * contract - log_target)),
        follows("escape: log t + e/t² falls by at most log(1 + κ) a round, e = κ/((1 + κ)(2 + κ))",
            log_next + e * inverse_next + escape - (log_t + e * inverse),
            (1, log_next - log_t + escape + kappa**2 * inverse / (1 + kappa)),
            (sp.factor(e), inverse_next - (1 + kappa) ** 2 * inverse)),
        follows("so n_escape log(1 + κ) is at least log start − κ(1 + κ)/(2 + κ)",
            n_escape * escape - log_start + total,
            (1, log_t + e * inverse - log_start + (n_escape - 1) * escape),  # one round before
            (1, reached - log_t + escape + last * inverse),
            (1, -reached),
            (sp.factor(e + last), 1 - inverse)),
        follows("lower bound, κ < 1: with tan θ ≥ (2 − κ)/(2 + κ) after escape, and a fall by at most "
            "log 1/(1 − κ) a round: at least the approximation − spared_rounds(κ)",
            n_escape + n_contract - _rounds(_minus(spared_rounds), kappa),
            (1 / escape, n_escape * escape - log_start + total),
            (1 / contract, log_target + log_first + n_contract * contract)),
        follows("the same where start and target 1 leave n_escape out: R rounds from tan θ ≥ 1 to exactly 1",
            n_escape - _rounds(_minus(spared_rounds), kappa).subs(log_target, 0),
            (1 / escape, n_escape * escape - log_start + e),
            (sp.factor(last / escape), 1),
            (log_first / contract, 1)),
    )  # fmt: skip


def _minus(formula: Any) -> Any:
    return lambda kappa, log: -formula(kappa, log=log)


def _above_one_steps() -> tuple[ProofStep, ...]:
    kappa = 1 + 1 / (1 + w)
    return (
        follows("upper bound, κ in (1, 2): tan θ falls by 1 + κ a round until below sqrt(κ − 1), then by "
            "1/(κ − 1): together at most the approximation + extra_rounds_above_one(κ)",
            _rounds(extra_rounds_above_one, kappa) - n_escape - n_contract,
            (1 / escape, log_start + contract / 2 - (n_escape - 1) * escape),
            (1 / contract, -contract / 2 - (n_contract - 1) * contract - log_target)),
    )  # fmt: skip

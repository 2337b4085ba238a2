"""Logarithmic bounds on the rounds from a start to a target angle, with their derivation (theory.md §3).

Population map, κ = 2 η ||b*||². A round divides tan θ by 1 + κ while the angle is large and multiplies it by
|1 − κ| when it is small; both with corrections that the map states exactly and that add up to constants.
"""

import math
from typing import Any

import sympy as sp

from theory.population import population_map
from verification.finding import ProofStep
from verification.proof.identities import (
    by_slope,
    follows,
    identity,
    nonnegative_on_box,
    rational_identity,
)


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


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """One round's bounds, the potentials that fall with them, and the rounds counted from those.

    Args:
        stretch: multiplies the step of the stated bounds; 1 for the true statement.
    """
    return (*_ratio_steps(), *_below_one_steps(), *_above_one_steps(), *_sums(stretch))


def _ratio_steps() -> tuple[ProofStep, ...]:
    t, u, x = sp.symbols("t u x", positive=True)
    kappa = sp.Symbol("kappa", positive=True)
    ratio = _ratio(t, kappa)
    width = 1 + (1 + kappa) * t**2
    return (
        rational_identity("escape: (1 + κ) tan θ⁺/tan θ = 1 − y, y = κ²/(1 + (1 + κ)tan²θ)",
            (1 + kappa) * ratio, 1 - kappa**2 / width),
        rational_identity("contraction: tan θ⁺/((1 − κ)tan θ) = 1 + x, "
            "x = κ²tan²θ/((1 − κ)(1 + (1 + κ)tan²θ))",
            ratio / (1 - kappa), 1 + kappa**2 * t**2 / ((1 - kappa) * width)),
        *by_slope("log(1 + x) ≤ x", x - sp.log(1 + x), x, {x: (0, sp.oo)}),
        *by_slope("log(1 + x) ≥ 0", sp.log(1 + x), x, {x: (0, sp.oo)}),
        *by_slope("−log(1 − x) ≥ 0 for x < 1", -sp.log(1 - x), x, {x: (0, 1)}),
        *by_slope("−log(1 − x) ≤ x/(1 − x) for x < 1", x / (1 - x) + sp.log(1 - x), x, {x: (0, 1)}),
        rational_identity(
            "the ratio at tan θ = 1 is (2 − κ)/(2 + κ)", ratio, (2 - kappa) / (2 + kappa), where={t: 1}),
        *_signs(ratio.subs(t, sp.sqrt(u)), u, kappa),
    )  # fmt: skip


def _signs(ratio: Any, u: sp.Symbol, kappa: sp.Symbol) -> tuple[ProofStep, ...]:
    """Where the corrections lie, u = tan²θ."""
    more, share, beyond = sp.symbols("more share beyond", positive=True)
    y = kappa**2 / (1 + (1 + kappa) * u)
    r, r_1, t = sp.symbols("r r_1 t", positive=True)
    box, above = {u: (0, sp.oo), kappa: (0, 1)}, {beyond: (0, 1), more: (0, sp.oo)}
    far, near = ({kappa: 1 + beyond, u: beyond + more}, {kappa: 1 + beyond, u: beyond * share})
    return (
        nonnegative_on_box("κ in (0, 1): y ≤ 1, so the tangent keeps its sign …", 1 - y, box),
        nonnegative_on_box("… and falls, from below 1 on for good", 1 - ratio, box),
        nonnegative_on_box("a contraction round's correction x is at most κ²tan²θ/(1 − κ)",
            (1 - kappa) * (kappa**2 * u / (1 - kappa)) - kappa**2 * u / (1 + (1 + kappa) * u), box),
        nonnegative_on_box("an escape round's, y/(1 − y), is at most κ²/((1 + κ)tan²θ)",
            kappa**2 / ((1 + kappa) * u) - sp.cancel(y / (1 - y)), box),
        nonnegative_on_box("from tan θ ≥ 1 the ratio is at least that at 1 …",
            (ratio - ratio.subs(u, 1)).subs(u, 1 + more), {kappa: (0, 1), more: (0, sp.oo)}),
        follows("… and so is the tangent it leads to", t * r - r_1, (1, r - r_1), (r, t - 1)),
        nonnegative_on_box("κ in (1, 2), tan²θ ≥ κ − 1: 0 ≤ y ≤ 1 there too", (1 - y).subs(far), above),
        rational_identity("κ in (1, 2): tan θ⁺/tan θ = −(κ − 1)(1 − z), "
            "z = κ²tan²θ/((κ − 1)(1 + (1 + κ)tan²θ))",
            ratio, (1 - kappa) * (1 - kappa**2 * u / ((kappa - 1) * (1 + (1 + kappa) * u)))),
        nonnegative_on_box("and 0 ≤ z ≤ 1 where tan²θ ≤ κ − 1, from where on the tangent falls for good",
            sp.cancel((ratio / (1 - kappa)).subs(near)), {beyond: (0, 1), share: (0, 1)}),
    )  # fmt: skip


w, escape, contract = sp.symbols("w l_escape l_contract", positive=True)
"""κ or κ − 1 is 1/(1 + w), which runs through (0, 1); log(1 + κ) and log(1/|1 − κ|), both positive."""
n_escape, n_contract = sp.symbols("n_escape n_contract", integer=True, nonnegative=True)
"""Rounds until tan θ is below 1 (below sqrt(κ − 1) for κ > 1), and from there to the target."""
log_start, log_first = sp.symbols("log_start log_first", nonnegative=True)
log_target = sp.Symbol("log_target", nonpositive=True)
"""Logarithms of tan θ at the start, of (2 + κ)/(2 − κ), and of the target."""


def _named(kappa: Any) -> dict[Any, sp.Symbol]:
    """What the names above are logarithms of; the logarithm of the start is `log_start` itself."""
    values = {
        1 + kappa: escape,
        1 / abs(1 - kappa): contract,
        (2 + kappa) / (2 - kappa): log_first,
    }
    named = {sp.factor(value): name for value, name in values.items()}
    return named | {log_start: log_start, log_target: log_target}


def _rounds(more: Any, kappa: Any, of: Any = None) -> Any:
    """`approximate_rounds` and a formula of κ, in the logarithms that have names at the step `of`, or κ."""
    named = _named(kappa if of is None else of)

    def log(value: Any) -> Any:
        value = sp.factor(value)
        return named[value] if value in named else sp.log(value)

    return approximate_rounds(log_start, log_target, kappa, log=log) + more(kappa, log=log)


def _below_one_steps() -> tuple[ProofStep, ...]:
    """A potential for either direction falls by a fixed amount a round, so that nothing need be summed."""
    kappa = 1 / (1 + w)
    log_t, log_next, log_end, now, then = sp.symbols("log_t log_next log_end V V_next", real=True)
    square, square_next, inverse, inverse_next = sp.symbols("u u_next i i_next", positive=True)
    n, fall = sp.Symbol("n", integer=True, nonnegative=True), sp.Symbol("fall", positive=True)
    c, total = _late(kappa), _early(kappa)
    e = kappa / ((1 + kappa) * (2 + kappa))
    last = kappa**2 / (1 + kappa)
    reached = sp.Symbol("log_after", nonpositive=True)
    return (
        follows("what falls by at least λ in each round falls by (n + 1)λ in n + 1, if by nλ in n",
            log_t - (n + 1) * fall - then, (1, log_t - n * fall - now), (1, now - fall - then)),
        follows("and by at most (n + 1)λ if by at most λ in each",
            then - log_t + (n + 1) * fall, (1, now - log_t + n * fall), (1, then - now + fall)),
        follows("contraction: log t + c t² falls by λ = log 1/(1 − κ) a round",
            log_t + c * square - contract - (log_next + c * square_next),
            (1, log_t - contract + kappa**2 * square / (1 - kappa) - log_next),
            (sp.factor(c), square / (1 + kappa) ** 2 - square_next)),
        follows("upper bound, κ < 1: as tan θ is at least 1 a round before n_escape …",
            log_start / escape + 1 - n_escape,
            (1 / escape, log_start - (n_escape - 1) * escape - log_t), (1 / escape, log_t)),
        follows("… and above the target a round before the end, from a tangent below 1",
            (c - log_target) / contract + 1 - n_contract,
            (1 / contract, reached + c * square - (n_contract - 1) * contract - (log_end + c * square_next)),
            (1 / contract, -reached), (sp.factor(c) / contract, 1 - square),
            (sp.factor(c) / contract * square_next, 1), (1 / contract, log_end - log_target)),
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
        follows("lower bound, κ < 1: from tan θ ≥ (2 − κ)/(2 + κ) after escape, a fall by at most "
            "log 1/(1 − κ) a round takes so many to the target",
            n_contract + (log_target + log_first) / contract,
            (1 / contract, log_end + log_first + n_contract * contract),
            (1 / contract, log_target - log_end)),
        follows("the same where start and target 1 leave n_escape out: R rounds from tan θ ≥ 1 to exactly 1",
            n_escape - _rounds(_minus(spared_rounds), kappa).subs(log_target, 0),
            (1 / escape, n_escape * escape - log_start + e),
            (sp.factor(last / escape), 1),
            (log_first / contract, 1)),
    )  # fmt: skip


def _late(kappa: Any) -> Any:
    """What contraction rounds fall short of by together: κ²/(1 − κ) in the first, each next a (1 + κ)²-th."""
    return kappa**2 / (1 - kappa) / (1 - (1 + kappa) ** -2)


def _early(kappa: Any) -> Any:
    """The same of escape rounds, counted from the last: κ²/(1 + κ) at tan θ = 1."""
    last = kappa**2 / (1 + kappa)
    return last / (1 - (1 + kappa) ** -2)


def _minus(formula: Any) -> Any:
    return lambda kappa, log: -formula(kappa, log=log)


def _above_one_steps() -> tuple[ProofStep, ...]:
    log_t, log_end, log_after = sp.symbols("log_t log_end log_after", real=True)
    return (
        follows("upper bound, κ in (1, 2): tan θ falls by 1 + κ a round, and is at least sqrt(κ − 1) a round "
            "before n_escape …", (log_start + contract / 2) / escape + 1 - n_escape,
            (1 / escape, log_start - (n_escape - 1) * escape - log_t), (1 / escape, log_t + contract / 2)),
        follows("… then by 1/(κ − 1) a round, from below sqrt(κ − 1), and above the target before the end",
            sp.Rational(1, 2) - log_target / contract - n_contract,
            (1 / contract, log_after - (n_contract - 1) * contract - log_end),
            (1 / contract, -contract / 2 - log_after), (1 / contract, log_end - log_target)),
    )  # fmt: skip


def _sums(stretch: Any) -> tuple[ProofStep, ...]:
    """What the bounds on n_escape and n_contract above add up to: the formulas, with nothing to spare.

    The claim states that its constants are these sums, so that a looser one, which bounds the rounds as well,
    still contradicts it.
    """
    below, beyond = 1 / (1 + w), 1 + 1 / (1 + w)
    half = sp.Rational(1, 2)

    def adds_up(words: str, kappa: Any, total: Any, more: Any) -> ProofStep:
        stated = _rounds(more, stretch * kappa, of=kappa)
        if stated.has(sp.log):  # those of another step have no names
            meant = {name: sp.log(value) for value, name in _named(kappa).items() if name != value}
            total, stated = total.subs(meant), stated.subs(meant)
        return identity(words, total, stated)

    return (
        adds_up("κ < 1: the two upper bounds add up to the approximation + extra_rounds(κ)", below,
            log_start / escape + 1 + (_late(below) - log_target) / contract + 1, extra_rounds),
        adds_up("κ < 1: the two lower bounds add up to the approximation − spared_rounds(κ)", below,
            (log_start - _early(below)) / escape - (log_target + log_first) / contract,
            _minus(spared_rounds)),
        adds_up("κ in (1, 2): the two upper bounds add up to the approximation + extra_rounds_above_one(κ)",
            beyond, (log_start + contract / 2) / escape + 1 + half - log_target / contract,
            extra_rounds_above_one),
    )  # fmt: skip

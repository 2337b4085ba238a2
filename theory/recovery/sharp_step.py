"""One round bounded from above and below on a box of the noise, whatever the angle.

In tangents τ = tan θ, b = 1 + τρ̄, with the pull's parts γ, w = `along` and h = `across` of
`theory.samples.finite_sample`, `tan²θ⁺ = (τ²V² + κ²b²(1 + ρ̄²)h²τ²(1 + τ²))/D²`,
`V = 1 + τ² − κ(γb² + wb(τ − ρ̄))` and `D = 1 + τ² + κb(γ(τ² − τρ̄) − wτb)`, exactly. On a box of ρ̄, γ, w and
h both V and D lie between lines in z = τ² once τ itself does; a ratio of lines is largest at an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from theory.samples import finite_sample
from verification.finding import ProofStep
from verification.proof.identities import identity, nonnegative_on_box, rational_identity

Line = tuple[Any, Any]
CASES = tuple((back, inward) for back in (False, True) for inward in (False, True))
"""Signs of ρ̄ and w (True: not positive), told apart because what raises V does not lower D."""


@dataclass(frozen=True, slots=True)
class Box:
    """What a round's noise keeps to: numbers, or arrays that broadcast.

    Attributes:
        slope: |ρ̄| is at most this.
        low, high: γ lies between.
        leak: |w| is at most this.
        least, most: h, what leaks out of the plane, lies between.
    """

    slope: Any
    low: Any
    high: Any
    leak: Any
    least: Any
    most: Any

    @property
    def sides(self) -> tuple[Any, ...]:
        """All of them, in order."""
        return self.slope, self.low, self.high, self.leak, self.least, self.most

    def at(self, number: Any) -> Box:
        """Of flat arrays those at a number or an array of numbers."""
        return Box(*(side[number] for side in self.sides))


def upper_step(t: Any, kappa: Any, box: Box, cases: Sequence[tuple[bool, bool]] = CASES) -> Any:
    """At most this is tan θ⁺ for every tan θ ≤ t, if the noise keeps to the box and the signs to the cases.

    +inf where that says nothing.
    """
    z, inside, beside, sound = t * t, 0.0, 0.0, np.asarray(True)
    touch, slant = _tangent_line(t)
    with np.errstate(all="ignore"):
        for back, inward in cases:
            thin = np.where(t > 1, t * box.slope, 0.0)
            (p, q), *lines = _lines(t, (touch, slant), thin, kappa, box, back, inward)
            for a, e in lines:
                inside = np.maximum(inside, np.maximum(a / p, (a + e * z) / (p + q * z)))
            steep = q > 2 * p
            peak = np.where(steep, np.minimum(z, p / np.where(steep, q - 2 * p, 1.0)), z)
            wide = 1.0 if back else 1 + t * box.slope
            beside = np.maximum(beside, wide**2 * peak * (1 + peak) / (p + q * peak) ** 2)
            sound = sound & (p > 0) & (q > 0)
            sound = sound & (t * box.slope < 1) if back else sound
        across = (kappa * box.most) ** 2 * (1 + box.slope**2)
        value = np.sqrt(z * inside**2 + across * beside)
    return np.where(sound, value, np.inf)


def lower_step(t: Any, upper: Any, kappa: Any, box: Box) -> Any:
    """At least this is tan θ⁺ for every tan θ from t to `upper`, if the noise keeps to the box."""
    (p, q), (a, e) = _lower_lines(upper, _tangent_line(upper), kappa, box)
    low, high, x = t * t, upper * upper, upper * box.slope
    inside = np.minimum((a + e * low) / (p + q * low), (a + e * high) / (p + q * high))
    beside = np.minimum(
        *(at * (1 + at) / (p + q * at) ** 2 for at in np.broadcast_arrays(low, high))
    )
    across = (kappa * np.maximum(0.0, 1 - x) * box.least) ** 2
    value = np.sqrt(low * np.maximum(0.0, inside) ** 2 + across * beside)
    return np.where(x < 1, value, 0.0)


def least_length(t: Any, kappa: Any, box: Box) -> Any:
    """At least this is D/(1 + τ²) for every tan θ = τ ≤ t ≤ 1: 0 if nothing is."""
    line = _tangent_line(t)
    lows = (np.minimum(*_lines(t, line, 0.0, kappa, box, *case)[0]) for case in CASES)
    return np.maximum(0.0, np.minimum.reduce(list(np.broadcast_arrays(*lows))))


def largest_factor(t: Any, kappa: Any, box: Box) -> Any:
    """At most this is tan θ⁺/tan θ for every tan θ ≤ t, if the noise keeps to the box; +inf says nothing."""
    z, worst = t * t, np.asarray(0.0)
    line, beside = _tangent_line(t), (kappa * box.most) ** 2 * (1 + box.slope**2)
    with np.errstate(all="ignore"):
        for back, inward in CASES:
            thin = np.where(t > 1, t * box.slope, 0.0)
            (p, q), *lines = _lines(t, line, thin, kappa, box, back, inward)
            ends = [np.maximum(a / p, (a + e * z) / (p + q * z)) for a, e in lines]
            inside = np.maximum(0.0, np.maximum(*ends))
            wide = 1.0 if back else 1 + t * box.slope
            factor = np.sqrt(inside**2 + beside * wide**2 * (1 + z) / p**2)
            sound = (p > 0) & (q > 0) & (t * box.slope < 1)
            worst = np.maximum(worst, np.where(sound, factor, np.inf))
    return worst


def _tangent_line(t: Any) -> Line:
    """τ ≤ first + second·τ² for τ ≤ t: τ ≤ t itself up to t = 1, the tangent of the root at τ² = t beyond."""
    root = np.sqrt(t)
    return np.where(t <= 1, t, root / 2), np.where(t <= 1, 0.0, 0.5 / root)


def _lines(
    t: Any, line: Line, thin: Any, kappa: Any, box: Box, back: bool, inward: bool
) -> tuple[Line, Line, Line]:
    """Lines (p, q), p + qz, for τ ≤ t: D is at least the first, V and −V at most the others.

    Args:
        line: what τ is below.
        thin: t·slope, or 0 if t ≤ 1.
        back, inward: of `CASES`.
    """
    touch, slant = line
    r, low, high, x = box.slope, box.low, box.high, t * box.slope
    wide = 1 if back else 1 + x
    leak = kappa * box.leak * wide
    down = (0 if back else kappa * low * r) + (0 if inward else leak * wide)
    spare = 0 if back else kappa * (high - low) * wide * r * r / 4
    up = (2 * kappa * low * r if back else 0) + (leak if inward else 0)
    over = (0 if back else kappa * high * r * (2 + x)) + (0 if inward else leak)
    return (
        (1 - spare - down * touch,
            1 + kappa * low * (1 - r * r - (thin if back else 0)) - down * slant),
        (1 - kappa * low + leak * r + up * touch, 1 + up * slant),
        (kappa * high - 1 + leak * r + over * touch, over * slant - 1),
    )  # fmt: skip


def _lower_lines(t: Any, line: Line, kappa: Any, box: Box) -> tuple[Line, Line]:
    """The other way round, whatever the signs: D is at most the first, V at least the second."""
    touch, slant = line
    r, x = box.slope, t * box.slope
    leak = kappa * box.leak * (1 + x)
    more = kappa * (1 + x) * box.high * r + leak * (1 + x)
    less = kappa * box.high * r * (2 + x) + leak
    return (
        (1 + more * touch, 1 + kappa * box.high * (1 + x) + more * slant),
        (1 - kappa * box.high - leak * r - less * touch, 1 - less * slant),
    )


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The exact round in tangents, the lines, and what their ratios are largest at.

    Args:
        stretch: multiplies the step that the lines are for; 1 for the true statement.
    """
    return (*_exact(), *_ratios(), *_between(), *_sharp(stretch))


tau, kappa, low, leak = sp.symbols("tau kappa low w_0", positive=True)
b = sp.Symbol("b", positive=True)
rho, gamma, w, h = sp.symbols("rho gamma w h", real=True)
more_slope, more_t, above, over, more_leak, square, aside = sp.symbols(
    "r_more t_more g_above g_over w_more S y", nonnegative=True
)


def inner(t: Any, k: Any, slope: Any, rayleigh: Any, along: Any) -> tuple[Any, Any]:
    """D and V of the tangent t: the factor along a* over cos θ, and across it in the plane, times 1 + t²."""
    stretch = 1 + t * slope
    return (
        1 + t**2 + k * stretch * (rayleigh * (t**2 - t * slope) - along * t * stretch),
        1 + t**2 - k * (rayleigh * stretch**2 + along * stretch * (t - slope)),
    )


def _exact() -> list[ProofStep]:
    c = 1 / sp.sqrt(1 + tau**2)
    pull = finite_sample.pull_of_new_batch(rho, gamma, w, h)
    ahead, inside, beside = finite_sample.next_direction(c, tau * c, kappa, rho, pull)
    D, V = inner(tau, kappa, rho, gamma, w)
    across, c2 = kappa**2 * (1 + tau * rho) ** 2 * (1 + rho**2) * h**2, 1 / (1 + tau**2)
    return [
        identity("the moved factor along a* is cos θ D/(1 + τ²)", ahead, c * D * c**2),
        identity("across it in the plane, over sin θ, V/(1 + τ²)", inside, V * c**2),
        identity("and out of the plane: its square over sin²θ is κ²b²(1 + ρ̄²)h²/(1 + τ²)", beside**2,
            across * c2),
        rational_identity("so tan²θ⁺ = (τ²V² + κ²b²(1 + ρ̄²)h²τ²(1 + τ²))/D²",
            tau**2 * c2 * ((V * c2) ** 2 + across * c2) / (c2 * (D * c2) ** 2),
            (tau**2 * V**2 + across * tau**2 * (1 + tau**2)) / D**2),
    ]  # fmt: skip


def _ratios() -> list[ProofStep]:
    a, e, p, q, z, Z, root = sp.symbols("a e p q z Z root", positive=True)
    first, last = a / p, (a + e * Z) / (p + q * Z)
    return [
        rational_identity("a ratio of lines on [0, Z] is a mean of its ends', with weights p(Z − z) and "
            "z(p + qZ) over Z(p + qz)",
            (a + e * z) / (p + q * z),
            (p * (Z - z) * first + z * (p + q * Z) * last) / (Z * (p + q * z))),
        rational_identity("which add up to 1", (p * (Z - z) + z * (p + q * Z)) / (Z * (p + q * z)), 1),
        rational_identity("z(1 + z)/(p + qz)² rises up to z = p/(q − 2p), for ever if q ≤ 2p, then falls",
            sp.Derivative(z * (1 + z) / (p + q * z) ** 2, z), (p + (2 * p - q) * z) / (p + q * z) ** 3),
        nonnegative_on_box("(1 + z)/(p + qz)² is at most (1 + Z)/p² for z ≤ Z, q ≥ 0",
            (1 + z + Z) * (p + q * z) ** 2 - (1 + z) * p**2, dict.fromkeys((z, Z, p, q), (0, sp.oo))),
        identity("the line above τ: the root's tangent at τ² = t, τ²/(2√t) + √t/2 − τ = (τ − √t)²/(2√t)",
            tau**2 / (2 * root) + root / 2 - tau, (tau - root) ** 2 / (2 * root)),
        identity("z − rτ = (τ − r/2)² − r²/4", tau**2 - p * tau, (tau - p / 2) ** 2 - p**2 / 4),
    ]  # fmt: skip


def _noise(back: bool, inward: bool) -> tuple[Any, Any, Box, Any, dict[Any, Any]]:
    """ρ̄ and w of their signs, a box and a t around them by slacks ≥ 0, and where the slacks lie."""
    size = 1 - b if back else aside  # of τρ̄
    slope = -size / tau if back else size / tau
    box = Box((size + more_slope) / tau, low, low + above + over, leak + more_leak, 0, 0)
    where = {tau: (0, sp.oo), low: (0, sp.oo), leak: (0, sp.oo)}
    where |= {b: (0, 1)} if back else {aside: (0, sp.oo)}
    slacks = (more_slope, more_t, above, over, more_leak)
    where |= dict.fromkeys(slacks, (0, sp.oo))
    return slope, -leak if inward else leak, box, tau * (1 + more_t), where


def _gaps(back: bool, inward: bool, far: bool) -> tuple[dict[str, Any], dict[Any, Any]]:
    """How far D and V are from their lines, times τ²/κ, the line above τ being τ itself; where slacks lie."""
    slope, along, box, t, where = _noise(back, inward)
    D, V = inner(tau, kappa, slope, low + above, along)
    z, line, thin = tau**2, (tau, 0), t * box.slope if far else 0
    (p, q), raised, sunk = _lines(t, line, thin, kappa, box, back, inward)
    (p_1, q_1), least = _lower_lines(t, line, kappa, box)
    spare = 0 if back else kappa * above * (1 + aside) * (square - (tau - box.slope / 2) ** 2)
    gaps = {
        "D ≥ its line": D + spare - p - q * z,
        "V ≤ its line": raised[0] + raised[1] * z - V,
        "−V ≤ its line": sunk[0] + sunk[1] * z + V,
        "D ≤ the line of the lower bound": p_1 + q_1 * z - D,
        "V ≥ the line of the lower bound": V - least[0] - least[1] * z,
    }
    where |= {square: (0, sp.oo)} if far else {tau: (0, 1)}
    return {words: sp.expand(tau**2 * gap / kappa) for words, gap in gaps.items()}, where


def _between() -> list[ProofStep]:
    """Every gap is a part without w and a part of w; neither is negative."""
    steps = [_one_line()]
    none = {leak: 0, more_leak: 0}
    for back, inward in CASES:
        gaps, where = _gaps(back, inward, far=True)
        near = _gaps(back, inward, far=False)[0]["D ≥ its line"]
        sign, leaks = f"ρ̄ {'≤' if back else '≥'} 0", f"w {'≤' if inward else '≥'} 0"
        for words, gap in gaps.items():
            still, first = gap.subs(none), gap.subs(none | {above: 0, over: 0})
            if not inward:
                steps.append(_nonnegative(f"{sign}, w = 0, γ = low = high: {words}", first, where))
                steps.append(
                    _nonnegative(f"{sign}, w = 0, what γ adds: {words}", still - first, where)
                )
            steps.append(_nonnegative(f"{sign}, what {leaks} adds: {words}", gap - still, where))
        if back and not inward:
            inside = where | {tau: (0, 1)}
            steps.append(
                _nonnegative(f"{sign}, w = 0, t ≤ 1: D ≥ its line", near.subs(none), inside)
            )
    return steps


def _nonnegative(words: str, gap: Any, where: dict[Any, Any]) -> ProofStep:
    gap = sp.expand(gap)
    while gap != 0 and gap.subs(tau, 0) == 0:  # τ > 0
        gap = sp.expand(gap / tau)
    return nonnegative_on_box(words, gap, {x: at for x, at in where.items() if gap.has(x)})


def _one_line() -> ProofStep:
    """The higher the line above τ, the lower the line below D, and the higher those above V and −V."""
    gap, slant, z, pairs = (
        sp.Symbol("gap", positive=True),
        sp.Symbol("slant", positive=True),
        tau**2,
        [],
    )
    box, t = Box(sp.Symbol("r"), low, over, leak, 0, 0), sp.Symbol("t")
    x = t * box.slope
    for back, inward in CASES:
        wide = 1 if back else 1 + x
        slope_leak = kappa * leak * wide
        steep = (
            -((0 if back else kappa * low * box.slope) + (0 if inward else slope_leak * wide)),
            (2 * kappa * low * box.slope if back else 0) + (slope_leak if inward else 0),
            (0 if back else kappa * over * box.slope * (2 + x)) + (0 if inward else slope_leak),
        )
        raised = _lines(t, (tau + gap - slant * z, slant), 0, kappa, box, back, inward)
        there = _lines(t, (tau, 0), 0, kappa, box, back, inward)
        pairs += [
            (a + e * z, first + second * z + k * gap)
            for (a, e), (first, second), k in zip(raised, there, steep, strict=True)
        ]
    return identity("with a line above τ by a gap, D's falls and V's rise by so much: a multiple of the gap",
        sp.Matrix([left for left, _ in pairs]), sp.Matrix([right for _, right in pairs]))  # fmt: skip


def _sharp(stretch: Any) -> list[ProofStep]:
    """A box without width: the lines are D and V themselves, of the step κ."""
    none = Box(0, 1, 1, 0, 0, 0)
    (p, q), (a, e), _ = _lines(tau, (tau, 0), 0, stretch * kappa, none, True, True)
    (p_1, q_1), (a_1, e_1) = _lower_lines(tau, (tau, 0), stretch * kappa, none)
    D, V = inner(tau, kappa, 0, 1, 0)
    both = sp.Matrix([p + q * tau**2, a + e * tau**2, p_1 + q_1 * tau**2, a_1 + e_1 * tau**2])
    return [
        identity(
            "without noise the lines of either bound are D and V", both, sp.Matrix([D, V, D, V])
        )
    ]

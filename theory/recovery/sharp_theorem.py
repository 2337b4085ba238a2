"""Recovery in closed form, T = ⌈log(tan θ⁰/tan θ_end)/log(1 + κ/2)⌉, on N·m ≥ 576 max(d, 1/c₀²) log(6T/δ).

For every κ = 2 η ||b*||² in (0, 1], with c₀ = cos θ⁰ and m ≥ 11 log(6NT/δ) samples a client, probability at
least 1 − δ. While |ρ̄| ≤ c/8, |γ − 1| ≤ 1/8, |w| ≤ 1/16 and h² ≤ 1/8, c = cos θ, a round divides tan θ by 1
+ κ/2 at least, at every angle; so c never falls, and the first round's box is the tightest.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory.recovery.sharp_step import inner
from verification.finding import ProofStep
from verification.proof.identities import follows, identity, nonnegative_on_box, positive

CUT = sp.Rational(1, 8)
"""What |ρ̄|/c, |γ − 1| and h² are at most; |w| half of it."""
POOLED, EACH = 576, 11
"""The constants of the two conditions on the samples."""


def enough_rounds(start: Any, target: Any, kappa: Any, *, log: Any = sp.log) -> Any:
    """T before it is rounded up, from tan θ = start to tan θ ≤ target."""
    return log(start / target) / log(1 + kappa / 2)


def enough_pooled(wide: Any, rounds: Any, delta: Any, *, log: Any = sp.log) -> Any:
    """N·m, with wide = max(d, 1/cos²θ⁰)."""
    return POOLED * wide * log(6 * rounds / delta)


def enough_each(clients: Any, rounds: Any, delta: Any, *, log: Any = sp.log) -> Any:
    """M."""
    return EACH * log(6 * clients * rounds / delta)


def derive() -> tuple[ProofStep, ...]:
    """The step on its box, and each tail at the stated samples."""
    return (*_parts(), *_step(), *_tails())


t, kappa = sp.symbols("t kappa", positive=True)


def _bounds() -> tuple[Any, Any, Any, Any]:
    """Of D from below, of V, −V and O²(1 + z) from above, over the box, at tan θ = t."""
    z, low, high = t**2, 1 - CUT, 1 + CUT
    leak = kappa * CUT / 2 * high * (t + CUT)
    return (
        1 + z + kappa * (low**2 * z - high**2 * CUT * t - CUT / 2 * high**2 * t),
        1 + z - kappa * low**3 + leak,
        kappa * high**3 - 1 - z + leak,
        kappa**2 * high**2 * (1 + CUT**2) * CUT * (1 + z),
    )


def _parts() -> list[ProofStep]:
    gamma = sp.Symbol("gamma", positive=True)
    rho, w = sp.symbols("rho w", real=True)
    D, V = inner(t, kappa, rho, gamma, w)
    b = 1 + t * rho
    least, most, back, _ = _bounds()
    low, high, z = 1 - CUT, 1 + CUT, t**2
    leak = (
        CUT / 2 * high * (t + CUT) + w * b * (t - rho),
        CUT / 2 * high * (t + CUT) - w * b * (t - rho),
    )
    return [
        follows("D from below, by what |tρ̄| ≤ t/8, γ and b within 1/8 of 1, |w| ≤ 1/16 say",
            D - least, (kappa * z, gamma * b - low**2), (kappa * t, high**2 * CUT - gamma * b * rho),
            (kappa * t, CUT / 2 * high**2 - w * b**2)),
        follows("V from above", most - V, (kappa, gamma * b**2 - low**3), (kappa, leak[0])),
        follows("−V from above", back + V, (kappa, high**3 - gamma * b**2), (kappa, leak[1])),
    ]  # fmt: skip


def _step() -> list[ProofStep]:
    least, most, back, beside = _bounds()
    rate = (1 + kappa / 2) ** 2
    pieces = ((0, 1), (1, sp.oo))
    # D² is at least the square of its bound as that is not negative.
    steps = [
        nonnegative_on_box(f"the bound on D is not negative, tan θ from {low} to {high}, κ ≤ 1", least,
            {t: (low, high), kappa: (0, 1)})
        for low, high in pieces
    ]  # fmt: skip
    for words, inside in (("V", most), ("−V", back)):
        gap = sp.expand(least**2 - rate * (inside**2 + beside))
        for low, high in pieces:
            shrunk = sp.expand(gap / kappa) if words == "V" else gap
            steps.append(
                nonnegative_on_box(
                    f"(1 + κ/2)²(V² + O²) ≤ D² with the bound on {words}, tan θ from {low} to {high}, κ ≤ 1",
                    shrunk,
                    {t: (low, high), kappa: (0, 1)},
                )
            )
    return steps  # fmt: skip


def _tails() -> list[ProofStep]:
    c, M, T, delta, N, ratio, end, x, k = sp.symbols("c M T delta N ratio end x k", positive=True)
    log = sp.log
    return [
        identity("T rounds of the step lead to the target: T log(1 + κ/2) = log(tan θ⁰/tan θ_end)",
            x * log(1 + kappa / 2), log(ratio), where={x: enough_rounds(ratio * end, end, kappa)}),
        identity("w: exp(−x²/2) at x = √(8M/9)/16 is exp(−M/576)",
            x**2 / 2, M / POOLED, where={x: CUT / 2 * sp.sqrt(M / (1 + CUT))}),
        positive("γ, Chernoff: (1/8 − log(9/8))/2 and (−1/8 − log(7/8))/2 are above 1/576",
            (CUT - log(1 + CUT)) / 2 - sp.Rational(1, POOLED),
            (-CUT - log(1 - CUT)) / 2 - sp.Rational(1, POOLED)),
        positive("h² ≤ 1/8 where χ²_(d−2) ≤ M/9, Chernoff, M ≥ 576 d: 1/36 − log(2)/(2·576) > 1/576",
            sp.Rational(1, 36) - log(2) / (2 * POOLED) - sp.Rational(1, POOLED)),
        identity("ρ̄ of variance at most 2/M: exp(−x²/2) at x = (c/8)√(M/2) is exp(−c²M/256)",
            x**2 / 2, c**2 * M / 256, where={x: c * CUT * sp.sqrt(M / 2)}),
        positive("a client of |X_i a|² below m/2, Chernoff: (log 2 − 1/2)/2 is above 1/11",
            (log(2) - sp.Rational(1, 2)) / 2 - sp.Rational(1, EACH)),
        identity("at the stated N·m each of the five tails, exp(−M/(576 wide)) at most, is δ/(6T) …",
            M / (POOLED * x), log(6 * T / delta), where={M: enough_pooled(x, T, delta)}),
        identity("… and at the stated m so is N times a client's exp(−m/11)",
            k / EACH, log(6 * N * T / delta), where={k: enough_each(N, T, delta)}),
    ]  # fmt: skip

"""Out of the worst region: a start's cotangent is stretched, so it is soon large (theory-2.md B2, B5).

`y = cot θ` (with its sign) after a round is `A/√E`, p = y + ρ̄: A = y(1 + y²) + κp(γ(1 − yρ̄) − wp), `E =
(1 + y² − κp(γp + w(1 − yρ̄)))² + κ²p²(1 + ρ̄²)(1 + y²)h²`. Its slope in y is at least `expansion` for |y| ≤
x and noise in the box, and the noise does not depend on y: so all starts that keep |y| ≤ x for k rounds lie
in one interval of length 2x/expansion^k. A uniformly random start, of symmetric density falling from 0, is
there with probability at most `near_equator`(x/expansion^k); and whatever the start, the first round's own
ρ̄, in which the cotangent has slope at least `push`, does the same for the rounds behind it (`near_any`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from scipy import special

from theory.recovery.sharp_step import Box
from theory.samples import finite_sample
from verification.finding import ProofStep
from verification.proof.identities import follows, identity, nonnegative_on_box


def near_equator(y: Any, d: int) -> Any:
    """P(|cot θ| ≤ y) of a uniformly random direction in d dimensions: cos²θ ~ Beta(1/2, (d − 1)/2)."""
    return special.betainc(0.5, 0.5 * (d - 1), 1 - 1 / (1 + np.square(y)))


def near_any(half: Any, high: Any, pooled: int) -> Any:
    """P(ρ̄ in an interval of length 2·half), wherever it lies, if γ of the b-step's samples is at most `high`.

    Given the clients' lengths ρ̄ is normal, and by Jensen of variance at least 1/Σ|X_i a|² ≥ 1/(M·high).
    """
    return special.erf(half * np.sqrt(pooled * high / 2))


def _ends(x: Any, kappa: Any, box: Box) -> tuple[Any, ...]:
    """For |y| ≤ x: |p| ≤ wide, |1 − yρ̄| ≤ cross, |A| ≤ top, behind ≤ V ≤ ahead, O² ≤ out·p²(1 + y²)."""
    wide, cross = x + box.slope, 1 + x * box.slope
    top = x * (1 + x * x) + kappa * wide * (box.high * cross + box.leak * wide)
    ahead = 1 + x * x + kappa * box.leak * wide * cross
    behind = 1 - kappa * wide * (box.high * wide + box.leak * cross)
    return wide, cross, top, ahead, behind, (kappa * box.most) ** 2 * (1 + box.slope**2)


def _slope(x: Any, kappa: Any, box: Box, rise: Any, turn: Any, turn_out: Any) -> Any:
    """(A/√E)′ = (A′ − A(VV′ + OO′)/E)/√E from its parts' bounds, 0 where they say nothing."""
    wide, _, top, ahead, behind, out = _ends(x, kappa, box)
    least = np.where(behind > 0, behind, 1.0) ** 2
    most = ahead**2 + out * wide**2 * (1 + x * x)
    slope = (rise - top * (ahead * turn + out * turn_out) / least) / np.sqrt(most)
    return np.where((behind > 0) & (slope > 0), slope, 0.0)


def expansion(x: Any, kappa: Any, box: Box) -> Any:
    """Least slope of a round's cotangent in the one before, both within ±x, if the noise keeps to the box."""
    r, (wide, cross, *_) = box.slope, _ends(x, kappa, box)
    rise = 1 + kappa * box.low * (1 - 2 * x * r - r * r) - 2 * kappa * box.leak * wide
    swing = np.maximum(np.abs(1 - kappa * box.low), np.abs(1 - kappa * box.high))
    turn = 2 * x * swing + kappa * (2 * box.high * r + box.leak * (cross + wide * r))
    return _slope(x, kappa, box, rise, turn, wide * (1 + x * x) + wide**2 * x)


def push(x: Any, kappa: Any, box: Box) -> Any:
    """Least slope of a round's cotangent in its ρ̄, from a cotangent within ±x."""
    r, (wide, cross, *_) = box.slope, _ends(x, kappa, box)
    rise = kappa * (box.low * (1 - 2 * x * r - x * x) - 2 * box.leak * wide)
    turn = kappa * (2 * box.high * wide + box.leak * (cross + wide * x))
    return _slope(x, kappa, box, rise, turn, wide * (1 + x * x) * (1 + wide * r))


def highest(x: Any, kappa: Any, box: Box) -> Any:
    """At most this is |cot θ⁺| for every |cot θ| ≤ x, if the noise keeps to the box; +inf says nothing."""
    _, _, top, _, behind, _ = _ends(x, kappa, box)
    return np.where(behind > 0, top / np.where(behind > 0, behind, 1.0), np.inf)


def derive() -> tuple[ProofStep, ...]:
    """The round in cotangents, its slopes' parts, and each part's bound on |y| ≤ x and the box."""
    return (*_exact(), *_parts(), *_bounds())


def _round(y: Any, kappa: Any, noise: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any]:
    """A, V and O² of `y = cot θ`, so that cot θ⁺ = A/√(V² + O²)."""
    rho, gamma, w, h = noise
    p, cross = y + rho, 1 - y * rho
    return (
        y * (1 + y**2) + kappa * p * (gamma * cross - w * p),
        1 + y**2 - kappa * p * (gamma * p + w * cross),
        kappa**2 * p**2 * (1 + rho**2) * (1 + y**2) * h**2,
    )


kappa, y, gamma, h = sp.symbols("kappa y gamma h", positive=True)
rho, w = sp.symbols("rho w", real=True)
NOISE = rho, gamma, w, h


def _exact() -> list[ProofStep]:
    s = 1 / sp.sqrt(1 + y**2)
    ahead, inside, beside = finite_sample.next_direction(
        y * s, s, kappa, rho, finite_sample.pull_of_new_batch(rho, gamma, w, h)
    )
    A, V, square = _round(y, kappa, NOISE)
    return [
        identity("along a* the moved factor is sin³θ A, y = cot θ", ahead, s**3 * A),
        identity("across it in the plane sin³θ V", s * inside, s**3 * V),
        identity("and out of it, squared, sin⁶θ O²", s**2 * beside**2, s**6 * square),
    ]  # fmt: skip


def _parts() -> list[ProofStep]:
    A, V, square = _round(y, kappa, NOISE)
    p, cross = y + rho, 1 - y * rho
    top, E, slope, half = sp.symbols("top E slope half", positive=True)
    e = sp.Symbol("e", positive=True)
    out = kappa**2 * (1 + rho**2) * h**2
    return [
        identity("(A/√E)′ = (A′ − A (E′/2)/E)/√E",
            sp.Derivative((top + slope * e) / sp.sqrt(E + 2 * half * e), e),
            (slope - top * half / E) / sp.sqrt(E), where={e: 0}),
        identity("∂A/∂y", sp.Derivative(A, y),
            1 + 3 * y**2 + kappa * gamma * (1 - 2 * y * rho - rho**2) - 2 * kappa * w * p),
        identity("∂V/∂y", sp.Derivative(V, y),
            2 * y * (1 - kappa * gamma) - 2 * kappa * gamma * rho - kappa * w * (cross - p * rho)),
        identity("half of ∂O²/∂y", sp.Derivative(square, y) / 2, out * (p * (1 + y**2) + p**2 * y)),
        identity("∂A/∂ρ̄", sp.Derivative(A, rho),
            kappa * (gamma * (1 - 2 * y * rho - y**2) - 2 * w * p)),
        identity("∂V/∂ρ̄", sp.Derivative(V, rho), -kappa * (2 * gamma * p + w * (cross - p * y))),
        identity("half of ∂O²/∂ρ̄", sp.Derivative(square, rho) / 2,
            kappa**2 * h**2 * (1 + y**2) * p * (1 + rho**2 + p * rho)),
    ]  # fmt: skip


def _bounds() -> list[ProofStep]:
    """What `_ends` says, from |p| ≤ P, |1 − yρ̄| ≤ C, |y| ≤ x, |w| ≤ ω and γ ≤ G; each step for both signs."""
    x1, x2, y1, y2, q, z, more, rest, last, r = sp.symbols(
        "x_1 x_2 y_1 y_2 q z more rest last r", positive=True
    )
    p, c = sp.symbols("p c", real=True)
    P, C, x, omega, G = sp.symbols("P C x omega G", positive=True)
    leaked = omega * P**2 - w * p**2, omega * P**2 + w * p**2
    moved = G * P * C - gamma * p * c, G * P * C + gamma * p * c
    swung = omega * P * C - w * p * c, omega * P * C + w * p * c
    own = x * (1 + x**2) - y * (1 + y**2)
    A, top = (
        y * (1 + y**2) + kappa * p * (gamma * c - w * p),
        x * (1 + x**2) + kappa * P * (G * C + omega * P),
    )
    V = 1 + y**2 - kappa * p * (gamma * p + w * c)
    every = (0, sp.oo)
    return [
        *(nonnegative_on_box(f"{sign}ab is at most the product of the bounds on |a| and |b|",
            (x1 + x2) * (y1 + y2) - k * (x1 - x2) * (y1 - y2), dict.fromkeys((x1, x2, y1, y2), every))
            for sign, k in (("", 1), ("−", -1))),
        nonnegative_on_box("O² ≤ κ²h²(1 + r²)P²(1 + x²)",
            (q + more) * (1 + r + rest) * (1 + z + last) - q * (1 + r) * (1 + z),
            dict.fromkeys((q, r, z, more, rest, last), every)),
        follows("A ≤ top", top - A, (1, own), (kappa, moved[0]), (kappa, leaked[1])),
        follows("−A ≤ top", top + A, (1, x * (1 + x**2) + y * (1 + y**2)), (kappa, moved[1]),
            (kappa, leaked[0])),
        follows("V ≤ ahead", 1 + x**2 + kappa * omega * P * C - V, (1, x**2 - y**2), (kappa, swung[1]),
            (kappa * gamma, p**2)),
        follows("V ≥ behind", V - 1 + kappa * P * (G * P + omega * C), (1, y**2), (kappa, swung[0]),
            (kappa, G * P**2 - gamma * p**2)),
        follows("∂A/∂y ≥ 1 + κg(1 − 2xr − r²) − 2κωP, g ≤ γ",
            3 * y**2 + kappa * gamma * (1 - q) - 2 * kappa * w * p - kappa * z * (1 - more)
            + 2 * kappa * omega * P,
            (3, y**2), (2 * kappa, omega * P - w * p), (kappa, (gamma - z) * (1 - q)), (kappa * z, more - q)),
    ]  # fmt: skip

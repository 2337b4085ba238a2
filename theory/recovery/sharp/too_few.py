"""On too few pooled samples the angle does not get small, with a stated probability: inverse moments.

Rank 1, fresh samples in each half-step, N clients with m each, M = N·m, κ = 2 η ||b*||², d ≥ 4. At every
angle and for every 0 < p ≤ d − 3 the part P across a* of the moved factor has, given ρ̄,
`E (s/|P|)^p ≤ Φ_p(κβ²)`, `Φ_p(κ) = E[(1 − κγ)² + κ²γχ²_(d−2)/M]^(−p/2)`, β = c + sρ̄, since noise alike in all
directions lowers the mean of |x|^(−p), superharmonic. With Q² = 1 + χ²_(M+1)/χ²_(d−2) also s⁺ ≥ s/(3Q), at
any angle. So up to an angle s₁ a round multiplies the mean of s^(−p) by hardly more than Φ_p(κ), above it by
at most 3^p E Q^p, and by Markov `P(s_T ≤ ε) ≤ ε^p E s_T^(−p)` stays small for all T while Φ_p < 1: for
M < dκ/(2 − κ), about.
"""

from __future__ import annotations

from functools import lru_cache
from math import log, sqrt
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from scipy import special

from theory.recovery import sharp_tails
from theory.samples import finite_sample
from verification.finding import ProofStep
from verification.proof.identities import follows, identity, nonnegative_on_box

CELLS = 48
"""Ends of parts that each χ² law is cut into."""
TAIL = 1e-12
"""Probability of the outermost of them."""
POWERS = 8
"""Powers p tried."""
LEVELS = np.array([0.005, 0.05, 0.2, 0.8, 3.0])
"""Angles s₁ tried, in units of 1/(κT): in so many rounds the moved factor's length then adds up to little."""
LARGEST = 300.0
"""What p log(1/ε) is at most: its power of e is still a number."""
SPARE = (0.01, 0.1)
"""Probabilities, over all rounds, that the noise is larger than what the factor below s₁ is for."""
WIDEST = 0.2
"""What s₁ρ̄ is at most there."""
SLOPES = np.geomspace(0.5, 1e6, 400)
"""Sizes of ρ̄ in units of 1/√M that they are tried at."""


def inverse_moment(
    power: Any, kappa: float, swing: float, d: int, pooled: int, cells: int = CELLS
) -> np.ndarray:
    """Φ_p at most, for every step λκ with |λ − 1|/λ ≤ swing; an array over p < d − 2.

    Over χ² the power is convex: weights at the ends of parts give a chord above it. In γ its second
    derivative is at least `−pκ²(…)^(−p/2−1)`, which bounds how far it is above its chord. Another λ costs the
    factor (1 + swing √(1 + Mγ/χ²))^p.

    Args:
        power: p.
        kappa: step κ.
        pooled: M.
        cells: into how many parts the laws are cut; what is said gets sharper with more.
    """
    p = np.atleast_1d(np.asarray(power, dtype=np.float64))[:, None, None]
    sides = _chords(d - 2, cells)
    x, g = sides.ends, _chords(pooled, cells).ends / pooled
    left, right, mass = _chords(pooled, cells)[1:]

    def worst(step: float, begin: Any, end: Any) -> Any:  # of a part of γ
        away = np.maximum(0.0, np.maximum(1 - step * end, step * begin - 1))
        return away[:, None] ** 2 + step**2 / pooled * begin[:, None] * x

    at = worst(kappa, g, g) ** (-p / 2)
    bent = kappa**2 * p / 8 * (mass[1:-1] * np.diff(g) ** 2)[:, None]
    bent = bent * worst(kappa, g[:-1], g[1:]) ** (-p / 2 - 1)
    turned = (1 + swing * np.sqrt(1 + pooled * g[:, None] / x)) ** p
    lowest = 1 - np.maximum(0.0, 1 - kappa / 2 / pooled * x) ** 2  # for whatever γ
    low = np.maximum(lowest, worst(kappa, 0 * g[:1], g[:1]))
    low = mass[0] * low ** (-p / 2) * turned[:, :1]
    high = mass[-1] * worst(kappa / (1 + swing), g[-1:], np.array([np.inf])) ** (-p / 2)
    parts = left[:, None] * at[:, :-1] + right[:, None] * at[:, 1:] + bent
    total = np.sum(parts * turned[:, 1:], axis=1) + low[:, 0] + high[:, 0]
    first = _inverse(p[:, 0, 0], d - 2, x[0]) * total[:, 0]
    rest = sides.left @ total[:, :-1].T + sides.right @ total[:, 1:].T
    return np.asarray(first + rest + sides.mass[-1] * total[:, -1])


def spread_moment(power: Any, d: int, pooled: int) -> Any:
    """`E Q^p`, p < d − 2, exactly: 1/Q² ~ Beta((d − 2)/2, (M + 1)/2)."""
    a, b = (d - 2) / 2, (pooled + 1) / 2
    half = np.asarray(power) / 2
    return np.exp(special.betaln(a - half, b) - special.betaln(a, b))


def start_moment(power: Any, d: int) -> Any:
    """`E s^(−p)` of a uniformly random direction, p < d − 1: sin²θ ~ Beta((d − 1)/2, 1/2)."""
    a, half = (d - 1) / 2, np.asarray(power) / 2
    return np.exp(special.betaln(a - half, 0.5) - special.betaln(a, 0.5))


def success(
    rounds: int, d: int, clients: int, samples: int, kappa: float, epsilon: float, start: Any
) -> float:
    """At most this is the probability of an angle distance of at most ε after so many rounds; 1 says nothing.

    Args:
        clients, samples: N and m.
        start: sin θ⁰, or "random".
    """
    if d < 4:
        return 1.0
    pooled, best = clients * samples, 1.0
    most = min(d - 3.0, LARGEST / -log(epsilon))
    p = np.geomspace(min(0.05, most), most, POWERS)
    above = 3.0**p * spread_moment(p, d, pooled)
    begun = epsilon**p * (start_moment(p, d) if start == "random" else float(start) ** -p)
    for spare in SPARE:
        slope, length = _noise(spare / max(rounds, 1), d, clients, samples)
        for s in np.unique(np.clip(LEVELS / (kappa * max(rounds, 1)), 3 * epsilon, 0.1)):
            far = s * slope
            if far > WIDEST:
                continue
            stretched = 1 + kappa * s * (1 + far) * sqrt(1 + slope**2) * length
            swing = 1 / (sqrt(1 - s * s) - far) ** 2 - 1  # of β², above 1 by less
            factor = stretched**p * inverse_moment(p, kappa, swing, d, pooled)
            added = np.maximum(0.0, above - factor) * (epsilon / s) ** p
            with np.errstate(over="ignore", invalid="ignore"):
                reached = moment_after(rounds, begun, factor, added)
            best = min(best, spare + float(np.nanmin(reached, initial=1.0)))
    return best


def moment_after(rounds: Any, first: Any, factor: Any, added: Any) -> Any:
    """What `x → factor·x + added` leads to from `first`; factor ≠ 1."""
    power = factor**rounds
    return power * first + added * (power - 1) / (factor - 1)


def _noise(share: float, d: int, clients: int, samples: int) -> tuple[float, float]:
    """Sizes that |ρ̄| and |Ḡx|/|x| exceed with probability `share` at most together."""
    pooled = clients * samples
    kept = sharp_tails.slope_tail(SLOPES, clients, samples) <= share / 2
    slope = SLOPES[np.argmax(kept)] / sqrt(pooled) if kept.any() else np.inf
    high = special.gammainccinv(pooled / 2, share / 4) * 2 / pooled
    side = special.gammainccinv((d - 1) / 2, share / 4) * 2 / pooled
    return float(slope), sqrt(high**2 + high * side)


class _Chords(NamedTuple):
    """Parts of the law of χ²: what a convex function's values at both ends weigh in its mean over a part.

    Attributes:
        ends: of the parts, the last but the one at 0 and the one at infinity.
        left, right: weights of each part between two ends.
        mass: probabilities of the parts, with those at 0 and at infinity.
    """

    ends: np.ndarray
    left: np.ndarray
    right: np.ndarray
    mass: np.ndarray


@lru_cache(maxsize=256)
def _chords(degrees: int, cells: int) -> _Chords:
    z = special.ndtri(TAIL) * np.linspace(1.0, -1.0, cells)
    below = special.gammaincinv(degrees / 2, special.ndtr(z[z < 0]))
    above = special.gammainccinv(degrees / 2, special.ndtr(-z[z >= 0]))
    ends = np.concatenate([below, above])
    mass = _between(degrees / 2, ends)
    first = degrees / 2 * _between(degrees / 2 + 1, ends)[1:-1]
    right = np.clip((first - ends[:-1] * mass[1:-1]) / np.diff(ends), 0.0, mass[1:-1])
    return _Chords(2 * ends, mass[1:-1] - right, right, mass)


def _between(shape: float, ends: np.ndarray) -> np.ndarray:
    """Probabilities of the parts between 0, the ends and ∞ of the Gamma law of that shape."""
    low, high = special.gammainc(shape, ends), special.gammaincc(shape, ends)
    middle = np.where(low[:-1] < 0.5, np.diff(low), -np.diff(high))
    return np.concatenate([low[:1], middle, high[-1:]])


def _inverse(p: np.ndarray, degrees: int, end: float) -> np.ndarray:
    """`E[(χ²/end)^(−p/2); χ² ≤ end]`: that of another χ² law."""
    shape, other = degrees / 2, (degrees - p) / 2
    scale = np.exp(special.gammaln(other) - special.gammaln(shape) + p / 2 * np.log(end / 2))
    return np.asarray(scale * special.gammainc(other, end / 2))


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The part across a* as a Gaussian vector, its superharmonic power, and the least that a round leaves.

    Args:
        stretch: multiplies the stated step; 1 for the true statement.
    """
    return (*_vector(stretch), *_least(), *_chord(), *_recursion())


def _vector(stretch: Any) -> list[ProofStep]:
    c, s, kappa, r, p, n = sp.symbols("c s kappa r p n", positive=True)
    rho, gamma, w, h = sp.symbols("rho gamma w h", real=True)
    pull = finite_sample.pull_of_new_batch(rho, gamma, w, h)
    _, inside, beside = finite_sample.next_direction(c, s, kappa, rho, pull)
    b, other = c + s * rho, s - c * rho
    power, step = r ** (-p), stretch * kappa
    return [
        identity("in the plane the part across a* over s is 1 − κβ²γ − κβσw …", inside,
            1 - step * b**2 * gamma - step * b * other * w, vanishing=(c**2 + s**2 - 1,)),
        identity("… and out of it κβ√(β² + σ²)h: κβσ√(γ/M) alike in d − 1 directions, κβ²√(γ/M) in d − 2",
            beside**2, step**2 * b**2 * (b**2 + other**2) * h**2, vanishing=(c**2 + s**2 - 1,)),
        identity("|x|^(−p) in n dimensions: its Laplacian is −p(n − 2 − p)|x|^(−p−2), ≤ 0 up to p = n − 2",
            sp.Derivative(power, (r, 2)) + (n - 1) / r * sp.Derivative(power, r),
            -p * (n - 2 - p) * r ** (-p) / r**2),
    ]  # fmt: skip


def _least() -> list[ProofStep]:
    s, h, H, more, less = sp.symbols("s h H more less", positive=True)
    meet = s / (h + H)
    every, one = (0, sp.oo), (0, 1)
    chi, z, side, M = sp.symbols("chi z side M", positive=True)
    q = sp.Symbol("q", positive=True)
    return [
        nonnegative_on_box("s⁺ ≥ kh/(1 + kH) ≥ sh/(h + 2H) from k = s/(h + H) on, k = κβs√(1 + ρ̄²) …",
            (meet + more) * h * (h + 2 * H) - s * h * (1 + (meet + more) * H),
            {s: one, h: every, H: every, more: every}),
        nonnegative_on_box("… and s⁺ ≥ (s − kH)/(1 + kH) ≥ sh/(h + 2H) up to there",
            (s - less * meet * H) * (h + 2 * H) - s * h * (1 + less * meet * H),
            {less: one, s: one, h: every, H: every}),
        nonnegative_on_box("h/(h + 2H) ≥ 1/(3Q), Q = H/h ≥ 1", 3 * q - (1 + 2 * q), {q: (1, sp.oo)}),
        identity("Q² = 1 + (Mγ + z²)/χ²_(d−2) for |Ḡx|² = |x|²(γ² + γ(z² + χ²)/M), h² = γχ²/M",
            ((chi / M) ** 2 + chi / M * (z**2 + side) / M) / (chi / M * side / M), 1 + (chi + z**2) / side),
    ]  # fmt: skip


def _chord() -> list[ProofStep]:
    p, x, A, B, C, kappa, g, more = sp.symbols("p x A B C kappa g more", positive=True)
    q = (1 - kappa * g) ** 2 + C * g
    low, high = sp.symbols("low high", positive=True)
    return [
        identity("(A + Bx)^(−p/2) is convex in x", sp.Derivative((A + B * x) ** (-p / 2), (x, 2)),
            p / 2 * (p / 2 + 1) * B**2 * (A + B * x) ** (-p / 2) / (A + B * x) ** 2),
        identity("its second derivative in γ, of q = (1 − κγ)² + Cγ, is a square part less pκ²q^(−p/2−1)",
            sp.Derivative(q ** (-p / 2), (g, 2)),
            p / 2 * (p / 2 + 1) * (C - 2 * kappa * (1 - kappa * g)) ** 2 * q ** (-p / 2) / q**2
            - p * kappa**2 * q ** (-p / 2) / q),
        identity("(1 − κγ)² + κ²γX is at least 1 − (1 − κX/2)² whatever γ, and where κX ≥ 2 at least 1",
            (1 - kappa * g) ** 2 + kappa**2 * g * x,
            (kappa * g - 1 + kappa * x / 2) ** 2 + 1 - (1 - kappa * x / 2) ** 2),
        identity("(b − a)²/4 less (x − a)(b − x) is a square, a + low = x = b − high",
            (low + high) ** 2 / 4 - low * high, (low - high) ** 2 / 4),
        nonnegative_on_box("below an end the sum A + Bx is at least its share x/end of that at the end",
            (A + B * x) * (x + more) - x * (A + B * (x + more)),
            dict.fromkeys((A, B, x, more), (0, sp.oo))),
        follows("a − D ≥ ab/(b + D) where a ≥ b + D, of |e − λκY| ≥ max(a − D, b), a = |e − κY|, b = λκh …",
            (B + A + more - A) * (B + A) - (B + A + more) * B, (A, more)),
        follows("… and b ≥ ab/(b + D) below; D = |λ − 1|κ|Y|, so D/b ≤ swing Q",
            (x + more) * B - x * B, (B, more)),
    ]  # fmt: skip


def _recursion() -> list[ProofStep]:
    first, J, added, T = sp.symbols("first J added T", positive=True)
    more, x, spare = sp.symbols("more x spare", positive=True)
    return [
        identity("the mean of s^(−p) after T rounds: one round more is J of it and what is added",
            moment_after(T + 1, first, J, added), J * moment_after(T, first, J, added) + added),
        follows("above s₁, where x = s^(−p) ≤ X = x + spare: Kx ≤ Jx + (K − J)X, K = J + more",
            J * x + more * (x + spare) - (J + more) * x, (more, spare)),
    ]  # fmt: skip

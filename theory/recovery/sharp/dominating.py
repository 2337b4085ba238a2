"""A chain on a grid of angles that is always at least as far from the target: probabilities of failure.

State i of the chain says tan θ ≤ g_i, the last one nothing. For every θ of a state `P(tan θ⁺ > g_k)` is at
most the state's row at k: the noise's law is cut into cells, in each of which `sharp_step.upper_step` bounds
tan θ⁺, rounded up to the grid. Rows are made to rise with the state; then by induction the chain fails at
least as often as the angle (`P v = v_0 + Σ (v_{k+1} − v_k) P(> g_k)`, v rising). No box has to be kept to for
all rounds: an unlucky round costs what it costs. Below `SMALL` one law of factors serves all angles. Near the
equator a round's own ρ̄ spreads the cotangent: at slope `sharp_start.push` or more, so that it stays within
±1/g with probability at most `near_any`; and a ρ̄ of its own sign carries it on.
"""

from __future__ import annotations

from math import ceil, log, sqrt
from typing import Any, Literal, NamedTuple

import numpy as np
import sympy as sp
from scipy import special

from theory.recovery import sharp_start, sharp_step, sharp_tails
from theory.recovery.sharp_step import CASES, Box
from theory.samples import finite_sample
from verification.finding import ProofStep
from verification.proof.identities import identity, rational_identity

Start = float | Literal["random"]
SMALL = 0.02
"""Tangent below which one law of factors is used."""
FINE, BELOW = 0.02, 3.0
"""Step of the grid in log tan θ below it, and how far it goes on below the target."""
TOP = 0.25
"""Cotangent, in units of κ/√M, of the last state that says anything."""
OUTER, RAREST, LEAST = 3, 1e-6, 1e-7
"""Parts of a law beyond its equal ones, the last tail, and the rarest cell that is looked at."""
LEVELS, FARTHEST = 6, 4.0
"""Cotangents at which the spread by ρ̄ is looked at, up to this many units of 1/√M."""
SLOPES = np.array([0.7, 1.0, 1.4, 1.8, 2.3, 2.8, 3.5, 4.5])
"""Sizes of ρ̄ there, in the same units."""
CARRIED = 2.0
"""Tangent above which a ρ̄ of the cotangent's own sign is counted for the better."""


class Effort(NamedTuple):
    """How finely: with more of it the bound is sharper.

    Attributes:
        step: of the grid in log tan θ, from `SMALL` on.
        slope, leak, high, most: equal parts that the laws of |ρ̄|, |w|, γ and h are cut into.
        near: parts of γ and h below `SMALL`.
    """

    step: float
    slope: int
    leak: int
    high: int
    most: int
    near: int


FULL = Effort(0.03, 24, 2, 5, 3, 16)
ROUGH = Effort(0.06, 20, 2, 4, 3, 12)


class _Cells(NamedTuple):
    """Cells of the noise's law.

    Attributes:
        box: where the noise is in each, of one sign each of ρ̄ and w.
        weight: their probabilities, in the law of a |ρ̄| at least as large.
        least: |ρ̄| is at least this.
        rest: probability of no cell.
    """

    box: Box
    weight: np.ndarray
    least: np.ndarray
    rest: float


def failures(
    d: int,
    clients: int,
    samples: int,
    kappa: float,
    start: Start,
    target: float,
    most: int,
    effort: Effort = FULL,
) -> np.ndarray:
    """At most these are the probabilities of tan θ > target after 0, 1, …, `most` rounds.

    Args:
        clients, samples: N and m.
        start: sin θ⁰, or "random".
        target: tan θ wanted, below `SMALL`.
        effort: any is a proof.
    """
    grid, small, below = _grid(clients * samples, kappa, target, effort.step)
    beyond = _beyond(grid, small, (d, clients, samples), kappa, effort)
    steps = -np.diff(np.pad(beyond, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0))), axis=1)
    if start == "random":
        away = sharp_start.near_equator(1 / grid, d)
        begun = -np.diff(np.concatenate([[1.0], away, [0.0]]))
    else:
        begun = np.zeros(grid.size + 1)
        begun[np.searchsorted(grid, start / sqrt((1 - start) * (1 + start)))] = 1.0
    failed = (np.arange(grid.size + 1) > below).astype(np.float64)
    found = np.empty(most + 1)
    for number in range(most + 1):
        found[number] = begun @ failed
        failed = steps @ failed
    return np.minimum(found, 1.0)


def _grid(pooled: int, kappa: float, target: float, step: float) -> tuple[np.ndarray, int, int]:
    """Tangents, how many of them are small, and the target's place."""
    below = int(BELOW / FINE)
    fine = np.arange(-below, ceil(log(SMALL / target) / FINE) + 1)
    low = target * np.exp(FINE * fine)
    last = sqrt(pooled) / (TOP * min(kappa, 1.0))
    high = low[-1] * np.exp(step * np.arange(1, max(ceil(log(last / low[-1]) / step), 1) + 1))
    return np.concatenate([low, high]), low.size, below


def _beyond(
    grid: np.ndarray, small: int, sizes: tuple[int, int, int], kappa: float, effort: Effort
) -> np.ndarray:
    """P(tan θ⁺ > g_k) from each state at most, (state, k), rising with the state."""
    moves = np.zeros((grid.size, grid.size + 1))
    _near(moves, grid, small, sizes, kappa, effort)
    _far(moves, grid, small, sizes, kappa, effort)
    beyond = np.clip(1 - np.cumsum(moves, axis=1)[:, :-1], 0.0, 1.0)
    levels, spread = _spread(grid, sizes, kappa, effort)
    level = np.searchsorted(levels, 1 / grid[small - 1 : -1])
    for i, k in enumerate(level, start=small):
        if k < levels.size:
            beyond[i] = np.minimum(beyond[i], spread[k])
    beyond = np.maximum.accumulate(beyond, axis=0)
    return np.vstack([beyond, np.maximum(beyond[-1], spread[0])])


def _near(
    moves: np.ndarray,
    grid: np.ndarray,
    small: int,
    sizes: tuple[int, int, int],
    kappa: float,
    effort: Effort,
) -> None:
    """Add rows of the small tangents: one law of factors, rounded up to the grid."""
    parts = Effort(effort.step, 2, 1, effort.near, effort.near, 0)
    cells = _cells(sizes, parts, OUTER + 1, RAREST**2, LEAST**2)
    factor = sharp_step.largest_factor(grid[small - 1], kappa, cells.box)
    jump = np.where(np.isfinite(factor), np.ceil(np.log(np.maximum(factor, 1e-300)) / FINE), np.inf)
    jumps, which = np.unique(jump, return_inverse=True)
    weights = np.bincount(which, weights=cells.weight)
    i = np.arange(small)
    for far, weight in zip(jumps, weights, strict=True):
        over = np.maximum(i + far - (small - 1), 0.0)
        above = small - 1 + np.ceil(over * (FINE / effort.step) * (1 + 1e-12))
        to = np.where(over > 0, np.minimum(above, grid.size), np.maximum(i + far, 0)).astype(int)
        np.add.at(moves, (i, to), weight)
    moves[:small, -1] += cells.rest


def _far(
    moves: np.ndarray,
    grid: np.ndarray,
    small: int,
    sizes: tuple[int, int, int],
    kappa: float,
    effort: Effort,
) -> None:
    """Add rows of the other tangents, cell by cell."""
    cells = _cells(sizes, effort, OUTER, RAREST, LEAST)
    for i in range(small, grid.size):
        for back, inward in CASES:
            after = sharp_step.upper_step(grid[i], kappa, cells.box, [(back, inward)])
            if not back and grid[i] > CARRIED:
                after = np.minimum(after, _carried(grid[i - 1 : i + 1], kappa, cells))
            to = np.searchsorted(grid, after * (1 - 1e-14))
            moves[i] += np.bincount(to, weights=cells.weight / 4, minlength=grid.size + 1)
        moves[i, -1] += cells.rest


def _carried(between: np.ndarray, kappa: float, cells: _Cells) -> np.ndarray:
    """Tan θ⁺ at most, from tangents between two, where ρ̄ has cot θ's sign: both slopes, from (0, 0)."""
    x = 1 / between[0]
    rise = sharp_start.expansion(x, kappa, cells.box)
    push = sharp_start.push(x, kappa, cells.box)
    with np.errstate(divide="ignore"):
        least = 1 / (rise / between[1] + push * cells.least)
    return np.where((rise > 0) & (push > 0), least, np.inf)


def _spread(
    grid: np.ndarray, sizes: tuple[int, int, int], kappa: float, effort: Effort
) -> tuple[np.ndarray, np.ndarray]:
    """Cotangents x, and P(tan θ⁺ > g_k) at most for all |cot θ| ≤ x, (x, k)."""
    _, clients, samples = sizes
    pooled = clients * samples
    cells = _cells(sizes, effort._replace(slope=0), OUTER, RAREST, 0.0)
    tails = np.minimum(1.0, sharp_tails.slope_tail(SLOPES, clients, samples))
    levels = np.geomspace(1 / grid[-1], max(FARTHEST / sqrt(pooled), 1.1 / grid[-1]), LEVELS)
    found = np.ones((LEVELS, grid.size))
    for x, best in zip(levels, found, strict=True):
        for slope, tail in zip(SLOPES / sqrt(pooled), tails, strict=True):
            box = Box(slope, *cells.box.sides[1:])
            push = np.maximum(sharp_start.push(x, kappa, box), 1e-100)
            with np.errstate(over="ignore"):
                inside = sharp_start.near_any(1 / (grid[:, None] * push), 1.0, pooled)
            np.minimum(best, tail + cells.rest + inside @ cells.weight, out=best)
    return levels, found


def _tails(parts: int, outer: int, rarest: float) -> np.ndarray:
    """Falling probabilities of tails: of equal parts, then `outer` rarer and rarer."""
    return np.concatenate(
        [1 - np.arange(1, parts) / parts, np.geomspace(0.3 / parts, rarest, outer)]
    )


def _mass(tails: np.ndarray) -> np.ndarray:
    return -np.diff(np.concatenate([[1.0], tails]))


def _cells(
    sizes: tuple[int, int, int], effort: Effort, outer: int, rarest: float, least: float
) -> _Cells:
    """Products of parts of the four laws. No parts of the slope: one of unknown size."""
    d, clients, samples = sizes
    pooled = clients * samples
    slope, of_slope, low = np.zeros(1), np.ones(1), np.zeros(1)
    if effort.slope:
        y = -special.ndtri(_tails(effort.slope, outer + 1, rarest) / 2)
        tails = sharp_tails.slope_tail(y, clients, samples)
        tails = np.minimum.accumulate(np.minimum(1.0, tails))
        slope, of_slope = y / sqrt(pooled), _mass(tails)
        # |ρ̄| is at least as large as if its variance were 1/M
        low = np.concatenate([[0.0], -special.ndtri(tails[:-1] / 2)]) / sqrt(pooled)
    leak = _tails(effort.leak, outer, rarest)
    most = _tails(effort.most, outer, rarest)
    side = special.gammainccinv((d - 2) / 2, most) * 2 if d > 2 else 0 * most
    ends = _ends(pooled / 2, _tails(effort.high, outer, rarest)) * 2 / pooled
    of_high = np.diff(special.gammainc(pooled / 2, ends * pooled / 2))
    laws = of_slope, _mass(leak), of_high, _mass(most)
    R, Z, G, H = (i.ravel() for i in np.meshgrid(*map(_count, laws), indexing="ij"))
    weight = of_slope[R] * laws[1][Z] * of_high[G] * laws[3][H]
    kept = weight > least
    R, Z, G, H, weight = (part[kept] for part in (R, Z, G, H, weight))
    high = ends[1:][G]
    wide, across = -special.ndtri(leak / 2)[Z], side[H]
    box = Box(slope[R], ends[:-1][G], high, wide * np.sqrt(high / pooled), 0 * weight,
        np.sqrt(high * across / pooled))  # fmt: skip
    return _Cells(box, weight, low[R], max(0.0, 1.0 - float(weight.sum())))


def _count(law: np.ndarray) -> np.ndarray:
    return np.arange(law.size)


def _ends(shape: float, tails: np.ndarray) -> np.ndarray:
    """Ends of parts of the Gamma law of that shape: below and above its median as rare on either side."""
    outer = tails[tails <= 0.5]
    inner = tails[tails > 0.5]
    low, high = special.gammaincinv(shape, outer[::-1]), special.gammainccinv(shape, outer)
    return np.unique(np.concatenate([low, special.gammainccinv(shape, inner), high]))


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The chain's induction, the factor of a tangent, and what a round from the equator begins with.

    Args:
        stretch: multiplies the stated step; 1 for the true statement.
    """
    now, after, here, there = sp.symbols("S_k S_next v_k v_next", real=True)
    rho, gamma, w, h = sp.symbols("rho gamma w h", real=True)
    kappa, y, t = sp.symbols("kappa y tau", positive=True)
    c = 1 / sp.sqrt(1 + t**2)
    pull = finite_sample.pull_of_new_batch(rho, gamma, w, h)
    along, inside, beside = finite_sample.next_direction(c, t * c, kappa, rho, pull)
    D, V = sharp_step.inner(t, stretch * kappa, rho, gamma, w)
    out = (stretch * kappa * (1 + t * rho) * h) ** 2 * (1 + rho**2)
    ahead = y * (1 + y**2) + kappa * (y + rho) * (gamma * (1 - y * rho) - w * (y + rho))
    return (
        identity("Σ_k P(state k) v_k is v_0 and the sum of (v_{k+1} − v_k) P(beyond k): a state more",
            (now - after) * there, now * here - after * there + now * (there - here)),
        rational_identity("(tan θ⁺/tan θ)² = (V² + κ²b²(1 + ρ̄²)h²(1 + τ²))/D²",
            (inside**2 + beside**2) / (along / c) ** 2, (V**2 + out * (1 + t**2)) / D**2),
        identity("a round's numerator of the cotangent is 0 where cotangent and ρ̄ are", ahead, 0,
            where={y: 0, rho: 0}),
    )  # fmt: skip

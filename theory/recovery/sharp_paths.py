"""Paths of boxes from a start to a target, and what each costs: the search behind `sharp_recovery`.

While each round's noise keeps to its box the tangent is below what `sharp_step.upper_step` says, and the
boxes' tails add up to the path's failure. The box of a round is the one that gets farthest, in log tan θ,
for its price; all prices are tried, and of what they lead to the best is kept. Two kinds of rounds need no
box of that sort: the cotangent is stretched out of the worst region (`sharp_start`), and near the solution
tan²θ over a power is a supermartingale (`local_moment`). A path that is early keeps its angle for the rest
of the rounds.
"""

from __future__ import annotations

from math import inf, log, sqrt
from typing import Literal, NamedTuple

import numpy as np

from theory.recovery import local_moment, sharp_start, sharp_step, sharp_tails
from theory.recovery.sharp_step import Box

Start = float | Literal["random"]
SLOPES = np.geomspace(0.7, 9.0, 20)
"""Sizes of ρ̄ in units of 1/√M that boxes are tried at."""
SHARES = np.geomspace(1e-13, 0.05, 10)
"""Probabilities that boxes are left with by the rest of the noise."""
PRICES = np.geomspace(1e1, 1e7, 10)
"""Rounds that one unit of failure is worth, tried in turn."""
LEVELS = np.array([1.3, 2.0, 3.0, 4.5, 7.0, 12.0])
"""Cotangents in units of 1/√M at which a start counts as out of the worst region …"""
SCARCE = np.array([0.01, 0.03, 0.1, 0.3])
"""… and in units of 1/√d, where that is more."""
STEEPEST = 0.6
"""The largest cotangent that is stretched to."""
STRETCHED = 40
"""Rounds of stretching tried."""
MOST_ROUNDS = 2_000
SMALL = 1e-3
"""From this tangent on a path keeps its box."""
MARKS = (0.1, 0.03, 0.01, 0.003)
"""Tangents at which the rest is tried by second moments …"""
FARTHEST = (0.05, 0.1, 0.2, 0.4)
"""… while it is below one of these."""
CALM = (1e-5, 1e-7)
"""Failures of a round's box there."""
LEAST_GAIN = 2e-3
"""A path whose tangent falls by less than this share in a round is given up, …"""
LOST = 0.5
"""… and so is one whose failure exceeds this."""


class End(NamedTuple):
    """A way to finish: what is spent, and what is still to happen.

    Attributes:
        level: number of the level it began at.
        rounds, failure: spent so far.
        amount, rate: n further rounds fail with probability amount·rate^n …
        stay: … plus this in each of them.
    """

    level: int
    rounds: int
    failure: float
    amount: float
    rate: float
    stay: float


class Setting:
    """The boxes of one setting, flat, with the probability to leave each in one round."""

    def __init__(self, d: int, clients: int, samples: int, kappa: float) -> None:
        self.d, self.clients, self.samples, self.kappa = d, clients, samples, kappa
        self.pooled = clients * samples
        slopes, shares = np.repeat(SLOPES, SHARES.size), np.tile(SHARES, SLOPES.size)
        sides = sharp_tails.sides(SHARES, d, self.pooled)
        self.shares = shares
        self.box = Box(slopes / sqrt(self.pooled), *(np.tile(side, SLOPES.size) for side in sides))
        tails = sharp_tails.slope_tail(SLOPES, clients, samples)
        self.tails = np.repeat(tails, SHARES.size) + shares

    def failures(
        self, start: Start, first: float, target: float, most: int = MOST_ROUNDS
    ) -> np.ndarray:
        """Least failure found within 0, 1, 2, … rounds.

        Args:
            start: sin θ⁰, or "random".
            first: tan θ⁰, not used for a random start.
            target: tan θ wanted.
            most: the longest path.
        """
        levels = LEVELS / sqrt(self.pooled)
        scarce = SCARCE / sqrt(self.d)
        levels = np.concatenate([levels, scarce[scarce > levels[0]]])
        levels = levels[levels < STEEPEST]
        direct = [] if start == "random" else [first]
        ends = self._ends(np.array([*direct, *(1.0 / levels)]), target, most)
        after = _table(ends, len(direct) + levels.size)
        best = np.ones(after.shape[1] + STRETCHED)
        for before, rest in zip(
            (*([[0.0]] * len(direct)), *self._stretched(levels, start)), after, strict=True
        ):
            for k, failed in enumerate(before):
                part = best[k : k + rest.size]
                np.minimum(part, failed + rest, out=part)
        return np.minimum.accumulate(best)

    def _stretched(self, levels: np.ndarray, start: Start) -> np.ndarray:
        """Probability of |cot θ| ≤ each level throughout rounds 0, 1, …, k, at most: (level, k)."""
        x, tiny = levels[:, None], 1e-3
        slope = np.maximum(sharp_start.expansion(x, self.kappa, self.box), tiny)
        k = np.arange(STRETCHED, dtype=np.float64)[:, None, None]
        left, spent = x * slope**-k, k * self.tails
        if start == "random":
            near = sharp_start.near_equator(left, self.d)
        else:  # the first round's ρ̄ spreads any start; its lengths |X_i a| have a tail of their own
            push = np.maximum(sharp_start.push(x, self.kappa, self.box), tiny)
            near = sharp_start.near_any(left * slope / push, self.box.high, self.pooled)
            spent = spent + self.shares
            near[0] = 1.0
        return np.minimum(1.0, np.min(near + spent, axis=2)).T

    def _ends(self, first: np.ndarray, target: float, most: int) -> list[End]:
        """Ways to finish from each of the first tangents, at every price."""
        level = np.repeat(np.arange(first.size), PRICES.size)
        price = np.tile(PRICES, first.size)
        t, spent, kept = first[level], np.zeros(level.size), np.zeros(level.size, dtype=int)
        near, stay, ends = self._near(), self._staying(target), list[End]()
        for rounds in range(most + 1):
            done = t <= target
            ends += [End(level[i], rounds, spent[i], 0.0, 0.0, stay) for i in np.flatnonzero(done)]
            going = ~done & (spent < LOST)
            level, price, kept = level[going], price[going], kept[going]
            t, spent = t[going], spent[going]
            if not t.size:
                break
            after = self._moved(t, price, kept)
            spent = np.where(np.isinf(after), 1.0, spent + self.tails[kept])
            crossed = [(after <= mark) & (mark < t) & (after > target) for mark in MARKS]
            for i in np.flatnonzero(np.any(crossed, axis=0)):
                for far, rate, cost in near:
                    failed = spent[i] + (after[i] / far) ** 2  # Ville: or it strays
                    amount = (after[i] / target) ** 2
                    ends.append(End(level[i], rounds + 1, failed, amount, rate, cost))
            t = after
        return ends

    def _moved(self, t: np.ndarray, price: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Where the box worth its price leads each tangent, +inf if not below it; `kept` gets its number."""
        wide = t > SMALL
        if wide.any():
            after = sharp_step.upper_step(t[wide, None], self.kappa, self.box)
            with np.errstate(divide="ignore"):
                gain = np.log(t[wide, None] / after) / (1 + price[wide, None] * self.tails)
            kept[wide] = np.argmax(gain, axis=1)
        after = sharp_step.upper_step(t, self.kappa, self.box.at(kept))
        return np.where(after < t * (1 - LEAST_GAIN), after, inf)

    def _near(self) -> list[tuple[float, float, float]]:
        """Of small angles: how far out, the factor of E tan²θ in a round up to there, its box's failure."""
        if self.samples <= 4 or self.clients * (self.samples - 2) < 6:
            return []
        found = []
        for far in FARTHEST:
            squares = 0.0, far**2 / (1 + far**2)
            sizes = self.d, self.clients, self.samples
            moments = [local_moment.second_moment(s2, self.kappa, *sizes) for s2 in squares]
            with np.errstate(divide="ignore"):
                rates = max(moments) / sharp_step.least_length(far, self.kappa, self.box) ** 2
            for most in CALM:
                calm = np.where(self.tails <= most, rates, inf)
                best = int(np.argmin(calm))
                if calm[best] < 1:
                    found.append((far, float(calm[best]), float(self.tails[best])))
        return found

    def _staying(self, target: float) -> float:
        """Least probability to leave a box that keeps what is below the target there."""
        inside = sharp_step.upper_step(np.float64(target), self.kappa, self.box) <= target
        return float(np.min(self.tails, initial=1.0, where=inside))


def _table(ends: list[End], levels: int) -> np.ndarray:
    """Failure of the best way from each level within 0, 1, … rounds, stretching charged: (level, rounds)."""
    lasts = [
        end.rounds + (log(max(1e9 * end.amount, 1.0)) / -log(end.rate) if end.amount else 0.0)
        for end in ends
    ]
    count = int(min(MOST_ROUNDS, max(lasts, default=0.0) + 2))
    found, n = np.ones((levels, count)), np.arange(count)
    for end in ends:
        more = n[: max(count - end.rounds, 0)]
        failed = end.failure + end.amount * end.rate**more + end.stay * (more + STRETCHED)
        rest = found[end.level, end.rounds :]
        np.minimum(rest, failed, out=rest)
    return found

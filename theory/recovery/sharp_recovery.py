"""How many rounds suffice, and with which probability: logarithmically many in d and 1/ε, on pooled samples.

Fresh samples in each half-step, N clients with m each, M = N·m, κ = 2 η ||b*||² in (0, 2), a start at a given
angle or uniformly random. What the functions say are bounds; where they have none, they say 1 or +inf.
"""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
from scipy import special

from theory.recovery import sharp_start, sharp_step, sharp_tails
from theory.recovery.sharp import dominating, too_few
from theory.recovery.sharp.dominating import Effort
from theory.recovery.sharp_paths import MOST_ROUNDS, SLOPES, Setting, Start
from theory.recovery.sharp_step import Box

UPPER = np.geomspace(0.2, 300.0, 24)
"""Tangents up to which a lower bound is taken in tangents, and beyond in cotangents."""


CHAINED = 300
"""Width up to which a chain that dominates the angle is sharper than paths of boxes, …"""
CHAINED_STEPS = 0.2, 1.8
"""… with steps between these, which move it by more than the chain's grid, …"""
CHAINED_POOLED = 10**7
"""… so many pooled samples, beyond which its grid would be long, …"""
CHAINED_FROM = 1e-12
"""… angles, …"""
CHAINED_ROUNDS = 400
"""… and rounds."""


def tangent(sine: float) -> float:
    """Tan θ of sin θ."""
    return sine / sqrt((1.0 - sine) * (1.0 + sine))


class Forecast:
    """The least failures found at one setting, for those who ask more than once.

    Args:
        d: width.
        clients, samples: N and m, of each half-step.
        kappa: step size.
        epsilon: angle distance wanted.
        start: sin θ⁰, or "random".
        effort: of the chain; any is a proof.

    Raises:
        ValueError: on an argument outside its range.
    """

    def __init__(
        self,
        d: int,
        clients: int,
        samples: int,
        kappa: float,
        epsilon: float,
        start: Start = "random",
        effort: Effort = dominating.FULL,
    ) -> None:
        _refuse(d, clients, samples, kappa, epsilon, start)
        first = 0.0 if start == "random" else tangent(start)
        setting = Setting(d, clients, samples, kappa)
        self._failures = setting.failures(start, first, tangent(epsilon))
        if _chained(d, clients * samples, kappa, epsilon):
            asked = d, clients, samples, kappa, start, tangent(epsilon)
            chain = dominating.failures(*asked, CHAINED_ROUNDS, effort)
            paths = self._failures
            size = max(chain.size, paths.size)
            both = [np.pad(x, (0, size - x.size), constant_values=1.0) for x in (chain, paths)]
            both[1][paths.size :] = paths[-1]  # a path keeps its angle
            self._failures = np.append(np.minimum(*both), paths[-1])

    def failure(self, rounds: int) -> float:
        """As the function of that name."""
        return float(self._failures[min(rounds, self._failures.size - 1)])

    def rounds(self, delta: float) -> float:
        """As the function of that name."""
        enough = self._failures <= delta
        return float(np.argmax(enough)) if enough.any() else inf


def failure(
    rounds: int,
    d: int,
    clients: int,
    samples: int,
    kappa: float,
    epsilon: float,
    start: Start = "random",
) -> float:
    """At most this is the probability of an angle distance above ε after so many rounds; 1 says nothing.

    Args:
        clients, samples: N and m, of each half-step.
        start: sin θ⁰, or "random".

    Raises:
        ValueError: on an argument outside its range.
    """
    return Forecast(d, clients, samples, kappa, epsilon, start).failure(rounds)


def rounds(
    delta: float,
    d: int,
    clients: int,
    samples: int,
    kappa: float,
    epsilon: float,
    start: Start = "random",
    effort: Effort = dominating.FULL,
) -> float:
    """So many rounds reach angle distance ε with probability at least 1 − δ; +inf if the bound knows of none.

    Arguments and refusals as in `failure`.
    """
    return Forecast(d, clients, samples, kappa, epsilon, start, effort).rounds(delta)


def samples(
    delta: float,
    d: int,
    clients: int,
    kappa: float,
    epsilon: float,
    start: Start = "random",
    within: int = 150,
) -> float:
    """The fewest samples m a client, to 1 %, with which `within` rounds reach ε with probability 1 − δ.

    +inf if even 10⁴ d pooled ones are too few. To 5 % up to d = `CHAINED`.
    """
    _refuse(d, clients, 1, kappa, epsilon, start)
    target, first = tangent(epsilon), 0.0 if start == "random" else tangent(start)
    chained = _chained(d, 1, kappa, epsilon)
    parts = 20 if chained else 100

    def enough(m: int) -> bool:
        if chained:
            asked = d, clients, m, kappa, start, target, within
            return bool(dominating.failures(*asked, dominating.ROUGH)[within] <= delta)
        found = Setting(d, clients, m, kappa).failures(start, first, target, within)
        return bool(found[min(within, found.size - 1)] <= delta)

    low, high = 1, max(2, 4 * d // clients)
    while not enough(high):
        low, high = high, 4 * high
        if clients * low > 1e4 * d:
            return inf
    while high - low > max(1, high // parts):
        middle = max(low + 1, round(sqrt(max(low, high / 16) * high)))
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)


def _chained(d: int, pooled: int, kappa: float, epsilon: float) -> bool:
    """Whether the dominating chain is asked."""
    low, high = CHAINED_STEPS
    few = d <= CHAINED and pooled <= CHAINED_POOLED
    return few and low <= kappa <= high and CHAINED_FROM < epsilon < dominating.SMALL / 2


def least_samples(
    delta: float,
    d: int,
    clients: int,
    kappa: float,
    epsilon: float,
    start: Start = "random",
    within: int = 150,
) -> float:
    """With one sample a client fewer `within` rounds leave the angle above ε, with probability above δ.

    The largest such number, to 1 %, and 1 where none is known. Arguments and refusals as in `samples`.
    """
    _refuse(d, clients, 1, kappa, epsilon, start)

    def short(m: int) -> bool:
        return m < 1 or too_few.success(within, d, clients, m, kappa, epsilon, start) < 1 - delta

    high = int(2 * d * kappa / (2 - kappa) / clients) + 2
    while not short(low := int(0.75 * high)):
        high = low
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return float(low + 1)


def least_rounds(
    delta: float,
    d: int,
    clients: int,
    samples: int,
    kappa: float,
    epsilon: float,
    start: Start = "random",
) -> float:
    """In fewer rounds than this the angle distance stays above ε, with probability at least 1 − δ."""
    _refuse(d, clients, samples, kappa, epsilon, start)
    target, first, left = tangent(epsilon), 0.0, delta
    if start != "random":
        first = tangent(start)
    else:  # half of δ for a start of large cotangent
        cos2 = special.betaincinv(0.5, 0.5 * (d - 1), 1.0 - delta / 2)
        first, left = sqrt((1.0 - cos2) / cos2), delta / 2
    count = 16
    while True:  # as many boxes as rounds
        found = _fewest(first, target, kappa, _equal_box(left / count, d, clients, samples), count)
        if found < count or count > MOST_ROUNDS:
            return float(found)
        count *= 2


def _equal_box(share: float, d: int, clients: int, samples: int) -> Box:
    """A box left with at most this probability, by ρ̄ half of it."""
    pooled = clients * samples
    slopes = np.geomspace(SLOPES[0], 40.0, 200)
    kept = sharp_tails.slope_tail(slopes, clients, samples) <= share / 2
    widest = slopes[np.argmax(kept)] if kept.any() else inf
    return Box(widest / sqrt(pooled), *sharp_tails.sides(share / 2, d, pooled))


def _fewest(t: float, target: float, kappa: float, box: Box, most: int) -> int:
    """Rounds that the lower bound takes to the target, at most `most`."""
    beyond = 1.0 / np.maximum(sharp_start.highest(1.0 / UPPER, kappa, box), 1e-300)
    for number in range(most):
        if t <= target:
            return number
        above = t < UPPER
        near = np.minimum(sharp_step.lower_step(t, UPPER, kappa, box), beyond)
        after = [0.0, *near[above], 1.0 / float(sharp_start.highest(1.0 / t, kappa, box))]
        t = float(np.max(after))
    return most


def _refuse(d: int, clients: int, samples: int, kappa: float, epsilon: float, start: Start) -> None:
    for name, value, least in (("d", d, 2), ("clients", clients, 1), ("samples", samples, 1)):
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if not 0 < kappa < 2:
        raise ValueError(f"kappa must lie strictly between 0 and 2, got {kappa}")
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon must lie strictly between 0 and 1, got {epsilon}")
    if start != "random" and not epsilon < float(start) < 1:
        raise ValueError(
            f"start must be 'random' or lie between epsilon = {epsilon} and 1, got {start!r}"
        )

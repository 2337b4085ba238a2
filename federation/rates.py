"""A run's learning rate: the best of a grid, and what a schedule makes of it round by round."""

from collections.abc import Sequence
from math import cos, pi

import numpy as np


def scheduled(
    rate: float, round: int, rounds: int, *, shape: str, end: float = 0.0, warmup: int = 0
) -> float:
    """The step size in a round, counting from 1.

    It grows linearly over the `warmup` rounds, and stands in the first round after them at `rate`. From there
    `linear` and `cosine` decay, so that they would be at `end` in the round after the last.
    """
    if round <= warmup:
        return rate * round / (warmup + 1)
    if shape == "constant":
        return rate
    gone = (round - 1 - warmup) / (rounds - warmup)
    left = {"linear": 1.0 - gone, "cosine": (1.0 + cos(pi * gone)) / 2.0}[shape]
    return end + (rate - end) * left


def choose(rates: Sequence[float], scores: np.ndarray, losses: np.ndarray) -> int:
    """Place of the rate with the highest mean score; ties go to the smaller loss, then to the first.

    Scores and losses are (L, S); a rate with a NaN is out. Raises ValueError if every rate is.
    """
    means = scores.mean(axis=1)
    sound = np.flatnonzero(np.isfinite(means))
    if sound.size == 0:
        raise ValueError(
            "the grid of learning rates must hold one that is small enough, and every rate diverged"
            f" ({', '.join(f'{rate:g}' for rate in rates)}); add smaller ones"
        )
    return int(min(sound, key=lambda place: (-means[place], losses[place].mean())))

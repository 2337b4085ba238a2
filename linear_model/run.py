"""What an experiment on the linear model returns, whichever simulator ran it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Traces:
    """Trajectories of trials, arrays of shape (trials, rounds + 1), float64; column 0 is the start.

    Where a method merged W into the frozen matrix, W + A B stands for A B below; where clients keep
    factors of their own, risks are means over all clients, each with its own model and its own B_i*,
    and the angle is the mean over clients if those factors are A.

    Attributes:
        angle: angle distance δ = ||(I − A*A*ᵀ)A||₂ (spectral norm; rank 1: |sin θ|).
        excess: excess risk over the best shared model, ||A B − A* B̄*||_F² with the B of that round
            (column 0: with the B the method starts from). Clients with factors of their own can do
            better than any shared model: it is then negative.
        recovery: ||A_{t−1} B_t − A* B̄*||_F: the product of round t's B with the A that round started
            from, which Algorithm 2 fits it to. This is what the recovery theorem bounds at
            T = t − 1; NaN in column 0. With factors of their own: the root of that excess, or 0.
        loss: expected global loss mean_i ||A B − A* B_i*||_F² + σ² p.
        aggregation_error: ||A B − mean_i A_i B_i||_F of the round's (last) server step; NaN in column 0.
        numbers_up: numbers all clients have sent so far, int64.
        numbers_down: numbers they were sent so far, what they had missed included, int64.
    """

    angle: np.ndarray
    excess: np.ndarray
    recovery: np.ndarray
    loss: np.ndarray
    aggregation_error: np.ndarray
    numbers_up: np.ndarray
    numbers_down: np.ndarray

    @classmethod
    def empty(cls, trials: int, rounds: int) -> Traces:
        """Rows to be filled; nothing is sent yet."""
        shape = trials, rounds + 1
        measured = [np.empty(shape) for _ in range(5)]
        return cls(*measured, *(np.zeros(shape, dtype=np.int64) for _ in range(2)))


@dataclass(frozen=True, eq=False)
class Run(Traces):
    """The trajectories of all trials, and the names of what made them."""

    method: str
    simulator: str

    @property
    def trials(self) -> int:
        """Number of Monte Carlo trials."""
        return int(self.angle.shape[0])

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return int(self.angle.shape[1]) - 1

"""FFA-LoRA with B found by least squares: the best that can be done while A stays where it started."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from linear_model.clients import solve
from linear_model.methods.base import FromZero, Rounds, State, require_samples
from linear_model.problem import Problem


@dataclass(frozen=True, slots=True)
class FFALeastSquares(FromZero):
    """A stays frozen; every round refits B on that round's samples.

    Attributes:
        pooled: False: each client solves its own least squares, the server averages (the paper's
            proposition); True: one least-squares problem over all clients' samples.
    """

    pooled: bool = False
    orthonormal: ClassVar[bool] = True
    """A never moves from its orthonormal start."""

    @property
    def name(self) -> str:
        """Key in results and on the command line."""
        return "ffa-pooled" if self.pooled else "ffa-ls"

    def step(self, problem: Problem) -> float:
        """No step size: NaN.

        Raises:
            ValueError: unless every least-squares problem has more than rank + 1 samples.
        """
        if self.pooled:
            pooled = problem.active * problem.samples
            require_samples(problem, pooled, "clients × samples")
        else:
            require_samples(problem, problem.samples, "samples")
        return float("nan")

    def round(self, state: State, rounds: Rounds, number: int, eta: float) -> State:
        """Refit B. A is shared by all clients, so the average is exact."""
        if self.pooled:
            square, right = rounds.batch().normal(state.A)
            B = solve(square.mean(axis=1), right.mean(axis=1))
        else:
            B = rounds.batch().fit(state.A).mean(axis=1)
        return State(state.A, B, np.zeros(B.shape[0]))

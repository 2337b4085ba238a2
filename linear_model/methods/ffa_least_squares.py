"""FFA-LoRA with B found by least squares: the best that can be done while A stays where it started."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federated_lora import Shape
from federation.sent import Exchange
from linear_model.methods.base import FromZero, Rounds, State, fitted, require_fits, solved
from linear_model.problem import Problem


@dataclass(frozen=True, slots=True)
class FFALeastSquares(FromZero):
    """A stays frozen; every round refits B on that round's samples.

    Each client solves its own least squares, and the server averages (the paper's proposition); `pooled`,
    it is one least-squares problem over all clients' samples.
    """

    pooled: bool = False
    orthonormal: ClassVar[bool] = True
    """A never moves from its orthonormal start."""

    @property
    def name(self) -> str:
        """Key in results and on the command line."""
        return "ffa-pooled" if self.pooled else "ffa-ls"

    def step(self, problem: Problem) -> float:
        """No step size: NaN. Raises ValueError unless every fit has more than rank + 1 samples."""
        require_fits(problem, pooled=self.pooled)
        return float("nan")

    def round(self, state: State, rounds: Rounds, number: int, eta: float) -> State:
        """Refit B. A is shared by all clients, so the average is exact."""
        B = fitted(rounds.batch(), state.A, pooled=self.pooled)
        return State(state.A, B, np.zeros(B.shape[0]), exchange=self.exchange(rounds.shape))

    def exchange(self, shape: Shape) -> Exchange:
        """What least squares moves."""
        return solved(shape, pooled=self.pooled)

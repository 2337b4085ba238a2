"""The paper's Algorithm 2: exact least squares in B, one averaged gradient step in A, QR.

Chen et al., arXiv 2502.01755, linear model.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from linear_model.methods.base import FromZero, Rounds, State, require_samples
from linear_model.problem import Problem, step_size


@dataclass(frozen=True, slots=True)
class Algorithm2(FromZero):
    """RoLoRA as the paper analyses it on the linear model.

    A round: each client solves `B_i = argmin_B ||X_i A B − Y_i||²`, the server averages them to B̄;
    each client sends `∇_A (1/m)||X_i A B̄ − Y_i||²`, the server steps along the mean and
    orthonormalises. The first B is irrelevant and reported as 0.

    Attributes:
        eta: step size on the true gradient, factor 2 included; give this or
        kappa: the dimensionless step 2 η ||B̄*||².
    """

    eta: float | None = None
    kappa: float | None = None
    name: str = "algorithm2"
    orthonormal: ClassVar[bool] = True
    """A is orthonormalised in every round."""

    def step(self, problem: Problem) -> float:
        """η.

        Raises:
            ValueError: unless exactly one of eta and kappa is given, finite and positive, and a client
                has more than rank + 1 samples.
        """
        require_samples(problem, problem.samples, "samples")
        return step_size(problem, eta=self.eta, kappa=self.kappa)

    def round(self, state: State, rounds: Rounds, number: int, eta: float) -> State:
        """One round, both half-steps. Both averages are of one factor while the other is shared."""
        B = rounds.batch().fit(state.A).mean(axis=1)
        moved = state.A - eta * rounds.batch().mean_gradient(state.A, B)
        return State(orthonormalised(moved), B, np.zeros(B.shape[0]))


def orthonormalised(A: np.ndarray) -> np.ndarray:
    """The Q of A = QR with positive diagonal of R; rank 1: A over its length. Shape (*batch, d, r)."""
    if A.shape[-1] == 1:
        return A / np.sqrt(np.square(A).sum(axis=-2, keepdims=True))
    Q, R = np.linalg.qr(A)
    signs = np.where(np.diagonal(R, axis1=-2, axis2=-1) < 0.0, -1.0, 1.0)
    return Q * signs[..., None, :]

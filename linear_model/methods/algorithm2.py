"""The paper's Algorithm 2: exact least squares in B, one averaged gradient step in A, QR.

Chen et al., arXiv 2502.01755, linear model. Pooled (theory-2.md E1): each client sends the r × r Gram matrix
`Aᵀ G_i A` and `Aᵀ X_iᵀ Y_i / m` in place of its own solution, and the server solves: an average of ratios
becomes a ratio of averages, for r² numbers more. The b-step is then least squares over all samples: its bias
is gone, and r + 1 samples a client are no longer needed.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federated_lora import Factor, Shape, Traffic
from federation.sent import Exchange
from linear_model.methods.base import NAMES, FromZero, Rounds, State, fitted, require_fits, solved
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
        pooled: whether the server solves one least-squares problem for B over all clients' samples.
    """

    eta: float | None = None
    kappa: float | None = None
    pooled: bool = False
    orthonormal: ClassVar[bool] = True
    """A is orthonormalised in every round."""

    @property
    def name(self) -> str:
        """Key in results and on the command line."""
        return "algorithm2-pooled" if self.pooled else "algorithm2"

    def step(self, problem: Problem) -> float:
        """η.

        Raises ValueError unless exactly one of eta and kappa is given, finite and positive, and every
        least-squares problem has more than rank + 1 samples.
        """
        require_fits(problem, pooled=self.pooled)
        return step_size(problem, eta=self.eta, kappa=self.kappa)

    def round(self, state: State, rounds: Rounds, number: int, eta: float) -> State:
        """One round, both half-steps. Both averages are of one factor while the other is shared."""
        B = fitted(rounds.batch(), state.A, pooled=self.pooled)
        moved = state.A - eta * rounds.batch().mean_gradient(state.A, B)
        error, sent = np.zeros(B.shape[0]), self.exchange(rounds.shape)
        return State(orthonormalised(moved), B, error, exchange=sent)

    def exchange(self, shape: Shape) -> Exchange:
        """What least squares moves; then A's gradient up, A down."""
        of_B, A = solved(shape, pooled=self.pooled), shape.numbers(Factor.A)
        return Exchange(of_B.traffic + Traffic(A, A), of_B.changed | {NAMES[Factor.A]})


def orthonormalised(A: np.ndarray) -> np.ndarray:
    """The Q of A = QR with positive diagonal of R; rank 1: A over its length. Shape (*batch, d, r)."""
    if A.shape[-1] == 1:
        return A / np.sqrt(np.square(A).sum(axis=-2, keepdims=True))
    Q, R = np.linalg.qr(A)
    signs = np.where(np.diagonal(R, axis1=-2, axis2=-1) < 0.0, -1.0, 1.0)
    return Q * signs[..., None, :]

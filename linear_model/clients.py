"""What the samples of one half-step can answer: the one interface the methods are written against.

Arrays carry trials first and clients second: T trials, n participating clients.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

SharedA = Float[np.ndarray, "T d r"]
SharedB = Float[np.ndarray, "T r p"]
OwnA = Float[np.ndarray, " T #n d r"]
"""One a client, or one for all as n = 1; `OwnB` and `Squares` alike."""
OwnB = Float[np.ndarray, " T #n r p"]
Squares = Float[np.ndarray, " T #n r r"]
Truth = Float[np.ndarray, " #T #n q p"]
"""B_i*, one for all clients or trials as 1."""


class ClientBatch(Protocol):
    """The samples all participating clients use in one half-step.

    A shared by the clients has shape (T, d, r), per-client ones (T, n, d, r); B alike.
    """

    def normal(self, A: SharedA) -> tuple[Squares, OwnB]:
        """`Aᵀ G_i A` (T, n, r, r) and `Aᵀ X_iᵀY_i / m` (T, n, r, p) for a shared A."""

    def fit(self, A: SharedA) -> OwnB:
        """Per-client least squares `argmin_B ||X_i A B − Y_i||` for a shared A, (T, n, r, p)."""

    def mean_gradient(self, A: SharedA, B: SharedB) -> SharedA:
        """Mean over clients of `∇_A (1/m)||X_i A B − Y_i||²` at shared A and B, (T, d, r)."""

    def gradients(self, A: OwnA, B: OwnB, *, of_B: bool) -> tuple[OwnA, OwnB | None]:
        """Each client's gradients in its own A (T, n, d, r) and, if asked for, B (T, n, r, p)."""

    def shifted(self, W: Float[np.ndarray, "T d p"]) -> ClientBatch:
        """The same samples with `Y_i − X_i W` in place of Y_i, W of shape (T, d, p)."""

    def chosen(self, who: Int[np.ndarray, "T n"], B_star: Truth) -> ClientBatch:
        """The named clients of each trial, with their B_i*."""


def transpose(matrix: Float[np.ndarray, "*batch i j"]) -> Float[np.ndarray, "*batch j i"]:
    """Transpose of the last two axes."""
    return np.swapaxes(matrix, -1, -2)


def solve(
    normal: Float[np.ndarray, " *#batch r r"], right: Float[np.ndarray, " *#batch r p"]
) -> Float[np.ndarray, " *#batch r p"]:
    """Solutions (*batch, r, p) of small symmetric systems (*batch, r, r); rank 1 is a division."""
    if normal.shape[-1] == 1:
        return right / normal
    return np.linalg.solve(normal, right)

"""Clients known by their literal samples X_i and Y_i: the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from linear_model.clients import OwnA, OwnB, SharedA, SharedB, Squares, Truth, transpose


@dataclass(frozen=True, eq=False)
class SampleClients:
    """Everything by its definition on X_i and Y_i."""

    X: Float[np.ndarray, "T n m d"]
    Y: Float[np.ndarray, "T n m p"]

    def normal(self, A: SharedA) -> tuple[Squares, OwnB]:
        image = self.X @ A[:, None]
        samples = self.X.shape[2]
        return transpose(image) @ image / samples, transpose(image) @ self.Y / samples

    def fit(self, A: SharedA) -> OwnB:
        """By QR of X_i A, not by the normal equations."""
        Q, R = np.linalg.qr(self.X @ A[:, None])
        return np.linalg.solve(R, transpose(Q) @ self.Y)

    def mean_gradient(self, A: SharedA, B: SharedB) -> SharedA:
        return self.gradients(A[:, None], B[:, None], of_B=False)[0].mean(axis=1)

    def gradients(self, A: OwnA, B: OwnB, *, of_B: bool) -> tuple[OwnA, OwnB | None]:
        samples = self.X.shape[2]
        image = self.X @ A
        residual = image @ B - self.Y
        of_A = 2.0 / samples * (transpose(self.X) @ (residual @ transpose(B)))
        return of_A, 2.0 / samples * (transpose(image) @ residual) if of_B else None

    def shifted(self, W: Float[np.ndarray, "T d p"]) -> SampleClients:
        return replace(self, Y=self.Y - self.X @ W[:, None])

    def chosen(self, who: Int[np.ndarray, "T n"], B_star: Truth) -> SampleClients:
        at = np.arange(len(who))[:, None], who
        return SampleClients(self.X[at], self.Y[at])

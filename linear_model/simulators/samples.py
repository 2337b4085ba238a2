"""Clients known by their literal samples X_i and Y_i: the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from linear_model.clients import transpose


@dataclass(frozen=True, eq=False)
class SampleClients:
    """Everything by its definition on X_i and Y_i.

    Attributes:
        X: (T, n, m, d).
        Y: (T, n, m, p).
    """

    X: np.ndarray
    Y: np.ndarray

    def normal(self, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See ClientBatch."""
        image = self.X @ A[:, None]
        samples = self.X.shape[2]
        return transpose(image) @ image / samples, transpose(image) @ self.Y / samples

    def fit(self, A: np.ndarray) -> np.ndarray:
        """See ClientBatch. By QR of X_i A, not by the normal equations."""
        Q, R = np.linalg.qr(self.X @ A[:, None])
        return np.linalg.solve(R, transpose(Q) @ self.Y)

    def mean_gradient(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        """See ClientBatch."""
        return self.gradients(A[:, None], B[:, None], of_B=False)[0].mean(axis=1)

    def gradients(
        self, A: np.ndarray, B: np.ndarray, *, of_B: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """See ClientBatch."""
        samples = self.X.shape[2]
        image = self.X @ A
        residual = image @ B - self.Y
        of_A = 2.0 / samples * (transpose(self.X) @ (residual @ transpose(B)))
        return of_A, 2.0 / samples * (transpose(image) @ residual) if of_B else None

    def shifted(self, W: np.ndarray) -> SampleClients:
        """See ClientBatch."""
        return replace(self, Y=self.Y - self.X @ W[:, None])

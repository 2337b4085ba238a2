"""The best shared model of rank r in closed form: what excess risks and angles are measured against.

With client covariances S_i the mean loss of a shared W is `‖S̄^½(W − W°)‖² + spread`, S̄ = mean_i S_i,
`S̄W° = mean_i S_iW_i`: one low-rank approximation, weighted from the left alone. It is solved by the leading
singular vectors of `LᵀW°`, S̄ = LLᵀ (Eckart and Young 1936).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Optimum:
    """What no shared model of rank r does better than.

    Attributes:
        A: its column space, orthonormal columns.
        tail: its part of the mean loss that a higher rank would lower, 0 at targets of rank r.
        spread: what no shared matrix lowers.
        metric: S̄ and W° where features have covariances, else None.
    """

    A: Float[np.ndarray, "d r"]
    tail: float
    spread: float
    metric: tuple[Float[np.ndarray, "d d"], Float[np.ndarray, "d p"]] | None


def optimum(
    rank: int,
    A_star: Float[np.ndarray, "d q"],
    B_star: Float[np.ndarray, "N q p"],
    covariances: Float[np.ndarray, "N d d"] | None,
) -> Optimum:
    """The best model of that rank for the targets `A* B_i*` and feature covariances (None for identities)."""
    mean = B_star.mean(axis=0)
    if covariances is None:
        spread = float(np.square(B_star - mean).sum(axis=(-2, -1)).mean())
        if A_star.shape[1] == rank:
            return Optimum(A_star, 0.0, spread, None)
        left, values, _ = np.linalg.svd(mean)
        return Optimum(A_star @ left[:, :rank], _squares(values[rank:]), spread, None)
    targets, shared = A_star @ B_star, covariances.mean(axis=0)
    best = np.linalg.solve(shared, (covariances @ targets).mean(axis=0))
    apart = targets - best
    spread = float((apart * (covariances @ apart)).sum(axis=(-2, -1)).mean())
    root = np.linalg.cholesky(shared)
    left, values, _ = np.linalg.svd(root.T @ best)
    columns = np.linalg.qr(np.linalg.solve(root.T, left[:, :rank])).Q
    return Optimum(columns, _squares(values[rank:]), spread, (shared, best))


def _squares(values: Float[np.ndarray, " k"]) -> float:
    return float(np.square(values).sum())

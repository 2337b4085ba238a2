"""RoLoRA with local gradient steps in the population limit, as a plain loop over clients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

Clients = Sequence[tuple[np.ndarray, np.ndarray]]
"""A client's covariance S_i (d, d) and target W_i (d, p)."""


def clients_of(
    targets: Float[np.ndarray, "N d p"], covariances: Float[np.ndarray, "N d d"] | None = None
) -> Clients:
    """The clients of these targets and covariances, identities if None."""
    if covariances is None:
        return [(np.eye(targets.shape[1]), W) for W in targets]
    return list(zip(covariances, targets, strict=True))


def b_round(
    A: Float[np.ndarray, "d r"],
    B: Float[np.ndarray, "r p"],
    clients: Clients,
    eta: float,
    steps: int,
) -> Float[np.ndarray, "r p"]:
    """The mean of the clients' B after their own gradient steps at a shared A."""
    ends = []
    for S, W in clients:
        own = B
        for _ in range(steps):
            own = own - eta * 2.0 * A.T @ S @ (A @ own - W)
        ends.append(own)
    return np.asarray(np.mean(ends, axis=0))


def a_round(
    A: Float[np.ndarray, "d r"],
    B: Float[np.ndarray, "r p"],
    clients: Clients,
    eta: float,
    steps: int,
) -> Float[np.ndarray, "d r"]:
    """The mean of the clients' A after their own gradient steps at a shared B."""
    ends = []
    for S, W in clients:
        own = A
        for _ in range(steps):
            own = own - eta * 2.0 * S @ (own @ B - W) @ B.T
        ends.append(own)
    return np.asarray(np.mean(ends, axis=0))

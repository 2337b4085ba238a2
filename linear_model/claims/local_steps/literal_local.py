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


class Corrected:
    """RoLoRA with control variates, client by client, everybody taking part."""

    def __init__(
        self, A: np.ndarray, B: np.ndarray, clients: Clients, eta: float, steps: int
    ) -> None:
        self.A, self.B, self.clients, self.eta, self.steps = A, B, clients, eta, steps
        self.own = {"A": [0.0 * A] * len(clients), "B": [0.0 * B] * len(clients)}

    def round(self, factor: str) -> None:
        """K corrected steps on one factor, the mean, and every client's new control variate."""
        begun = self.A if factor == "A" else self.B
        shared = np.mean(self.own[factor], axis=0)
        ends, controls = [], []
        for (S, W), c in zip(self.clients, self.own[factor], strict=True):
            x = begun
            for _ in range(self.steps):
                of_A = 2.0 * S @ (x @ self.B - W) @ self.B.T if factor == "A" else None
                g = 2.0 * self.A.T @ S @ (self.A @ x - W) if of_A is None else of_A
                x = x - self.eta * (g - c + shared)
            ends.append(x)
            controls.append(c - shared + (begun - x) / (self.steps * self.eta))
        self.own[factor] = controls
        if factor == "A":
            self.A = np.asarray(np.mean(ends, axis=0))
        else:
            self.B = np.asarray(np.mean(ends, axis=0))

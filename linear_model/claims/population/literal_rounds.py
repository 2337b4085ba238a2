"""Rounds of RoLoRA in the population limit as a plain loop over clients, and targets to run them on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from verification.evidence import Evidence


def orthonormal(normal: Float[np.ndarray, "d r"]) -> Float[np.ndarray, "d r"]:
    """Orthonormal columns of the same span, each turned towards the one it was."""
    Q = np.linalg.qr(normal).Q
    return np.asarray(Q * np.where((Q * normal).sum(axis=0) < 0.0, -1.0, 1.0))


def client_loop(
    A: Float[np.ndarray, "d r"],
    targets: Float[np.ndarray, "N d p"],
    eta: float,
    covariances: Sequence[np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 2, client by client: least squares for B, the mean, one averaged gradient step on A.

    Args:
        covariances: S_i of the features; None for identities.

    Returns:
        Â before QR, and B̄.
    """
    S = [np.eye(len(A))] * len(targets) if covariances is None else covariances
    roots = [np.linalg.cholesky(s).T for s in S]
    fits = [
        np.linalg.lstsq(R @ A, R @ W, rcond=None)[0] for R, W in zip(roots, targets, strict=True)
    ]
    B = np.mean(fits, axis=0)
    gradients = [2.0 * s @ (A @ B - W) @ B.T for s, W in zip(S, targets, strict=True)]
    return np.asarray(A - eta * np.mean(gradients, axis=0)), np.asarray(B)


def targets_of(
    evidence: Evidence, clients: int, d: int, outputs: int, name: str = "targets"
) -> np.ndarray:
    """W_i of full rank with other left and right factors on each client, (N, d, p); ‖W̄‖ = 1 or so."""
    rng = evidence.rng(name, clients, d, outputs)
    shared = rng.standard_normal((d, outputs))
    own = rng.standard_normal((clients, d, outputs))
    made = shared + own
    return np.asarray(made / np.linalg.norm(made.mean(axis=0), 2))


def start_of(evidence: Evidence, d: int, rank: int, *axes: str | int) -> np.ndarray:
    """A Haar-random orthonormal A, (d, r)."""
    return orthonormal(evidence.rng("start", d, rank, *axes).standard_normal((d, rank)))

"""FFA-LoRA's training loss on literal data: the only place where samples, fit and loss share X.

The simulators report the loss on new samples; the floor's constant on the training samples needs X itself.
"""

from dataclasses import dataclass

import numpy as np

from verification.streams import generator

BLOCK_ENTRIES = 2_000_000
"""Numbers drawn at a time: 16 MB. The trials of a block share one stream, so the block size is fixed by
the problem alone and a result does not depend on memory or worker count."""


@dataclass(frozen=True, slots=True)
class TrainingLosses:
    """Losses of independent trials, each over ||V||², V = (I − A⁰A⁰ᵀ)A*B*; arrays of shape (trials,).

    Attributes:
        averaged: B_i by least squares on each client's samples, then averaged.
        pooled: B by joint least squares on all samples.
        unlearned: mean_i ||X_i V||²_F/(m||V||²), of known mean 1: the control variate.
    """

    averaged: np.ndarray
    pooled: np.ndarray
    unlearned: np.ndarray


def training_losses(
    A_start: np.ndarray,
    target: np.ndarray,
    *,
    clients: int,
    samples: int,
    trials: int,
    seed: int,
    axes: tuple[str | int, ...],
) -> TrainingLosses:
    """Draw X_i, fit B on `Y_i = X_i target`, average, and return the loss on the same samples.

    Args:
        A_start: frozen down-projection, (d, r), orthonormal columns, float64.
        target: A*B*, (d, p), float64, not within the span of A_start.
        clients, samples: N and m, with m ≥ r.
        trials: number of independent data sets.
        seed, axes: name of the random stream.

    Raises:
        ValueError: if least squares has fewer samples than unknowns.
    """
    d, rank = A_start.shape
    if samples < rank:
        raise ValueError(f"samples must be at least the rank {rank}, got {samples}")
    left = target - A_start @ (A_start.T @ target)
    scale = float(np.sum(left**2))
    block = max(1, BLOCK_ENTRIES // (clients * samples * d))
    parts = []
    for index, first in enumerate(range(0, trials, block)):
        rng = generator(seed, *axes, index)
        X = rng.standard_normal((min(block, trials - first), clients, samples, d))
        Z, Y = X @ A_start, X @ target
        ZtZ, ZtY = Z.swapaxes(-1, -2) @ Z, Z.swapaxes(-1, -2) @ Y
        averaged = np.linalg.solve(ZtZ, ZtY).mean(axis=1, keepdims=True)
        joint = np.linalg.solve(ZtZ.sum(axis=1), ZtY.sum(axis=1))[:, None]
        size = clients * samples * scale
        parts.append(
            [
                np.sum((Z @ averaged - Y) ** 2, axis=(1, 2, 3)) / size,
                np.sum((Z @ joint - Y) ** 2, axis=(1, 2, 3)) / size,
                np.sum((X @ left) ** 2, axis=(1, 2, 3)) / size,
            ]
        )
    return TrainingLosses(*np.concatenate(parts, axis=1))

"""Algorithm 2 as it is written, client by client on samples drawn as they are: no shortcut in law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from linear_model.methods.algorithm2 import orthonormalised
from verification.evidence import Evidence

BLOCK = 4_000
"""Trials that are run at once. Part of what a seed means."""


@dataclass(frozen=True, eq=False)
class Literal:
    """A round of all trials at once, with new samples in each half-step.

    Attributes:
        targets: the W_i, each (d, p), or (T, d, p) where it differs from trial to trial.
        samples: m.
        label: σ of label noise.
        local_steps: gradient steps on A a client takes on its samples of the round.
        blur_b, blur_a: standard deviation of what each client adds to its B, and to the A it has moved.
    """

    targets: Sequence[np.ndarray]
    samples: int
    label: float = 0.0
    local_steps: int = 1
    blur_b: float = 0.0
    blur_a: float = 0.0

    def round(
        self, A: np.ndarray, eta: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """A of the next round, orthonormal, and this round's B, from an orthonormal A (T, d, r)."""
        B = np.mean([self._fit(A, W, rng) for W in self.targets], axis=0)
        moved = np.mean([self._moved(A, B, W, eta, rng) for W in self.targets], axis=0)
        return orthonormalised(moved), B

    def _drawn(
        self, A: np.ndarray, W: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        X = rng.standard_normal((len(A), self.samples, A.shape[1]))
        Y = X @ W
        return X, Y + self.label * rng.standard_normal(Y.shape) if self.label else Y

    def _fit(self, A: np.ndarray, W: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        X, Y = self._drawn(A, W, rng)
        Z = X @ A
        turned = np.swapaxes(Z, -1, -2)
        return _blurred(np.linalg.solve(turned @ Z, turned @ Y), self.blur_b, rng)

    def _moved(
        self, A: np.ndarray, B: np.ndarray, W: np.ndarray, eta: float, rng: np.random.Generator
    ) -> np.ndarray:
        X, Y = self._drawn(A, W, rng)
        turned, back = np.swapaxes(X, -1, -2), np.swapaxes(B, -1, -2)
        for _ in range(self.local_steps):
            A = A - 2.0 * eta / self.samples * (turned @ ((X @ A @ B - Y) @ back))
        return _blurred(A, self.blur_a, rng)


def _blurred(sent: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    return sent + size * rng.standard_normal(sent.shape) if size else sent


def tangents(A: np.ndarray, rank: int = 1) -> np.ndarray:
    """`PA(A*ᵀA)⁻¹` for the A* of the first unit vectors: (T, d − r, r)."""
    return np.asarray(A[:, rank:] @ np.linalg.inv(A[:, :rank]))


def near(T: np.ndarray) -> np.ndarray:
    """Orthonormal A with the tangents T (T, d − r, r), about the A* of the first unit vectors."""
    top = np.broadcast_to(np.eye(T.shape[-1]), (len(T), *T.shape[-1:] * 2))
    return orthonormalised(np.concatenate([top, T], axis=1))


def in_blocks(
    evidence: Evidence,
    trials: int,
    run: Callable[[int, np.random.Generator], np.ndarray],
    *axes: str | int,
) -> np.ndarray:
    """`run(count, rng)` for as many trials, a block at a time, each block with its own random stream."""
    counts = [min(BLOCK, trials - low) for low in range(0, trials, BLOCK)]
    return np.concatenate(
        [run(count, evidence.rng("literal", *axes, place)) for place, count in enumerate(counts)]
    )

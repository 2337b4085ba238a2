"""Algorithm 2 as it is written, client by client on samples drawn as they are: no shortcut in law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from linear_model.methods.algorithm2 import orthonormalised
from verification.evidence import Evidence

BLOCK = 4_000
"""Trials that are run at once. Part of what a seed means."""
WAYS = 15
"""Starts, at most, that a trial's samples serve."""


@dataclass(frozen=True, eq=False)
class Literal:
    """A round of all trials at once, with new samples in each half-step.

    A is (T, d, r), or (T, S, d, r) for S starts that a trial's samples serve one by one.

    Attributes:
        targets: the W_i, each (d, p), or (T, d, p) where it differs from trial to trial and S is not.
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
        """A of the next round, orthonormal, and this round's B, from an orthonormal A."""
        moved, B = self.moved(A, eta, rng)
        return orthonormalised(moved), B

    def moved(
        self, A: np.ndarray, eta: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same before A is made orthonormal, which leaves its tangents as they are."""
        B = np.mean([self._fit(A, W, rng) for W in self.targets], axis=0)
        moved = np.mean([self._moved(A, B, W, eta, rng) for W in self.targets], axis=0)
        return np.asarray(moved), B

    def _drawn(
        self, A: np.ndarray, W: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        X = rng.standard_normal((len(A), *(1,) * (A.ndim - 3), self.samples, A.shape[-2]))
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
    """`PA(A*ᵀA)⁻¹` for the A* of the first unit vectors: (…, d − r, r)."""
    return np.asarray(A[..., rank:, :] @ np.linalg.inv(A[..., :rank, :]))


def near(T: np.ndarray) -> np.ndarray:
    """Orthonormal A with the tangents T (…, d − r, r), about the A* of the first unit vectors."""
    top = np.broadcast_to(np.eye(T.shape[-1]), (*T.shape[:-2], *T.shape[-1:] * 2))
    return orthonormalised(np.concatenate([top, T], axis=-2))


def ways(d: int, sizes: np.ndarray) -> np.ndarray:
    """Orthonormal A (S, d, r) with tangents of these columns' sizes along one axis after another.

    Samples prefer no direction: the mean over the S has the expectation of one, and scatters less.
    """
    axes, columns = d - len(sizes), np.arange(len(sizes))
    T = np.zeros((min(axes, WAYS), axes, len(sizes)))
    for way, tangent in enumerate(T):
        tangent[(way + columns) % axes, columns] = sizes
    return near(T)


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

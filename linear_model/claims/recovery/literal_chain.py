"""Rank 1, client after client, and the angle chain on the very same samples."""

from __future__ import annotations

import numpy as np

from linear_model.claims.literal import in_blocks, near
from theory.samples import finite_sample
from verification.evidence import Evidence

SAME = "rounding, which a factor of at most 1/sin θ = 1e3 multiplies"


def literal_angles(
    evidence: Evidence,
    shape: tuple[int, int, int],
    kappa: float,
    start: float,
    rounds: int,
    trials: int,
    *axes: str | int,
) -> tuple[np.ndarray, float]:
    """Sines before and after each round, (T, rounds + 1), and the largest relative gap to the chain's.

    Every client draws its samples, solves for its b and sends its gradient of A; the server takes the means.
    From the same samples the chain is given ρ̄ and the pull along its frame, round by round. The gap counts
    while the sine is above 1e-3.

    Args:
        shape: d, N and m.
        start: sin θ of the start, in a random direction.
    """

    def run(count: int, rng: np.random.Generator) -> np.ndarray:
        T = rng.standard_normal((count, shape[0] - 1, 1))
        T *= start / np.sqrt(1.0 - start**2) / np.linalg.norm(T, axis=1, keepdims=True)
        a, seen = near(T)[..., 0], np.zeros((count, rounds + 1, 2))
        seen[:, 0, 0] = np.linalg.norm(a[:, 1:], axis=1)
        for number in range(1, rounds + 1):
            a, chain = _round(a, shape, kappa, rng)
            sine = np.linalg.norm(a[:, 1:], axis=1)
            counts = np.minimum(seen[:, number - 1, 0], sine) > 1e-3
            seen[:, number] = np.stack([sine, counts * np.abs(chain / sine - 1.0)], axis=1)
        return seen

    seen = in_blocks(evidence, trials, run, *axes)
    return seen[..., 0], float(seen[..., 1].max())


def beside_chain(evidence: Evidence, shape: tuple[int, int, int], kappa: float) -> None:
    """Runs from a large angle: the loop over clients is the chain, on the same samples."""
    _, gap = literal_angles(evidence, shape, kappa, 0.8, 8, 200, "beside")
    words = "d = {}, N = {}, m = {}".format(*shape) + f", κ = {kappa:g}"
    said = (
        f"largest relative gap of sin θ after a round to the chain's on the same samples, {words}"
    )
    evidence.equal(said, 0.0, gap, rounding=1e-10, why=SAME)


def _round(
    a: np.ndarray, shape: tuple[int, int, int], kappa: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The next a (T, d), for a* the first unit vector and b* = 1, and the chain's next sine."""
    (_, clients, samples), trials = shape, len(a)
    c, s = a[:, 0], np.linalg.norm(a[:, 1:], axis=1)
    u = np.concatenate([s[:, None], -(c / s)[:, None] * a[:, 1:]], axis=1)  # a* = c a + s u
    fits, slopes, gradients, pulls = [], [], [], []
    for _ in range(clients):
        X = rng.standard_normal((trials, samples, shape[0]))
        along, square = _times(X, a), np.square(_times(X, a)).sum(axis=1)
        fits.append((along * X[..., 0]).sum(axis=1) / square)
        slopes.append((along * _times(X, u)).sum(axis=1) / square)
    b, rho = np.mean(fits, axis=0)[:, None], np.mean(slopes, axis=0)[:, None]
    for _ in range(clients):
        X = rng.standard_normal((trials, samples, shape[0]))
        gap = _times(X, a) * b - X[..., 0]
        gradients.append(2.0 / samples * _times(np.swapaxes(X, 1, 2), gap) * b)
        off = _times(X, rho * a - u)
        pulls.append(_times(np.swapaxes(X, 1, 2), off) / samples)
    moved = a - kappa / 2.0 * np.mean(gradients, axis=0)
    pull = np.mean(pulls, axis=0)
    p, q = (pull * a).sum(axis=1), (pull * u).sum(axis=1)
    out = np.linalg.norm(pull - p[:, None] * a - q[:, None] * u, axis=1)
    _, sine = finite_sample.next_angle(c, s, kappa, rho[:, 0], (p, q, out))
    return moved / np.linalg.norm(moved, axis=1, keepdims=True), sine


def _times(X: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return np.asarray((X @ vector[..., None])[..., 0])

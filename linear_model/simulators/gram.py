"""`gram`: sufficient statistics, drawn by Bartlett's decomposition; the cost does not depend on m.

`X = Q R` with R upper trapezoidal (k × d, k = min(m, d)): independent N(0, 1) above the diagonal, the
j-th diagonal entry the root of a χ² with m − j degrees of freedom (j from 0), and
`XᵀE = Rᵀ(QᵀE)` with QᵀE again i.i.d. N(0, 1), of shape (k, p).
Source: Bartlett 1933; Muirhead, Aspects of Multivariate Statistical Theory, theorem 3.2.14.
"""

from math import sqrt

import numpy as np

from linear_model.clients import transpose
from linear_model.problem import Data, Problem
from linear_model.simulators import data
from linear_model.simulators.base import Abilities, Job, Tick, Traces, run_vectors
from linear_model.simulators.moments import GramClients, MomentClients, RootClients

TAG = "gram"


class GramSimulator:
    """Same law as `data` at a cost independent of m. The default.

    To compare the two on the same samples, `from_samples` draws X and E exactly as `data` does with the same
    seed, and only then reduces them to X'X/m and X'E/m.
    """

    name = TAG
    can = Abilities()

    def __init__(self, *, from_samples: bool = False) -> None:
        self._from_samples = from_samples

    def trial_doubles(self, problem: Problem) -> int:
        """Roots of the clients' Gram matrices."""
        if self._from_samples:
            return data.DataSimulator().trial_doubles(problem)
        rows = min(problem.samples, problem.d)
        # Fixed data also hold G_i, and a copy of the clients that take part.
        copies = 2 if problem.data is Data.FIXED else 1
        return copies * problem.clients * problem.d * (rows + problem.outputs)

    def run(self, job: Job, traces: Traces, tick: Tick) -> None:
        source = _reduced if self._from_samples else _bartlett
        tag = data.TAG if self._from_samples else TAG
        run_vectors(job, source, traces, tick, tag=tag)


def gram_of_samples(
    X: np.ndarray, A_star: np.ndarray, B_star: np.ndarray, noise: np.ndarray | None = None
) -> GramClients:
    """Sufficient statistics of given samples.

    X is (T, n, m, d), A_star (d, q), B_star (T or 1, n or 1, q, p), and the noise σE (T, n, m, p).
    """
    samples = X.shape[-2]
    cross = None if noise is None else transpose(X) @ noise / samples
    return GramClients(A_star, B_star, cross, transpose(X) @ X / samples)


def bartlett_root(
    rng: np.random.Generator, samples: int, d: int, shape: tuple[int, ...]
) -> np.ndarray:
    """Triangular factors R with RᵀR distributed as XᵀX for X (samples × d) of i.i.d. N(0, 1).

    One for each place of `shape`: float64, (*shape, min(samples, d), d), zero below the diagonal.
    """
    rows = min(samples, d)
    root = np.zeros((*shape, rows, d))
    flat = root.reshape(*shape, rows * d)
    diagonal = np.arange(rows)
    freedom = 0.5 * (samples - diagonal)
    flat[..., diagonal * (d + 1)] = np.sqrt(2.0 * rng.standard_gamma(freedom, (*shape, rows)))
    above = np.flatnonzero(np.arange(d) > diagonal[:, None])
    flat[..., above] = rng.standard_normal((*shape, above.size))
    return root


def _bartlett(
    problem: Problem, rng: np.random.Generator, who: np.ndarray, B_star: np.ndarray
) -> MomentClients:
    root = bartlett_root(rng, problem.samples, problem.d, who.shape)
    root /= sqrt(problem.samples)
    root = data.coloured(problem, root, who)
    cross = None
    if problem.noise > 0.0:
        seen = rng.standard_normal((*who.shape, root.shape[-2], problem.outputs))
        cross = transpose(root) @ (seen * (problem.noise / sqrt(problem.samples)))
    drawn = RootClients(problem.A_star, B_star, cross, root)
    # Over many rounds one product with G_i (d²) beats two with its root (2 k d), if the root is tall.
    many = problem.data is Data.FIXED and 2 * root.shape[-2] > problem.d
    return drawn.formed() if many else drawn


def _reduced(
    problem: Problem, rng: np.random.Generator, who: np.ndarray, B_star: np.ndarray
) -> MomentClients:
    X, noise = data.draw_samples(problem, rng, *who.shape)
    X = data.coloured(problem, X, who)
    return gram_of_samples(X, problem.A_star, B_star, noise)

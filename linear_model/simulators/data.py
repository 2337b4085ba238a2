"""`data`: literal X and Y. The reference: slow, memory for every sample, no mathematics assumed."""

import numpy as np

from linear_model.problem import Problem
from linear_model.simulators.base import Abilities, Job, Tick, Traces, run_vectors
from linear_model.simulators.samples import SampleClients

TAG = "data"


class DataSimulator:
    """Draws every sample. Prefer `gram`, which has the same law and does not feel m."""

    name = TAG
    can = Abilities()

    def trial_doubles(self, problem: Problem) -> int:
        """X and Y of the clients a half-step needs."""
        return problem.clients * problem.samples * (problem.d + problem.outputs)

    def run(self, job: Job, traces: Traces, tick: Tick) -> None:
        run_vectors(job, _samples, traces, tick, tag=TAG)


def draw_samples(
    problem: Problem, rng: np.random.Generator, trials: int, clients: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """X (T, n, m, d), and σE (T, n, m, p) or None without label noise."""
    X = rng.standard_normal((trials, clients, problem.samples, problem.d))
    if problem.noise == 0.0:
        return X, None
    noise = rng.standard_normal((trials, clients, problem.samples, problem.outputs))
    return X, problem.noise * noise


def coloured(problem: Problem, rows: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Standard normal rows (T, n, k, d), or roots of their Gram matrices, given the covariances S_i."""
    return rows if problem.covariances is None else rows @ problem.roots[who]


def _samples(
    problem: Problem, rng: np.random.Generator, who: np.ndarray, B_star: np.ndarray
) -> SampleClients:
    X, noise = draw_samples(problem, rng, *who.shape)
    X = coloured(problem, X, who)
    Y = (X @ problem.A_star) @ B_star
    return SampleClients(X, Y if noise is None else Y + noise)

"""A simulator on samples chosen by the caller: for claims that need to know the data."""

from __future__ import annotations

import numpy as np

from linear_model.clients import ClientBatch
from linear_model.problem import Data, Problem
from linear_model.simulators.base import Abilities, Job, Source, Tick, Traces, run_vectors
from linear_model.simulators.gram import gram_of_samples


class GivenData:
    """Runs every trial on its own given samples, the same in every round.

    Args:
        X: samples, shape (trials, N, m, d), float64.
    """

    name = "given-data"
    can = Abilities(noise=False)

    def __init__(self, X: np.ndarray) -> None:
        self._X = X

    def trial_doubles(self, problem: Problem) -> int:
        """Numbers held per trial."""
        return problem.clients * problem.d * (problem.samples + problem.d)

    def run(self, job: Job, traces: Traces, tick: Tick) -> None:
        """See Simulator.

        Raises:
            ValueError: unless data are fixed and X has the problem's shape.
        """
        problem = job.problem
        if problem.data is not Data.FIXED:
            raise ValueError("given samples need fixed data; use simulator 'gram'")
        shape = (problem.clients, problem.samples, problem.d)
        if self._X.shape[1:] != shape:
            raise ValueError(
                f"X must have shape (trials, N, m, d) = {('trials', *shape)}, got {self._X.shape}"
            )
        X = self._X[job.first : job.first + job.count]
        run_vectors(job, _Given(X), traces, tick, tag=self.name)


class SameEveryRound:
    """The given samples as the rounds of a method, for taking single rounds by hand."""

    def __init__(self, problem: Problem, X: np.ndarray) -> None:
        assert problem.A_star is not None
        assert problem.B_star is not None
        self._batch = gram_of_samples(X, problem.A_star, problem.B_star[None])
        self.clients = problem.clients
        self.who = np.tile(np.arange(problem.clients), (X.shape[0], 1))

    def batch(self) -> ClientBatch:
        """The same samples in every half-step."""
        return self._batch


class _Given(Source):
    def __init__(self, X: np.ndarray) -> None:
        self._X = X

    def draw(
        self,
        problem: Problem,
        rng: np.random.Generator,
        trials: int,
        B_star: np.ndarray,
        *,
        fixed: bool,
    ) -> ClientBatch:
        assert problem.A_star is not None
        return gram_of_samples(self._X, problem.A_star, B_star)

    def choose(self, batch: ClientBatch, who: np.ndarray, B_star: np.ndarray) -> ClientBatch:
        raise ValueError("given samples need all clients in every round; use simulator 'gram'")

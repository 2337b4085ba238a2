"""A simulator on samples chosen by the caller: for claims that need to know the data."""

import numpy as np

from linear_model.clients import ClientBatch
from linear_model.methods.base import shape_of
from linear_model.problem import Data, Problem
from linear_model.simulators.base import Abilities, Job, Tick, Traces, run_vectors
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
        if problem.active < problem.clients:
            raise ValueError("given samples need all clients in every round; use simulator 'gram'")
        shape = (problem.clients, problem.samples, problem.d)
        if self._X.shape[1:] != shape:
            raise ValueError(
                f"X must have shape (trials, N, m, d) = {('trials', *shape)}, got {self._X.shape}"
            )
        X = self._X[job.first : job.first + job.count]

        def given(
            problem: Problem, _rng: np.random.Generator, _who: np.ndarray, B_star: np.ndarray
        ) -> ClientBatch:
            return gram_of_samples(X, problem.A_star, B_star)

        run_vectors(job, given, traces, tick, tag=self.name)


class SameEveryRound:
    """The given samples as the rounds of a method, for taking single rounds by hand."""

    def __init__(self, problem: Problem, X: np.ndarray) -> None:
        self._batch = gram_of_samples(X, problem.A_star, problem.B_star[None])
        self.clients = problem.clients
        self.shape = shape_of(problem)
        self.who = np.tile(np.arange(problem.clients), (X.shape[0], 1))

    def batch(self) -> ClientBatch:
        """The same samples in every half-step."""
        return self._batch

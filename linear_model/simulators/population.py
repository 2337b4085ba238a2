"""`population`: infinitely many samples. G_i is the features' covariance, label noise averages out.

With the identity for all clients every round stays in the span of A* and the start, so the factors are kept
in q + r coordinates and the cost does not depend on d. Deterministic apart from a random start and the choice
of participants.
"""

from dataclasses import replace

import numpy as np

from linear_model.problem import Problem
from linear_model.simulators.base import Abilities, Job, Tick, Traces, run_vectors
from linear_model.simulators.moments import GramClients, MomentClients, PopulationClients

TAG = "population"


class PopulationSimulator:
    """The limit m → ∞ for any d, heterogeneity and local steps included.

    Samples, batches and noise have no influence on A and B.
    """

    name = TAG
    can = Abilities(blurred=False)  # noise on A leaves the few coordinates it works in

    def trial_doubles(self, problem: Problem) -> int:
        """Each client's factors in the reduced coordinates, or its covariance."""
        rank, targets = problem.rank, problem.target_rank
        wide = 0 if problem.covariances is None else problem.d**2
        return problem.clients * (wide + 4 * rank * (rank + targets + problem.outputs))

    def run(self, job: Job, traces: Traces, tick: Tick) -> None:
        given = job.problem
        if given.covariances is not None:
            run_vectors(job, _limit, traces, tick, tag=TAG)
            return
        d = max(given.target_rank + min(given.rank, given.d - given.target_rank), 2)
        reduced = replace(given, d=d, A_star=np.eye(d, given.target_rank))
        run_vectors(job, _limit, traces, tick, tag=TAG, problem=reduced)


def _limit(
    problem: Problem, _rng: np.random.Generator, who: np.ndarray, B_star: np.ndarray
) -> MomentClients:
    if problem.covariances is None:
        return PopulationClients(problem.A_star, B_star, None)
    return GramClients(problem.A_star, B_star, None, problem.covariances[who])

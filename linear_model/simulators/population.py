"""`population`: infinitely many samples. G_i is the identity, label noise averages out.

Every round stays in the span of A* and the start, so the factors are kept in 2r coordinates and the
cost does not depend on d. Deterministic apart from a random start and the choice of participants.
"""

from dataclasses import replace

import numpy as np

from linear_model.problem import Problem
from linear_model.simulators.base import Abilities, Job, Tick, Traces, run_vectors
from linear_model.simulators.moments import PopulationClients

TAG = "population"


class PopulationSimulator:
    """The limit m → ∞ for any d, heterogeneity and local steps included.

    Samples, batches and noise have no influence on A and B.
    """

    name = TAG
    can = Abilities(blurred=False)  # noise on A leaves the few coordinates it works in

    def trial_doubles(self, problem: Problem) -> int:
        """Each client's factors in the reduced coordinates."""
        return 4 * problem.clients * problem.rank * (2 * problem.rank + problem.outputs)

    def run(self, job: Job, traces: Traces, tick: Tick) -> None:
        rank = job.problem.rank
        d = max(rank + min(rank, job.problem.d - rank), 2)
        reduced = replace(job.problem, d=d, A_star=np.eye(d, rank))
        run_vectors(job, _limit, traces, tick, tag=TAG, problem=reduced)


def _limit(
    problem: Problem, _rng: np.random.Generator, _who: np.ndarray, B_star: np.ndarray
) -> PopulationClients:
    return PopulationClients(problem.A_star, B_star, None)

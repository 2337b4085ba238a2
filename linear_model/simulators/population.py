"""`population`: infinitely many samples. G_i is the identity, label noise averages out.

Every round stays in the span of A* and the start, so the factors are kept in 2r coordinates and the
cost does not depend on d. Deterministic apart from a random start and the choice of participants.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from linear_model.clients import ClientBatch
from linear_model.problem import Problem
from linear_model.simulators.base import Abilities, Job, Source, Tick, Traces, run_vectors
from linear_model.simulators.moments import PopulationClients

TAG = "population"


class PopulationSimulator:
    """The limit m → ∞ for any d, heterogeneity and local steps included.

    Samples, batches and noise have no influence on A and B.
    """

    name = TAG
    can = Abilities()

    def trial_doubles(self, problem: Problem) -> int:
        """Each client's factors in the reduced coordinates."""
        return 4 * problem.clients * problem.rank * (2 * problem.rank + problem.outputs)

    def run(self, job: Job, traces: Traces, tick: Tick) -> None:
        """See Simulator."""
        rank = job.problem.rank
        width = rank + min(rank, job.problem.d - rank)
        reduced = replace(job.problem, d=max(width, 2), A_star=None)
        run_vectors(job, _Limit(), traces, tick, tag=TAG, problem=reduced)


class _Limit(Source):
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
        return PopulationClients(problem.A_star, B_star, None)

    def choose(self, batch: ClientBatch, who: np.ndarray, B_star: np.ndarray) -> ClientBatch:
        assert isinstance(batch, PopulationClients)
        return batch.chosen(who, B_star)

"""`chain`: the angle alone, O(N) numbers per round and trial for any d and m (theory.md §5)."""

from __future__ import annotations

import numpy as np

from linear_model.methods.algorithm2 import Algorithm2
from linear_model.methods.base import LinearMethod
from linear_model.methods.ffa_least_squares import FFALeastSquares
from linear_model.problem import Batches, Data, Problem
from linear_model.simulators.base import Job, Tick, Traces, loss_floor
from linear_model.start import angles
from theory import finite_sample

TAG = "chain"


class ChainSimulator:
    """Exact in law for fresh data, rank 1, homogeneous clients, no label noise."""

    name = TAG

    def refuse(self, problem: Problem, method: LinearMethod) -> None:
        """Raise ValueError for what the angle alone does not decide."""
        reasons = (
            (problem.rank != 1, f"rank 1 only, got rank {problem.rank}"),
            (problem.data is not Data.FRESH, "fresh data only, got fixed data"),
            (not problem.homogeneous, "one B* for all clients only, got one per client"),
            (problem.noise > 0.0, f"no label noise, got noise {problem.noise}"),
            (
                not isinstance(method, (Algorithm2, FFALeastSquares)),
                f"algorithm2, ffa-ls and ffa-pooled only, got {method.name}",
            ),
        )
        for fails, reason in reasons:
            if fails:
                raise ValueError(f"simulator chain can do {reason}; use simulator 'gram'")

    def trial_doubles(self, problem: Problem) -> int:
        """The random numbers of one round."""
        return 4 * problem.clients + 16

    def run(self, job: Job, traces: Traces, tick: Tick) -> None:
        """See Simulator."""
        problem, method = job.problem, job.method
        size = float(np.square(problem.mean_B).sum())
        kappa = 2.0 * job.eta * size
        floor = loss_floor(problem)
        rng = job.rng(f"{TAG} samples")
        c, s = angles(problem, job.start, job.rng("start"), job.first, job.count)
        excess = np.full(job.count, size)  # B = 0 before the first round
        error = np.full(job.count, np.nan)
        for number in range(job.rounds + 1):
            if number:
                if isinstance(method, FFALeastSquares):
                    rho = _slope_of_frozen(rng, problem, job.count, pooled=method.pooled)
                    excess = size * finite_sample.excess_of_frozen(s, rho)
                else:
                    rho, pull = _draws(rng, problem, job.count)
                    before = c, s
                    c, s = finite_sample.next_angle(c, s, kappa, rho, pull)
                    excess = size * finite_sample.excess_of_round(*before, c, s, rho)
                error = np.zeros(job.count)  # both averages share the other factor
                tick(job.count)
            traces.angle[:, number] = s
            traces.excess[:, number] = excess
            traces.loss[:, number] = excess + floor
            traces.aggregation_error[:, number] = error


def _chi2(rng: np.random.Generator, freedom: int, shape: int | tuple[int, ...]) -> np.ndarray:
    """χ² with any number of degrees of freedom, 0 included."""
    return 2.0 * rng.standard_gamma(0.5 * freedom, shape)


def _slope_of_frozen(
    rng: np.random.Generator, problem: Problem, trials: int, *, pooled: bool
) -> np.ndarray:
    """ρ̄ of per-client least squares, or ρ of one least-squares problem over all samples."""
    clients, samples = (
        (1, problem.active * problem.samples) if pooled else (problem.active, problem.samples)
    )
    shape = (trials, clients)
    return (rng.standard_normal(shape) / np.sqrt(_chi2(rng, samples, shape))).mean(axis=1)


def _draws(
    rng: np.random.Generator, problem: Problem, trials: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """ρ̄ and `Ḡ(ρ̄ a − u)` of one round, each (trials,)."""
    shape = (trials, problem.active)
    pooled = problem.active * problem.samples
    normal = rng.standard_normal(shape)
    gg = _chi2(rng, problem.samples, shape)
    length = np.sqrt(gg)
    rho = (normal / length).mean(axis=1)
    if problem.batches is Batches.SEPARATE:
        gamma = _chi2(rng, pooled, trials) / pooled
        leak = np.sqrt(gamma / pooled)
        along = leak * rng.standard_normal(trials)
        across = leak * np.sqrt(_chi2(rng, problem.d - 2, trials))
        return rho, finite_sample.pull_of_new_batch(rho, gamma, along, across)
    gh = normal * length
    hh = np.square(normal).sum(axis=1) + _chi2(rng, problem.active * (problem.samples - 1), trials)
    across = np.sqrt(_chi2(rng, problem.d - 2, trials) / pooled)
    sums = (gg.sum(axis=1) / pooled, gh.sum(axis=1) / pooled, hh / pooled)
    return rho, finite_sample.pull_of_same_batch(rho, *sums, across)

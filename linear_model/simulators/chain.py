"""`chain`: the angle alone, O(N) numbers per round and trial for any d and m (theory.md §5)."""

import numpy as np

from linear_model.methods.algorithm2 import Algorithm2
from linear_model.methods.base import shape_of
from linear_model.methods.ffa_least_squares import FFALeastSquares
from linear_model.problem import Batches, Problem
from linear_model.simulators.base import Abilities, Count, Job, Tick, Traces, drawn, loss_floor
from linear_model.start import angles
from theory.samples import finite_sample

TAG = "chain"


class ChainSimulator:
    """Exact in law for fresh data, rank 1, homogeneous clients, no label noise."""

    name = TAG
    can = Abilities(
        ranks=False, fixed_data=False, clients_differ=False, noise=False, local_steps=False,
        general=False,
    )  # fmt: skip

    def trial_doubles(self, problem: Problem) -> int:
        """The random numbers of one round."""
        return 4 * problem.clients + 16

    def run(self, job: Job, traces: Traces, tick: Tick) -> None:
        problem, method = job.problem, job.method
        assert isinstance(method, Algorithm2 | FFALeastSquares)  # as `can` says
        size = float(np.square(problem.mean_B).sum())
        kappa = 2.0 * job.eta * size
        rng = job.rng(f"{TAG} samples")
        c, s = angles(problem, job.start, job.rng("start"), job.first, job.count)
        traces.angle[:, 0] = s
        traces.excess[:, 0] = size  # B = 0 before the first round
        traces.recovery[:, 0] = traces.aggregation_error[:, 0] = np.nan
        # Both averages of these methods are of one factor while the other is shared: exact.
        traces.aggregation_error[:, 1:] = 0.0
        count, who_rng = Count(job, traces), job.rng("participants")
        everybody, sent = np.arange(problem.clients)[None], method.exchange(shape_of(problem))
        for number in range(1, job.rounds + 1):
            # Clients are alike: who takes part matters to what is sent alone.
            who = (
                everybody
                if problem.active == problem.clients
                else drawn(problem, who_rng, job.count)
            )
            count(number, who, sent)
            if isinstance(method, FFALeastSquares):
                rho = _slope_of_frozen(rng, problem, job.count, pooled=method.pooled)
                fitted = excess = finite_sample.excess_of_fit(s, rho)
            else:
                rho, pull = _draws(rng, problem, job.count, pooled=method.pooled)
                fitted = finite_sample.excess_of_fit(s, rho)
                c_next, s_next = finite_sample.next_angle(c, s, kappa, rho, pull)
                drop = _cosine_drop(c, s, c_next, s_next)
                excess = finite_sample.excess_of_round(drop, s, s_next, rho)
                c, s = c_next, s_next
            traces.angle[:, number] = s
            traces.excess[:, number] = size * excess
            traces.recovery[:, number] = np.sqrt(size * fitted)
            tick(job.count)
        traces.loss[:] = traces.excess + loss_floor(problem)


def _cosine_drop(
    c: np.ndarray, s: np.ndarray, c_next: np.ndarray, s_next: np.ndarray
) -> np.ndarray:
    """`c − c⁺` to full relative precision, whatever the signs."""
    with np.errstate(divide="ignore", invalid="ignore"):
        small = finite_sample.cosine_drop(c, s, c_next, s_next)
    return np.where(c * c_next > 0.0, small, c - c_next)


def _chi2(rng: np.random.Generator, freedom: int, shape: int | tuple[int, ...]) -> np.ndarray:
    """χ² with any number of degrees of freedom, 0 included."""
    return 2.0 * rng.standard_gamma(0.5 * freedom, shape)


def _slope_of_frozen(
    rng: np.random.Generator, problem: Problem, trials: int, *, pooled: bool
) -> np.ndarray:
    """ρ̄ of per-client least squares, or ρ of one least-squares problem over all samples."""
    if pooled:
        return rng.standard_normal(trials) / np.sqrt(
            _chi2(rng, problem.active * problem.samples, trials)
        )
    lengths = _chi2(rng, problem.samples, (trials, problem.active))
    return _mean_slope(rng, lengths)


def _mean_slope(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """ρ̄ = mean_i z_i/|g_i| given |g_i|²: a single normal, for a sum of normals is normal."""
    scale = np.sqrt(np.reciprocal(lengths).sum(axis=1)) / lengths.shape[1]
    return scale * rng.standard_normal(lengths.shape[0])


def _draws(
    rng: np.random.Generator, problem: Problem, trials: int, *, pooled: bool
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """ρ̄ and `Ḡ(ρ̄ a − u)` of one round, each (trials,)."""
    shape = (trials, problem.active)
    everything = problem.active * problem.samples
    gg = _chi2(rng, problem.samples, shape)
    across = np.sqrt(_chi2(rng, problem.d - 2, trials) / everything)
    if problem.batches is Batches.SEPARATE:
        # All samples of a round are to a pooled b-step what one client's are to its own.
        rho = _mean_slope(rng, gg.sum(axis=1, keepdims=True) if pooled else gg)
        gamma = _chi2(rng, everything, trials) / everything
        leak = np.sqrt(gamma)
        along = leak * rng.standard_normal(trials) / np.sqrt(everything)
        return rho, finite_sample.pull_of_new_batch(rho, gamma, along, leak * across)
    length, normal = np.sqrt(gg), rng.standard_normal(shape)
    gh = (normal * length).sum(axis=1)
    rho = gh / gg.sum(axis=1) if pooled else (normal / length).mean(axis=1)
    rest = _chi2(rng, problem.active * (problem.samples - 1), trials)
    hh = np.square(normal).sum(axis=1) + rest
    sums = (gg.sum(axis=1) / everything, gh / everything, hh / everything)
    return rho, finite_sample.pull_of_same_batch(rho, *sums, across)

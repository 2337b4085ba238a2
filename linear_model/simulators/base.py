"""What the simulators share: fixed blocks of trials, recording, the rounds' samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from federation.sent import Exchange
from linear_model.clients import ClientBatch, transpose
from linear_model.methods.base import LinearMethod, State, shape_of
from linear_model.methods.local_steps import LocalSteps
from linear_model.problem import Batches, Data, Problem
from linear_model.run import Traces as Traces
from linear_model.start import Start, frames, reduced_frames
from theory.population.angle import angle_distance
from verification.streams import generator

BLOCK_DOUBLES = 1 << 18
"""Numbers a block of trials may hold: 2 MiB, so that it stays in cache. Part of what a seed means."""

LARGEST_BLOCK = 1 << 12

Tick = Callable[[int], None]
"""Told how many trial-rounds have just been done."""

Source = Callable[[Problem, np.random.Generator, np.ndarray, np.ndarray], ClientBatch]
"""Draws the samples of a half-step for the clients `who` (T, n) with their B_i* (T or 1, n or 1, r, p)."""


@dataclass(frozen=True, eq=False)
class Job:
    """One block of `count` trials from the `first` on, with step size and start checked, and its streams."""

    problem: Problem
    method: LinearMethod
    eta: float
    rounds: int
    start: Start
    first: int
    count: int
    seed: int
    axes: tuple[str | int, ...]

    def rng(self, purpose: str, *more: int) -> np.random.Generator:
        """The block's stream for one purpose."""
        return generator(self.seed, *self.axes, purpose, self.first, *more)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a simulator can do beyond Algorithm 2 and FFA-LoRA's least squares on the paper's problem.

    Attributes:
        fixed_data: clients that keep their samples.
        clients_differ: a B* for each client.
        local_steps: federated_lora's methods, merged changes of W0 and personal factors included.
        blurred: noise that clients add to what they send.
        general: targets of a higher rank than LoRA's, and features of other covariances than I.
    """

    ranks: bool = True
    fixed_data: bool = True
    clients_differ: bool = True
    noise: bool = True
    local_steps: bool = True
    blurred: bool = True
    general: bool = True


def refuse(simulator: Simulator, problem: Problem, method: LinearMethod) -> None:
    """Refuse what a simulator cannot do."""
    can, fixed = simulator.can, problem.data is not Data.FRESH
    local = isinstance(method, LocalSteps)
    blurred = isinstance(method, LocalSteps) and bool(method.privacy and method.privacy.noise)
    one_B, other = (
        "one B* for all clients only",
        "algorithm2, algorithm2-pooled, ffa-ls and ffa-pooled only",
    )
    reasons = (
        (can.ranks or problem.rank == 1, f"rank 1 only, got rank {problem.rank}"),
        (can.fixed_data or not fixed, "fresh data only, got fixed data"),
        (can.clients_differ or problem.homogeneous, f"{one_B}, got one per client"),
        (can.noise or problem.noise == 0.0, f"no label noise, got noise {problem.noise}"),
        (can.local_steps or not local, f"{other}, got {method.name}"),
        (can.general or problem.target_rank == problem.rank,
            f"targets of the LoRA rank only, got rank {problem.target_rank}"),
        (can.general or problem.covariances is None, "features of covariance I only, got covariances"),
        (can.blurred or not blurred, "updates without noise only, got dp_noise"),
    )  # fmt: skip
    for able, reason in reasons:
        if not able:
            raise ValueError(f"simulator {simulator.name} can do {reason}; use simulator 'gram'")


@runtime_checkable
class Simulator(Protocol):
    """One way to run the experiment."""

    @property
    def name(self) -> str:
        """Key in results and on the command line."""

    @property
    def can(self) -> Abilities:
        """What it can do."""

    def trial_doubles(self, problem: Problem) -> int:
        """Numbers held per trial, by the problem alone; fixes the block size."""

    def run(self, job: Job, traces: Traces, tick: Tick) -> None:
        """Run one block of trials and fill its rows."""


def block_size(simulator: Simulator, problem: Problem) -> int:
    """Trials that share one random stream; a function of the problem and the simulator alone."""
    return min(max(BLOCK_DOUBLES // simulator.trial_doubles(problem), 1), LARGEST_BLOCK)


class RoundSamples:
    """The `Rounds` of a method: who takes part, and new or fixed data."""

    def __init__(self, problem: Problem, source: Source, job: Job, tag: str) -> None:
        self._problem, self._source, self._job = problem, source, job
        self._rng, self._who_rng = job.rng(f"{tag} samples"), job.rng("participants")
        self.clients = problem.clients
        self.shape = shape_of(job.problem)
        self.who = np.tile(np.arange(problem.clients), (job.count, 1))
        self._B: np.ndarray = problem.B_star[None, : 1 if problem.homogeneous else None]
        self._all = None
        if problem.data is Data.FIXED:
            self._all = source(problem, self._rng, self.who, self._B)
        self._now: ClientBatch | None = None

    def begin(self) -> None:
        """Start a round: choose who takes part and forget fresh samples."""
        problem = self._problem
        if problem.active == problem.clients:
            self._now = self._all
            return
        self.who = drawn(problem, self._who_rng, len(self.who))
        if not problem.homogeneous:
            self._B = problem.B_star[self.who]
        self._now = None if self._all is None else self._all.chosen(self.who, self._B)

    def batch(self) -> ClientBatch:
        """Samples of the next half-step."""
        if self._now is not None:
            return self._now
        drawn = self._source(self._problem, self._rng, self.who, self._B)
        if self._problem.batches is Batches.SHARED:
            self._now = drawn
        return drawn

    def noise(self, number: int, client: int) -> np.random.Generator:
        """The stream of a client's own noise in a round."""
        return self._job.rng("privacy", number, client)

    def end(self) -> None:
        """Forget the fresh samples of the round."""
        if self._all is None:
            self._now = None


def drawn(problem: Problem, rng: np.random.Generator, trials: int) -> np.ndarray:
    """The clients of one round in every trial, where some sit out, (T, n)."""
    keys = rng.random((trials, problem.clients))
    return np.sort(np.argsort(keys, axis=1)[:, : problem.active], axis=1)


class Count:
    """Writes the numbers sent so far into the rows of a run."""

    def __init__(self, job: Job, traces: Traces) -> None:
        self._traces = traces
        # With all clients in every round the trials send alike.
        everybody = job.problem.active == job.problem.clients
        self._trials = 1 if everybody else job.count
        self._sent = job.method.nothing_sent(job.problem, self._trials)

    def __call__(self, number: int, who: np.ndarray, exchange: Exchange | None) -> None:
        """Count round `number` with its participants, (T, n)."""
        if exchange is not None:
            if self._trials == 1 and np.ndim(exchange.merged):
                exchange = replace(exchange, merged=np.max(exchange.merged))
            self._sent = self._sent.after(number, who[: self._trials], exchange)
        self._traces.numbers_up[:, number] = self._sent.up
        self._traces.numbers_down[:, number] = self._sent.down


def run_vectors(
    job: Job,
    source: Source,
    traces: Traces,
    tick: Tick,
    *,
    tag: str,
    problem: Problem | None = None,
) -> None:
    """Run a block on factors as vectors and fill its rows; `tag` names the samples' random stream.

    The problem is given in the coordinates the source works in, if not in job.problem's.
    """
    if problem is None:
        problem = job.problem
        A = frames(problem, job.start, job.rng("start"), job.first, job.count)
    else:
        A = reduced_frames(job.problem, job.start, job.rng("start"), job.first, job.count)
    first_B = job.method.first_B(problem)
    B = np.broadcast_to(first_B, (job.count, *first_B.shape))
    state = State(A, B, np.full(job.count, np.nan))
    samples = RoundSamples(problem, source, job, tag)
    record = Recorder(problem, traces, orthonormal=job.method.orthonormal)
    record(0, state)
    count = Count(job, traces)
    # A run that diverges is reported once, by the rule that refuses the first non-finite factor.
    with np.errstate(over="ignore", invalid="ignore"):
        for number in range(1, job.rounds + 1):
            samples.begin()
            state = job.method.round(state, samples, number, job.eta)
            samples.end()
            record(number, state)
            count(number, samples.who, state.exchange)
            tick(job.count)


class Recorder:
    """Writes what is measured of a state into the rows of a run."""

    def __init__(self, problem: Problem, traces: Traces, *, orthonormal: bool) -> None:
        self._problem, self._traces, self._orthonormal = problem, traces, orthonormal
        self._floor = loss_floor(problem)
        self._before: tuple[State, tuple[np.ndarray, np.ndarray]] | None = None

    def __call__(self, number: int, state: State) -> None:
        """Record the state after round `number`."""
        frame, truth = self._problem.A_star, self._problem.optimum.A
        traces, before = self._traces, self._before
        inside = frame.T @ state.A
        outside = state.A - frame @ inside
        parts = inside, transpose(outside) @ outside
        plain = state.plain and self._problem.covariances is None
        excess = self._excess(parts, state.B) if plain else self._apart(state, state)
        traces.excess[:, number] = excess
        traces.loss[:, number] = excess + self._floor
        if state.own_A is None:
            angle = angle_distance(state.A, truth, orthonormal=self._orthonormal)
        else:
            angle = angle_distance(state.own_A, truth).mean(axis=1)
        traces.angle[:, number] = angle
        traces.aggregation_error[:, number] = state.aggregation_error
        if before is None:
            recovery = np.nan
        elif plain and before[0].plain:
            recovery = np.sqrt(np.maximum(self._excess(before[1], state.B), 0.0))
        else:
            recovery = np.sqrt(np.maximum(self._apart(before[0], state), 0.0))
        traces.recovery[:, number] = recovery
        self._before = state, parts

    def _apart(self, first: State, last: State) -> np.ndarray:
        """Excess risk of W and A from one state with B from another, clients' own included: (T,)."""
        truth, best = self._problem.A_star, self._problem.optimum
        model = first.every_A @ last.every_B
        if first.W is not None:
            model = model + first.W[:, None]
        if model.shape[1] == 1:
            if best.metric is None:
                gap = model[:, 0] - truth @ self._problem.mean_B
                return np.square(gap).sum(axis=(1, 2)) - best.tail
            gap = model[:, 0] - best.metric[1]
            return np.asarray((gap * (best.metric[0] @ gap)).sum(axis=(1, 2)) - best.tail)
        gap, S = model - truth @ self._problem.B_star, self._problem.covariances
        squares = np.square(gap) if S is None else gap * (S @ gap)
        return np.asarray(squares.sum(axis=(2, 3)).mean(axis=1) - best.spread - best.tail)

    def _excess(self, parts: tuple[np.ndarray, np.ndarray], B: np.ndarray) -> np.ndarray:
        """`||A B − A* B̄*||²`, less the best, from `A*ᵀA` and the Gram matrix of A's part outside A*."""
        inside, outside = parts
        within = np.square(inside @ B - self._problem.mean_B).sum(axis=(-2, -1))
        whole = within + np.maximum((B * (outside @ B)).sum(axis=(-2, -1)), 0.0)
        return np.asarray(whole - self._problem.optimum.tail)


def loss_floor(problem: Problem) -> float:
    """Expected global loss of the best shared model: the targets' spread, what its rank misses, and σ² p."""
    best = problem.optimum
    return best.spread + best.tail + problem.noise**2 * problem.outputs

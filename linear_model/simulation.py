"""`simulate`: one experiment, one of four simulators, one shape of result."""

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
import psutil

from linear_model.methods.base import LinearMethod
from linear_model.methods.registry import method_named
from linear_model.problem import Problem
from linear_model.run import Run, Traces
from linear_model.simulators.base import Job, Simulator, block_size, refuse
from linear_model.simulators.chain import ChainSimulator
from linear_model.simulators.data import DataSimulator
from linear_model.simulators.gram import GramSimulator
from linear_model.simulators.population import PopulationSimulator
from linear_model.start import Start, checked_start
from verification.names import one_of

MEMORY_SHARE = 0.5
"""Part of the memory available now that a run may take unless told otherwise."""

Progress = Callable[[int, int], None]
"""Told the trial-rounds done and the trial-rounds in all."""


def simulators() -> tuple[Simulator, ...]:
    """The four simulators, the reference first."""
    return (DataSimulator(), GramSimulator(), ChainSimulator(), PopulationSimulator())


def simulator_named(name: str) -> Simulator:
    """The simulator of that name."""
    known = {simulator.name: simulator for simulator in simulators()}
    return known[one_of("simulator", name, known)]


def simulate(
    problem: Problem,
    method: LinearMethod | str,
    *,
    simulator: str | Simulator = "gram",
    rounds: int,
    trials: int = 1,
    seed: int = 0,
    start: Start = "random",
    axes: Sequence[str | int] = (),
    memory_bytes: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run a method on the linear model, all trials batched.

    Trials go through in blocks whose size depends on the problem and the simulator alone; each block
    has its own random streams, so a result depends on nothing but the arguments that define it.

    Args:
        method: a method of this package, or the name of one that needs no options.
        simulator: "data", "gram", "chain" or "population", or a simulator object.
        start: "random" (Haar, drawn per trial); a float δ0 in (0, 1) for rank 1 (that angle distance in
            a random direction); or orthonormal columns, (d, r) or (trials, d, r).
        axes: further names of this cell's random streams, strings or non-negative integers.
        memory_bytes: most memory to use; None for half of what is available now.

    Raises:
        ValueError: on bad arguments, a combination the simulator cannot do, or too little memory, before
            any work; and if a client diverges in a local step (round and client are named).
    """
    way = simulator if isinstance(simulator, Simulator) else simulator_named(simulator)
    for name, value in (("rounds", rounds), ("trials", trials)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    chosen = method_named(method, rounds) if isinstance(method, str) else method
    eta = chosen.step(problem)
    chosen.first_B(problem)
    refuse(way, problem, chosen)
    first = checked_start(problem, start, trials)
    block = min(block_size(way, problem), trials)
    _require_memory(way, problem, block, trials, rounds, memory_bytes)

    traces = Traces.empty(trials, rounds)
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, trials * rounds)

    for low in range(0, trials, block):
        count = min(block, trials - low)
        job = Job(problem, chosen, eta, rounds, first, low, count, seed, tuple(axes))
        views = Traces(**{name: rows[low : low + count] for name, rows in vars(traces).items()})
        way.run(job, views, tick)
    return Run(**vars(traces), method=chosen.name, simulator=way.name)


def _require_memory(
    way: Simulator, problem: Problem, block: int, trials: int, rounds: int, cap: int | None
) -> None:
    """Refuse a request whose smallest chunk (one block of trials) and result do not fit."""
    whole = isinstance(cap, (int, np.integer)) and not isinstance(cap, bool)
    if cap is not None and (not whole or cap < 1):
        raise ValueError(f"memory_bytes must be a positive number of bytes, got {cap!r}")
    available = int(psutil.virtual_memory().available * MEMORY_SHARE) if cap is None else int(cap)
    result = len(fields(Traces)) * 8 * trials * (rounds + 1)
    working = 3 * 8 * block * way.trial_doubles(problem)
    if result + working <= available:
        return
    if result > working:
        advice = "lower trials or rounds"
    elif way.name == "data":
        advice = "lower samples, clients or d, or use simulator 'gram'"
    else:
        advice = "lower clients or d, or use simulator 'chain' where it applies"
    raise ValueError(
        f"memory needed is {result + working} bytes but {available} bytes are available: {advice}"
    )

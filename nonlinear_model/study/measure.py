"""One cell of the network study: a method at a rate on some seeds, scored at the design's rounds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from federated_lora import method_named
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.registry import load
from nonlinear_model.study.design import NetworkDesign
from nonlinear_model.training.sweep import one_thread
from verification.paired_study import Point, Run

if TYPE_CHECKING:
    from federated_lora import Method
    from nonlinear_model.data.dataset import Dataset

SIDE_BY_SIDE = 8
"""Seeds run in one stack: an interrupted study loses no more."""


def configuration(design: NetworkDesign, point: Point, method: str, rounds: int) -> Configuration:
    """A run of a point: the paper's network, images dealt by label, equal client sizes, plain SGD."""
    dataset, clients, local, _, last = point
    number, _, epochs = local.partition(" ")
    more = {"local_epochs" if epochs else "local_steps": int(number), design.axes[-1]: last}
    return Configuration(
        **design.fixed,
        **more,
        dataset=dataset,
        clients=clients,
        equal_sizes=True,
        method=method,
        rounds=rounds,
        probe=0,
        # Short runs are run again on other machines: there float32's rounding must not grow to an image.
        dtype="float64" if local == "5" or dataset == "digits" else "float32",
    )


def scored(method: Method, round: int) -> tuple[int, int]:
    """The two rounds whose accuracies a score at `round` averages: the last of A, the last of B.

    Where these are one round, or a factor never trains, the last two rounds.
    """
    last = {
        str(factor): t
        for t in range(max(1, round - 9), round + 1)
        for factor in method.trainable(t)
    }
    a, b = last.get("A", round), last.get("B", round)
    return (round - 1, round) if a == b else (a, b)


def runs(
    design: NetworkDesign,
    data_dir: Path | None,
    point: Point,
    method: str,
    rate: float,
    seeds: Sequence[int],
    rounds: int | None = None,
) -> Iterator[Run]:
    """One method at one rate: for a study's `measure`, its first two arguments given.

    Args:
        design: the study.
        data_dir: folder with MNIST.
        point: of the design.
        method: a name for `method_named`.
        rate: the learning rate.
        seeds: they fix split, start and batches, the same for all methods and rates.
        rounds: stop after these, a tracked round; None for the method's longest run.
    """
    data = _data(point[0], data_dir)
    ends = [t for t in design.tracked(point, method) if rounds is None or t <= rounds]
    # A schedule that depends on the run's length is that of the point's own.
    config = configuration(design, point, method, max(ends))
    for first in range(0, len(seeds), SIDE_BY_SIDE):
        some = seeds[first : first + SIDE_BY_SIDE]
        yield from _stack(config, data, rate, some, ends, design.facts)


_data = lru_cache(maxsize=2)(load)


def _stack(
    config: Configuration,
    data: Dataset,
    rate: float,
    seeds: Sequence[int],
    ends: Sequence[int],
    facts: Sequence[str],
) -> list[Run]:
    from nonlinear_model.training.federation import Federation
    from nonlinear_model.training.record import Replica

    start = time.process_time()
    config = replace(config, learning_rate=float(rate))
    replicas = [Replica(int(seed), float(rate)) for seed in seeds]
    method = method_named(config.method, config.rounds)
    pairs = [scored(method, t) for t in ends]
    tracked = {*ends, *(t for pair in pairs for t in pair)}
    with one_thread():
        federation = Federation(config, data, replicas, give_up=True, tracked=tracked)
        while federation.round < config.rounds and not federation.diverged.all():
            federation.step()
    seconds = (time.process_time() - start) / len(seeds)
    return [
        _run(
            {row["round"]: row for row in federation.rows if row["seed"] == seed},
            ends, pairs, bool(diverged), facts, seconds,
        )
        for seed, diverged in zip(seeds, federation.diverged, strict=True)
    ]  # fmt: skip


def _run(
    rows: dict[int, dict[str, Any]],
    ends: Sequence[int],
    pairs: Sequence[tuple[int, int]],
    diverged: bool,
    facts: Sequence[str],
    seconds: float,
) -> Run:
    stood = rows[max(rows)]  # where every seed diverged the run was not taken to its end

    def at(name: str, rounds: Sequence[int]) -> list[Any]:
        return [rows.get(t, stood)[name] for t in rounds]

    after_a, after_b = (at("test_accuracy", [pair[i] for pair in pairs]) for i in (0, 1))
    scores = [(a + b) / 2 for a, b in zip(after_a, after_b, strict=True)]
    return Run(
        tuple(ends),
        tuple(scores),
        diverged,
        facts={
            "after_a": after_a,
            "after_b": after_b,
            "best": np.maximum.accumulate(scores).tolist(),
            **{name: at(name, ends) for name in facts if name.startswith("numbers")},
            "seconds": round(seconds, 3),
        },
    )

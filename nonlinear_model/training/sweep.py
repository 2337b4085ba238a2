"""How the two-layer network's runs are made for a search of learning rates: all seeds side by side."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np

from federation import learning_rates
from federation.learning_rates import Sweep
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.dataset import Dataset
from verification.finding import Rule
from verification.paired_study import Design, Run


def runs(
    config: Configuration, data: Dataset, method: str, rate: float, seeds: Sequence[int]
) -> list[Run]:
    """One method at one learning rate, tracked by its test accuracy.

    The configuration is what all runs share: its method, learning rate, seed and repeats are not looked at.
    The seeds fix split, start and batches, the same for all methods and rates.
    """
    from nonlinear_model.training.federation import Federation
    from nonlinear_model.training.record import Replica

    own = replace(config, method=method, learning_rate=float(rate), probe=0)
    replicas = [Replica(int(seed), float(rate)) for seed in seeds]
    federation = Federation(own, data, replicas, give_up=True)
    while federation.round < own.rounds and not federation.diverged.all():
        federation.step()
    found = np.array([row["test_accuracy"] for row in federation.rows]).reshape(-1, len(seeds))
    rounds = tuple(sorted({*range(0, own.rounds + 1, own.evaluate_every), own.rounds}))
    # Where every seed diverged the runs did not go to the end: they stay where they stood.
    missing = len(rounds) - found.shape[0]
    found = np.concatenate([found, np.repeat(found[-1:], missing, axis=0)])
    return [
        Run(rounds, tuple(scores), bool(diverged))
        for scores, diverged in zip(found.T.tolist(), federation.diverged, strict=True)
    ]


def sweep(
    config: Configuration,
    data: Dataset,
    methods: Sequence[str],
    rates: Sequence[float],
    seeds: Sequence[int],
) -> dict[str, Sweep]:
    """Every method on the same grid, seeds, partitions and budget; arguments as in `runs`."""
    run = partial(runs, config, data)
    return {method: learning_rates.sweep(run, method, rates, seeds) for method in methods}


def judged(
    config: Configuration,
    data: Dataset,
    methods: Sequence[str],
    rates: Sequence[float],
    tuning_seeds: Sequence[int],
    seeds: Sequence[int],
) -> dict[str, Sweep]:
    """Every method at the rate of one grid that is best for it on other seeds, on one thread.

    Arguments as in `runs`: the tuning seeds choose the rates, finite and positive, the others judge.
    """
    design = Design(
        axes=(),
        points=((),),
        methods=tuple(methods),
        rates=tuple(rates),
        tuning_seeds=tuple(tuning_seeds),
        seeds=tuple(seeds),
        score="test accuracy after the last round",
        rule=Rule(0.05),
    )
    run = partial(runs, config, data)
    with one_thread():
        return {method: learning_rates.tuned_sweep(run, method, design) for method in methods}


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: claims run side by side, and sums must not depend on the thread count."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

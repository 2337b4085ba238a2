"""Choosing the learning rate from a grid, on held-out training data: never on the evaluation split."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from federated_lora import method_named
from federation.learning_rates import choose
from llm_validation.config import Config
from llm_validation.tasks import registry
from llm_validation.tasks.examples import TaskData
from llm_validation.training.loop import DivergedError, Result, run
from llm_validation.training.side_by_side import run_side_by_side
from verification.streams import generator

HELD_OUT = 0.1
"""Share of the training data that the choice is made on."""
MOST_HELD_OUT = 1000


def held_out(data: TaskData, seed: int) -> TaskData:
    """The training split cut in two: what remains to train on, and what the choice is made on."""
    n = len(data.train)
    count = min(MOST_HELD_OUT, max(1, int(HELD_OUT * n)))
    order = generator(seed, "llm", "held out").permutation(n)
    return TaskData(
        data.train.take(np.sort(order[count:])), data.train.take(np.sort(order[:count]))
    )


def best_rate(
    config: Config,
    folder: Path,
    *,
    resume: bool = False,
    on_trial: Callable[[float, float | None], None] | None = None,
) -> tuple[Config, list[dict[str, Any]]]:
    """Run every learning rate of the grid and keep the one of highest held-out accuracy.

    They run side by side where they can: on the engine all-at-once, with a method that leaves the base alone.
    A rate that diverges is out. Ties go to the smaller loss. The only rate of a grid is taken untried.

    Args:
        folder: where the trials' checkpoints go.
        on_trial: called with each rate and its accuracy (None if it diverged).

    Returns:
        The configuration with the chosen rate, and one record per trial.
    """
    if len(config.learning_rate_grid) == 1:
        return config.changed(learning_rate=config.learning_rate_grid[0]), []
    data = held_out(registry.load(config), config.seed)
    trials: list[dict[str, Any]] = []
    for rate, found in zip(
        config.learning_rate_grid, _tried(config, folder, resume, data), strict=True
    ):
        last = {} if isinstance(found, DivergedError) else found.rows[-1]
        trials.append({"learning_rate": rate} | {k: last.get(k) for k in ("accuracy", "loss")})
        if on_trial:
            on_trial(rate, trials[-1]["accuracy"])
    scores, losses = (
        np.array([[trial[name]] for trial in trials], dtype=np.float64)
        for name in ("accuracy", "loss")
    )
    rates = config.learning_rate_grid
    return config.changed(learning_rate=rates[choose(rates, scores, losses)]), trials


def _tried(
    config: Config, folder: Path, resume: bool, data: TaskData
) -> Iterator[Result | DivergedError]:
    """What each rate of the grid makes of the configuration."""
    rates = config.learning_rate_grid
    trials = [config.changed(learning_rate=rate, evaluate_every=config.rounds) for rate in rates]
    places = [folder / f"{rate:g}" for rate in rates]
    method = method_named(config.method, config.rounds)
    if config.engine == "all-at-once" and not method.merges:
        yield from run_side_by_side(
            trials, folders=places, resume=resume, data=data, evaluate_start=False
        )
        return
    for trial, place in zip(trials, places, strict=True):
        try:
            yield run(trial, folder=place, resume=resume, data=data, evaluate_start=False)
        except DivergedError as error:
            yield error

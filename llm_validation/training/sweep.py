"""Choosing the learning rate from a grid, on held-out training data: never on the evaluation split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from federation.learning_rates import choose
from llm_validation.config import Config
from llm_validation.tasks import registry
from llm_validation.tasks.examples import TaskData
from llm_validation.training.loop import DivergedError, run
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
    for rate in config.learning_rate_grid:
        place = folder / f"{rate:g}"
        trial = config.changed(learning_rate=rate, evaluate_every=config.rounds)
        try:
            last = run(trial, folder=place, resume=resume, data=data, evaluate_start=False).rows[-1]
            trials.append(
                {"learning_rate": rate, "accuracy": last["accuracy"], "loss": last["loss"]}
            )
        except DivergedError:
            trials.append({"learning_rate": rate, "accuracy": None, "loss": None})
        if on_trial:
            on_trial(rate, trials[-1]["accuracy"])
    scores, losses = (
        np.array([[trial[name]] for trial in trials], dtype=np.float64)
        for name in ("accuracy", "loss")
    )
    rates = config.learning_rate_grid
    return config.changed(learning_rate=rates[choose(rates, scores, losses)]), trials

"""Runs of the two-layer network that several figures show: one setting, one grid for all methods."""

from collections.abc import Sequence

from federation.learning_rates import Sweep
from nonlinear_model.configuration import Configuration
from verification.budget import Budget

LOCAL_STEPS = 10
RATES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""The learning rates of every method. Below them all methods are slower; from 3.0 on the methods that train A
diverge. FFA-LoRA does not: only B trains, and with few local steps 10 to 100 is best."""


def configuration(
    budget: Budget, clients: int, *, rounds: int = 60, every: int = 2
) -> Configuration:
    """The setting: label-split clients, plain SGD."""
    from nonlinear_model.data import mnist

    # The digits ship with scikit-learn; the other images may not be there.
    name = "digits" if mnist.find_folder(budget.data_dir) is None else "mnist"
    return Configuration(
        dataset=name,
        clients=clients,
        split="shards",
        equal_sizes=True,
        rounds=rounds,
        local_steps=LOCAL_STEPS,
        batch_size=8 if name == "digits" else 16,
        optimiser="sgd",
        evaluate_every=every,
        probe=0,
    )


def sweeps(budget: Budget, config: Configuration, methods: Sequence[str]) -> dict[str, Sweep]:
    """Each method at the rate other seeds chose from the grid, on 5 seeds (quick) or 10."""
    from nonlinear_model.data.registry import load
    from nonlinear_model.training.sweep import judged

    first = 1000 * budget.seed  # neighbouring user seeds share none
    tuning = range(first + 900, first + 900 + budget.pick(3, 4))
    seeds = range(first, first + budget.pick(5, 10))
    return judged(config, load(config.dataset, budget.data_dir), methods, RATES, tuning, seeds)

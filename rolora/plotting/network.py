"""Runs of the two-layer network that several figures show: one setting, the claims' grid for all methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federation.learning_rates import Sweep
    from nonlinear_model.configuration import Configuration
    from verification.budget import Budget

LOCAL_STEPS = 10


def configuration(
    budget: Budget, clients: int, *, rounds: int = 60, every: int = 2
) -> Configuration:
    """The setting: label-split clients, plain SGD."""
    from nonlinear_model.configuration import Configuration
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
    from nonlinear_model.claims import study

    return study.judged(budget, config, methods, budget.pick(5, 10))

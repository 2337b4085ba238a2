"""Runs of the two-layer network that several figures show: one setting, the claims' grid for all methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nonlinear_model.learning_rates import Sweep
    from verification.budget import Budget

LOCAL_STEPS = 10
ALPHA = 0.05
"""Of the bands over seeds."""


def dataset_name(budget: Budget) -> str:
    """`mnist` where its files are, else the digits that ship with scikit-learn."""
    from nonlinear_model.data import mnist

    return "digits" if mnist.find_folder(budget.data_dir) is None else "mnist"


def sweeps(
    budget: Budget, methods: Sequence[str], clients: int, *, rounds: int = 60, every: int = 2
) -> dict[str, Sweep]:
    """Each method at the rate other seeds chose from the grid, label-split clients, 5 seeds (quick) or 10.

    Args:
        budget: profile, seed and data folder.
        methods: names for `federated_lora.method_named`.
        clients: number of clients N; each holds 10/N labels.
        rounds: of every run.
        every: rounds between two measurements.
    """
    from nonlinear_model.claims import study
    from nonlinear_model.configuration import Configuration
    from nonlinear_model.data.dataset import load
    from nonlinear_model.learning_rates import tuned_sweep

    name = dataset_name(budget)
    config = Configuration(
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
    data = load(name, budget.data_dir)
    seeds = study.seeds_of(budget, budget.pick(5, 10))
    with study.one_thread():
        return tuned_sweep(config, data, methods, study.RATES, study.tuning_seeds_of(budget), seeds)

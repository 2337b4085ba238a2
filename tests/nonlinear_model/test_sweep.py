"""Runs side by side are the single runs."""

from dataclasses import replace

from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment
from nonlinear_model.training.sweep import sweep


def test_a_sweep_equals_single_runs():
    data = load()
    config = Configuration(
        equal_sizes=True, rounds=4, local_steps=2, evaluate_every=2, probe=0, dtype="float64"
    )
    found = sweep(config, data, ("rolora", "ffa"), (0.1, 0.3), (0, 5))
    for method, result in found.items():
        for i, rate in enumerate(result.rates):
            for j, seed in enumerate(result.seeds):
                own = replace(config, method=method, learning_rate=rate, seed=seed)
                accuracy = [row["test_accuracy"] for row in experiment.run(own, data).rows]
                assert result.tracked[:, i, j].tolist() == accuracy
        assert result.until(2).rounds == (0, 2)

"""Runs that stop and go on: the same bits in the end."""

from dataclasses import replace

import numpy as np
import pytest

from federated_lora import method_named, method_names
from federation import checkpoint
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment
from tests.support.killed_runs import StopError, killed_twice, stopping

SMALL = Configuration(
    optimiser_state="keep", learning_rate=0.05, rounds=12, local_steps=2, batch_size=8, hidden=20,
    rank=4, probe=4, participation=0.6, head="average",
)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "optimiser"),
    [
        (one.name, optimiser)
        for one in (method_named(name, 12) for name in method_names())
        for optimiser in ("sgd", "momentum", "adam")
        if optimiser == "sgd" or not (one.controls or one.preconditions)
    ],
)
def test_every_method_and_optimiser_goes_on_bit_for_bit(method, optimiser, tmp_path):
    """Stopped after any round; a damaged newest checkpoint is passed over, and that is said."""
    config, data = replace(SMALL, method=method, optimiser=optimiser), load()
    whole = experiment.run(config, data)
    at = int(np.random.default_rng().integers(5, 12))
    with pytest.raises(StopError):
        experiment.run(config, data, checkpoints=tmp_path, every=2, progress=stopping(at))
    newest = max(tmp_path.iterdir()) / checkpoint.TENSORS
    newest.write_bytes(newest.read_bytes()[:-50])
    again = experiment.run(config, data, checkpoints=tmp_path, every=2)
    assert "corrupt" in again.warning
    assert again.seconds[0][0] == 2 * ((at - 1) // 2) - 1
    assert again.rows == whole.rows
    assert experiment.weights_bytes(again) == experiment.weights_bytes(whole)
    assert experiment.run(replace(config, seed=1), data).rows != whole.rows


def test_a_checkpoint_of_other_settings_or_data_is_refused(tmp_path):
    data = load()
    experiment.run(SMALL, data, checkpoints=tmp_path)
    with pytest.raises(ValueError, match=r"its learning_rate is 0\.05, this run's is 0\.2"):
        experiment.run(replace(SMALL, learning_rate=0.2), data, checkpoints=tmp_path)
    other = replace(data, train_y=data.train_y[::-1].copy())
    with pytest.raises(ValueError, match="belongs to another run: its data is"):
        experiment.run(SMALL, other, checkpoints=tmp_path)


@pytest.mark.fixed_seed
def test_a_command_survives_sigkill_bit_for_bit(tmp_path):
    words = ["nonlinear", "run", "--checkpoint-every", "1", "--threads", "1"]
    words += replace(SMALL, method="fedavg", optimiser="adam").words()
    whole, broken = killed_twice(tmp_path, words, 12)
    for name in ("run.csv", "runs.csv", "weights.safetensors"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
    assert not list(broken.glob(".rolora-*/run.csv"))

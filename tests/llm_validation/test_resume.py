"""Stopping anywhere and going on, to the same bits."""

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from llm_validation.tasks import registry
from llm_validation.training.evaluation import Evaluator, Score
from llm_validation.training.loop import run
from tests.support.killed_runs import StopError, killed_twice, stopping


def same(one, two):
    for layer, adapter in one.adapters.items():
        assert torch.equal(adapter.A, two.adapters[layer].A)
        assert torch.equal(adapter.B, two.adapters[layer].B)
    assert one.own.keys() == two.own.keys()
    for mine, other in ((one.head, two.head), *((h, two.own[k]) for k, h in one.own.items())):
        assert all(torch.equal(value, other[name]) for name, value in mine.items())


@pytest.mark.parametrize(
    ("stop", "policy"),
    [
        (1, {"method": "rolora", "optimiser_state": "keep", "lora_dropout": 0.2}),
        (2, {"method": "fedavg", "head": "local", "participation": 0.5, "split": "dirichlet"}),
        (4, {"method": "ffa", "optimiser": "sgd", "momentum": 0.9, "optimiser_state": "keep"}),
        (4, {"engine": "one-by-one", "base_dropout": "model", "schedule": "linear"}),
        (
            2,
            {
                "dp_clip": 1.0,
                "dp_noise": 0.01,
                "participation": 0.5,
                "method": "flora",
                "ranks": (1, 2, 2, 1),
            },
        ),
        (3, {"method": "rolora-cv", "optimiser": "sgd", "participation": 0.5}),
        (3, {"method": "rolora-momentum"}),
        (3, {"server_momentum": 0.7, "schedule": "cosine", "warmup_rounds": 2}),
    ],
    ids=str,
)
def test_resumed_equals_uninterrupted(tiny, tmp_path, policy, stop):
    config = tiny(rounds=5, checkpoint_every=1, **policy)
    whole = run(config)

    with pytest.raises(StopError):
        run(config, folder=tmp_path, on_round=stopping(stop))
    seen = []
    again = run(
        config, folder=tmp_path, resume=True, on_round=lambda row: seen.append(row["round"])
    )
    assert seen == list(range(stop + 1, 6))
    same(whole.server, again.server)
    clock = {"seconds": None, "tokens_per_second": None}
    assert [row | clock for row in again.rows] == [row | clock for row in whole.rows]


@pytest.mark.fixed_seed
def test_a_command_survives_sigkill_bit_for_bit(tiny, tmp_path):
    config = tiny(rounds=8, checkpoint_every=1, optimiser_state="keep", lora_dropout=0.1, threads=1)
    folders = killed_twice(tmp_path, ["llm", "run", *config.words()], 8)
    one, two = (load_file(path / "adapter" / "adapter_model.safetensors") for path in folders)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_whose_checkpoints_a_run_goes_on_from(tiny, tmp_path):
    """Its own: not one of other settings or data, nor a damaged one, nor any when it starts afresh."""
    data = tmp_path / "data"
    shutil.copytree(tiny().data_dir, data)
    config = tiny(rounds=3, data_dir=str(data), checkpoint_every=1)
    whole = run(config.changed(rounds=3), folder=tmp_path)
    newest = tmp_path / "checkpoints" / "round-000003" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    resumed = run(config, folder=tmp_path, resume=True)
    assert resumed.warning.endswith("; went on from round-000002")
    assert len(resumed.rows) == 4
    same(whole.server, resumed.server)
    with pytest.raises(ValueError, match=r"its learning_rate is 0\.005, this run's is 0\.0001"):
        run(config.changed(learning_rate=1e-4), folder=tmp_path, resume=True)
    path = data / "sst2" / "train.jsonl"
    path.write_text(path.read_text().replace("w1", "w2", 1))
    with pytest.raises(ValueError, match="round-000003 belongs to another run: its data is"):
        run(config, folder=tmp_path, resume=True)
    run(config.changed(rounds=1), folder=tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["round-000001"]


def test_local_heads_are_measured_in_the_clients_order(tiny, monkeypatch):
    """A checkpoint gives them back in another order; the mean must not notice, to the bit."""
    config = tiny(head="local", clients=12, rounds=1)
    result = run(config)
    evaluator = Evaluator(config, result.space, registry.load(config).evaluation)
    seen = []
    monkeypatch.setattr(
        evaluator, "_of", lambda server, client: seen.append(client) or Score(0.0, 0.0, 1)
    )
    own = result.server.own
    evaluator.score(replace(result.server, own={k: own[k] for k in sorted(own, key=str)}))
    assert seen == [*range(12)]

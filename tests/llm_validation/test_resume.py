"""Stopping anywhere and going on, to the same bits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from llm_validation.tasks import registry
from llm_validation.training.evaluation import Evaluator, Score
from llm_validation.training.export import export
from llm_validation.training.loop import run

POLICIES = [
    {"method": "rolora", "optimiser_state": "keep", "lora_dropout": 0.2},
    {"method": "fedavg", "head": "local", "participation": 0.5, "split": "dirichlet"},
    {"method": "ffa", "optimiser": "sgd", "momentum": 0.9, "optimiser_state": "keep"},
    {"method": "rolora", "engine": "one-by-one", "base_dropout": "model", "schedule": "linear"},
]


class StopError(Exception):
    pass


def same(one, two):
    for layer, adapter in one.adapters.items():
        assert torch.equal(adapter.A, two.adapters[layer].A)
        assert torch.equal(adapter.B, two.adapters[layer].B)
    for name, value in one.head.items():
        assert torch.equal(value, two.head[name])
    assert one.own.keys() == two.own.keys()
    for client, head in one.own.items():
        assert all(torch.equal(value, two.own[client][name]) for name, value in head.items())


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("stop", [1, 2, 4])
def test_resumed_equals_uninterrupted(tiny, tmp_path, policy, stop):
    config = tiny(rounds=5, checkpoint_every=1, **policy)
    whole = run(config)

    def stopper(row):
        if row["round"] == stop:
            raise StopError

    with pytest.raises(StopError):
        run(config, folder=tmp_path, on_round=stopper)
    seen = []
    again = run(
        config, folder=tmp_path, resume=True, on_round=lambda row: seen.append(row["round"])
    )
    assert seen == list(range(stop + 1, 6))
    same(whole.server, again.server)
    timed = {"seconds", "tokens_per_second"}
    for a, b in zip(whole.rows, again.rows, strict=True):
        assert {k: v for k, v in a.items() if k not in timed} == {
            k: v for k, v in b.items() if k not in timed
        }


KILLED = """
import json, os, sys
from pathlib import Path
from llm_validation.config import Config
from llm_validation.training.loop import run
from llm_validation.training.export import export
folder = Path(sys.argv[1])
result = run(Config.read(json.loads(sys.argv[2])), folder=folder, resume=True,
             on_round=lambda row: print(row["round"], flush=True))
export(result.space, result.server, folder / "adapter")
"""


@pytest.mark.parametrize("after", [3, 7])
def test_killed_and_resumed_gives_the_same_adapter(tiny, tmp_path, after):
    config = tiny(
        rounds=12, checkpoint_every=2, optimiser_state="keep", lora_dropout=0.1, threads=1
    )
    arguments = [json.dumps(config.as_dict())]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def start(folder):
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder), *arguments],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    process = start(tmp_path / "killed")
    for line in process.stdout:
        if int(line) == after:
            time.sleep(0.01)  # somewhere inside the next round
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "adapter").exists()
    assert start(tmp_path / "killed").wait() == 0
    whole = run(config)
    export(whole.space, whole.server, tmp_path / "whole" / "adapter")
    one, two = (
        load_file(tmp_path / name / "adapter" / "adapter_model.safetensors")
        for name in ("killed", "whole")
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_checkpoint_of_another_configuration_is_refused(tiny, tmp_path):
    run(tiny(rounds=1), folder=tmp_path)
    with pytest.raises(
        ValueError, match=r"another run: its learning_rate is 0\.005, this run's is 0\.0001"
    ):
        run(tiny(rounds=1, learning_rate=1e-4), folder=tmp_path, resume=True)


def test_a_checkpoint_of_other_data_is_refused(tiny, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(tiny().data_dir, folder)
    config = tiny(rounds=1, data_dir=str(folder))
    whole = run(config, folder=tmp_path)
    same(whole.server, run(config, folder=tmp_path, resume=True).server)
    path = folder / "sst2" / "train.jsonl"
    path.write_text(path.read_text().replace("w1", "w2", 1))
    with pytest.raises(ValueError, match="round-000001 belongs to another run: its data is"):
        run(config, folder=tmp_path, resume=True)


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


def test_a_truncated_checkpoint_falls_back_to_the_one_before(tiny, tmp_path):
    config = tiny(rounds=3, checkpoint_every=1)
    whole = run(config, folder=tmp_path)
    newest = tmp_path / "checkpoints" / "round-000003" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    resumed = run(config, folder=tmp_path, resume=True)
    assert resumed.warning.endswith("; went on from round-000002")
    assert len(resumed.rows) == 4
    same(whole.server, resumed.server)


def test_a_fresh_run_forgets_the_checkpoints_of_an_earlier_one(tiny, tmp_path):
    run(tiny(rounds=5, checkpoint_every=1), folder=tmp_path)
    run(tiny(rounds=2, checkpoint_every=1), folder=tmp_path)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["round-000001", "round-000002"]

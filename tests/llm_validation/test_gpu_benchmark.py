"""The GPU benchmark, tried out on a CPU with a model of no size."""

import json

import numpy as np
import pytest
import torch

from benchmarks import gpu
from federated_lora import Factor
from llm_validation.training.all_at_once import AllAtOnce
from llm_validation.training.server import Work


@pytest.fixture
def short(monkeypatch):
    """Rounds of one step on short examples."""
    monkeypatch.setattr(gpu, "LENGTH", 12)
    monkeypatch.setattr(gpu, "STEPS", 1)
    monkeypatch.setattr("gc.collect", lambda: 0)  # most of the time of so small a cell


def call(monkeypatch, out, model="tiny"):
    words = ["--cpu", "--model", model, "--quick", "--repeats", "1", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["gpu", *words])
    return gpu.main()


def test_the_floor_goes_through_the_same_rows_in_as_many_passes():
    batches = [[np.array([10 * k + s, 10 * k + s + 5]) for s in range(2)] for k in range(5)]
    work = Work(1, frozenset({Factor.B}), tuple(range(5)), batches, 1e-3)
    floor = gpu.alone(work, 2)
    assert floor.clients == (0,)
    (passes,) = floor.batches
    assert [rows.size for rows in passes] == [4, 4, 2] * 2
    assert passes[0].tolist() == [0, 5, 10, 15]
    assert passes[5].tolist() == [41, 46]
    every = np.concatenate([rows for own in batches for rows in own])
    assert sorted(np.concatenate(passes)) == sorted(every)


def test_every_cell_is_written_with_what_it_was(short, monkeypatch, tmp_path):
    out = tmp_path / "gpu.json"
    assert call(monkeypatch, out) == 0
    written = json.loads(out.read_text())
    records = written["records"]
    assert {"torch", "transformers", "peft", "commit", "cuda"} <= set(written["environment"])
    cells = {(r["role"], r["clients"]) for r in records if r["role"] != "method"}
    assert cells == {(role, n) for role in ("all-at-once", "one-by-one", "floor") for n in (1, 4)}
    costs = [(r["method"], r["trained"]) for r in records if r["role"] == "method"]
    assert costs == [
        ("fedavg", "AB"), ("fedavg", "AB"), ("ffa", "B"), ("ffa", "B"), ("rolora", "B"), ("rolora", "A"),
    ]  # fmt: skip
    assert all(record["fits"] for record in records)
    tokens = {
        r["role"]: r["tokens_per_second"] * r["seconds"] for r in records if r["clients"] == 4
    }
    assert tokens["floor"] == pytest.approx(tokens["all-at-once"]) == pytest.approx(4 * 4 * 12)


def test_what_does_not_fit_is_recorded_and_the_rest_goes_on(short, monkeypatch, tmp_path):
    def full(*arguments):
        raise torch.cuda.OutOfMemoryError("full")

    monkeypatch.setattr(gpu, "client_memory", full)
    monkeypatch.setattr(AllAtOnce, "train", full)
    out = tmp_path / "gpu.json"
    assert call(monkeypatch, out) == 0
    fits = {r["role"]: r["fits"] for r in json.loads(out.read_text())["records"]}
    assert fits == {"all-at-once": False, "one-by-one": True, "floor": True, "method": False}
    monkeypatch.setattr(gpu, "workspace", full)
    assert call(monkeypatch, out) == 0
    (record,) = json.loads(out.read_text())["records"]
    assert record == {"model": "tiny", "role": "base", "fits": False}


def test_an_unknown_model_is_refused(monkeypatch, tmp_path, capsys):
    assert call(monkeypatch, tmp_path / "x.json", "tinny") == 2
    assert "--model must be a folder or roberta-large, llama-2-7b" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()

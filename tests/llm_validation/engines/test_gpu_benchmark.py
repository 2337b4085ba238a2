"""The GPU benchmark, tried out on a CPU with a model of no size."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks import gpu
from benchmarks import gpu_workload as workload
from benchmarks.profiled import operations
from federated_lora import Factor
from llm_validation.base.encoding import Encoded
from llm_validation.training.all_at_once import AllAtOnce
from llm_validation.training.one_by_one import OneByOne
from llm_validation.training.server import Work


@pytest.fixture
def short(monkeypatch):
    """Rounds of two steps on short examples."""
    for module in (gpu, workload):
        monkeypatch.setattr(module, "LONGEST", 12)
        monkeypatch.setattr(module, "STEPS", 2)
    monkeypatch.setattr(gpu, "TIMED", 2)
    monkeypatch.setattr("gc.collect", lambda: 0)  # most of the time of so small a cell


def call(monkeypatch, out, model="tiny", *more):
    words = [*more, "--cpu", "--model", model, "--quick", "--repeats", "1", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["gpu", *words])
    return gpu.main()


def test_the_floor_goes_through_the_same_rows_in_as_many_passes():
    batches = [[np.array([10 * k + s, 10 * k + s + 5]) for s in range(2)] for k in range(5)]
    work = Work(1, frozenset({Factor.B}), tuple(range(5)), batches, 1e-3)
    data = Encoded(tuple(np.arange(n) for n in [3, 9] * 30), None, np.zeros(60))
    parts = workload.passes(work, data, 2, torch.device("cpu"))
    floor = workload.alone(parts, work)
    assert floor.clients == (0,)
    (passes,) = floor.batches
    assert [rows.size for rows in passes] == [4, 4, 2] * 2
    assert passes[0].tolist() == [0, 5, 10, 15]
    assert passes[5].tolist() == [41, 46]
    assert workload.padded(parts, data) == 20 * 16
    every = np.concatenate([rows for own in batches for rows in own])
    assert sorted(np.concatenate(passes)) == sorted(every)


def test_every_cell_is_written_with_what_it_was(short, monkeypatch, tmp_path):
    out = tmp_path / "gpu.json"
    assert call(monkeypatch, out) == 0
    written = json.loads(out.read_text())
    assert {"torch", "transformers", "peft", "commit", "cuda"} <= set(written["environment"])
    timed = {r["role"]: r for r in written["records"] if r["kind"] == "time"}
    assert set(timed) == {*gpu.ROLES, gpu.BESIDE}
    assert timed.pop(gpu.BESIDE)["tokens"] == gpu.RUNS * timed["floor"]["tokens"]
    assert all(r["measured"] and r["trained"] == "AB" for r in timed.values())
    # The same examples, whoever goes through them.
    assert len({(r["tokens"], r["padded_tokens"] >= r["tokens"]) for r in timed.values()}) == 1
    profiles = {r["role"]: r for r in written["records"] if r["kind"] == "profile"}
    assert set(profiles) == {"all-at-once", "floor"}
    assert all(r["per_step"]["operations"] > 100 for r in profiles.values())


def test_real_lengths_are_padded(monkeypatch):
    data = workload.examples(500, causal=False)
    assert 38 < data.lengths.mean() < 42
    assert data.lengths.max() == workload.LONGEST
    config = workload.settings_of("cpu", "rolora", 20, 8, "tiny-encoder")
    work = workload.work_of(config, data, 2)
    assert work.factors == {Factor.A}
    assert len(work.batches) == 20
    sizes = {rows.size for own in work.batches for rows in own}
    assert sizes == {8}


def test_cells_come_in_the_order_of_what_they_say():
    every = list(gpu.cells(False))
    assert every[: len(gpu.ROLES)] == [(50, 8, "fedavg", 1, role) for role in gpu.ROLES]
    assert len(set(every)) == len(every)
    assert {cell[:2] for cell in every} == {(n, b) for n in (3, 20, 50) for b in (8, 32)}


@pytest.mark.parametrize("products", ["own", "base"])
def test_a_step_of_50_clients_launches_little_more_than_one_adapter_alone(monkeypatch, products):
    """Layers as many as RoBERTa-Large has, which decide how much the clients' own launches weigh."""
    monkeypatch.setattr(workload, "LONGEST", 12)
    bench = gpu.Bench("deep-encoder", "cpu", 1e9, 1)
    config = workload.settings_of("cpu", "fedavg", 50, 1, "deep-encoder", products)
    work = workload.work_of(config, bench.data, 1)
    run = (config, bench.space, bench.data)

    def launches(engine, own):
        """Operations of one more local step."""
        rounds = [workload.first(own, 50, steps) for steps in (1, 2)]
        one, two = (
            sum(operations(partial(engine.train, bench.server, part)).values()) for part in rounds
        )
        return two - one

    parts = workload.passes(work, bench.data, 50, torch.device("cpu"))
    assert [len(step) for step in parts[:2]] == [1, 1]
    floor = launches(workload.PlainAdapter(*run), workload.alone(parts, work))
    assert launches(AllAtOnce(*run, 50), work) <= 1.3 * floor
    # Control: what grows with clients × layers is far off, two clients one by one already.
    assert launches(OneByOne(*run), workload.first(work, 2, 2)) > 1.3 * floor


def test_what_the_budget_leaves_no_time_for_is_told(short, monkeypatch, tmp_path):
    out = tmp_path / "gpu.json"
    assert call(monkeypatch, out, "tiny", "--budget", "0") == 0
    told = {(r["measured"], r["why"]) for r in json.loads(out.read_text())["records"]}
    assert told == {(False, "budget")}


def test_what_does_not_fit_is_recorded_and_the_rest_goes_on(short, monkeypatch, tmp_path):
    def full(*arguments):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(AllAtOnce, "_pass", full)
    out = tmp_path / "gpu.json"
    assert call(monkeypatch, out) == 0
    records = json.loads(out.read_text())["records"]
    assert {r["role"] for r in records if r.get("why") == "memory"} == {*gpu.ROLES[:2], gpu.BESIDE}
    assert {r["role"] for r in records if r["measured"]} == {"floor", "one-by-one"}
    monkeypatch.setattr(gpu, "workspace", full)
    assert call(monkeypatch, out) == 0
    (record,) = json.loads(out.read_text())["records"]
    assert record == {"model": "tiny", "role": "base", "measured": False, "why": "memory"}


def test_an_unknown_model_is_refused(monkeypatch, tmp_path, capsys):
    assert call(monkeypatch, tmp_path / "x.json", "tinny") == 2
    assert "--model must be a folder or roberta-large, llama-2-7b" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()

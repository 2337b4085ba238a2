import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from federated_lora import Factor
from llm_validation.training import all_at_once
from llm_validation.training.loop import run


def relative(a, b):
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


def tensors(result):
    server = result.server
    return (
        {f"{layer}.{f}": a.factor(f) for layer, a in server.adapters.items() for f in Factor}
        | server.head
        | {f"{k}.{name}": value for k, h in server.own.items() for name, value in h.items()}
    )


def gap(one, two):
    """Largest relative distance of a tensor."""
    one, two = tensors(one), tensors(two)
    assert one.keys() == two.keys()
    return max(relative(value, two[name]) for name, value in one.items())


# Two algorithms that are equal on paper, in float64. Gradients of the factors are sums of terms of order
# 1e-3, those of the head of 0.1: they carry roundings of 1e-18 and 1e-17. Adam's worst case is an entry
# whose terms cancel: its step rate · g/(|g| + ε) multiplies the rounding by up to rate/ε = 5e-3/1e-8, which
# makes 5e-13 in a factor of norm 0.03 or more, 5e-12 in a head of norm 0.5. The rest stays near 1e-15.
EQUAL = 1e-10


def both(tiny, *kind, **changes):
    return [
        run(tiny(*kind, **{"dtype": "float64", "engine": engine, **changes}))
        for engine in ("one-by-one", "all-at-once")
    ]


@pytest.mark.parametrize("split", ["iid", "shards", "dirichlet"])
@pytest.mark.parametrize("method", ["fedavg", "ffa", "rolora"])
@pytest.mark.parametrize("kind", ["roberta", "llama"])
def test_engines_agree_after_three_rounds(tiny, kind, method, split):
    runs = both(tiny, kind, method=method, split=split)
    assert gap(*runs) <= EQUAL
    start = runs[0].rows[0]["numbers_up"]
    assert runs[0].rows[-1]["numbers_up"] == runs[1].rows[-1]["numbers_up"] > start


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "sgd", "momentum": 0.9, "optimiser_state": "keep", "weight_decay": 0.01},
        {"optimiser": "sgd", "learning_rate": 0.05},
        {"optimiser_state": "keep", "weight_decay": 0.1},
        {"optimiser_state": "keep", "participation": 0.5, "rounds": 5},
        {"clip": 0.05, "optimiser": "sgd", "learning_rate": 0.1},
        {"lora_dropout": 0.3},
        {"head": "local"},
        {"head": "frozen"},
        {"weighting": "uniform", "schedule": "linear"},
        {"clients_at_once": 3},
        {"clients_at_once": 1},
        {"gradient_checkpointing": True, "lora_dropout": 0.2},
        {"target_modules": ("query", "key", "dense"), "rank": 3, "rslora": True},
        {"init": "gaussian"},
        {"batch_size": 64},
    ],
    ids=str,
)
def test_engines_agree_under_every_policy(tiny, changes):
    assert gap(*both(tiny, **{"split": "dirichlet", **changes})) <= EQUAL


@pytest.mark.parametrize("kind", ["roberta", "llama"])
def test_clients_of_other_lengths_go_apart_with_the_same_result(tiny, kind, monkeypatch):
    monkeypatch.setattr(all_at_once, "LEAST", {"cpu": 1})
    parts = set()
    alike = all_at_once.alike

    def counted(*given):
        found = alike(*given)
        parts.add(len(found))
        assert sorted(np.concatenate(found)) == list(range(6))
        return found

    monkeypatch.setattr(all_at_once, "alike", counted)
    for changes in (
        {"lora_dropout": 0.3, "clip": 0.05, "optimiser_state": "keep"},
        {"method": "fedavg", "head": "local", "gradient_checkpointing": True, "lora_dropout": 0.1},
    ):
        assert (
            gap(*both(tiny, kind, clients=6, split="dirichlet", batch_size=2, **changes)) <= EQUAL
        )
    assert max(parts) > 1


@pytest.mark.parametrize(
    ("least", "parts"),
    [(1, [[1], [3], [0, 4], [2]]), (100, [[0, 1, 3], [2, 4]]), (200, [[0, 1, 2, 3, 4]])],
)
def test_clients_go_apart_where_it_saves_and_either_part_fills_the_device(
    least, parts, monkeypatch
):
    monkeypatch.setattr(all_at_once, "LEAST", {"cpu": least})
    rows = [np.array([k]) for k in range(5)]
    found = all_at_once.alike(np.array([60, 10, 90, 11, 61]), rows, torch.device("cpu"))
    assert [part.tolist() for part in found] == parts
    similar = all_at_once.alike(np.array([50, 51, 50, 50, 50]), rows, torch.device("cpu"))
    assert len(similar) == 1


def perturbed(folder, to, size):
    """A copy of a checkpoint, each weight multiplied by 1 + size · a standard normal number."""
    shutil.copytree(folder, to)
    torch.manual_seed(3)
    weights = load_file(to / "model.safetensors")
    moved = {name: w * (1.0 + size * torch.randn_like(w)) for name, w in weights.items()}
    save_file(moved, to / "model.safetensors", metadata={"format": "pt"})
    return str(to)


@pytest.mark.parametrize("engine", ["one-by-one", "all-at-once"])
def test_float32_costs_either_engine_its_rounding_and_no_more(tiny, llama, tmp_path, engine):
    """Gap to float64 at most κ·n·u; by SGD, since Adam divides a rounding by itself.

    A computed product of matrices is the exact one of factors moved by at most n·u of themselves (Higham
    2002, §3.5), u = 2⁻²⁴ and n the terms of its longest sum: the 4 · 48 tokens of a minibatch, in the
    factors' gradients. κ, what a move of all frozen weights makes of the result per unit, is measured.
    """
    changes = {"optimiser": "sgd", "learning_rate": 0.05, "method": "fedavg", "split": "dirichlet"}
    exact = run(tiny("llama", dtype="float64", engine="one-by-one", **changes))
    moved = perturbed(llama, tmp_path / "moved", 1e-4)
    kappa = gap(run(tiny("llama", dtype="float64", model=moved, **changes)), exact) / 1e-4
    bound = kappa * (4 * 48) * 2.0**-24
    assert gap(run(tiny("llama", engine=engine, **changes)), exact) <= bound < 1e-3
    wrong = run(tiny("llama", engine=engine, **{**changes, "weighting": "uniform"}))
    assert gap(wrong, exact) > bound


def test_engines_agree_on_other_models(tiny, gpt2):
    """With dropout on causal text, and where layers keep their weights transposed (Conv1D)."""
    assert gap(*both(tiny, "llama", lora_dropout=0.3)) <= EQUAL
    assert gap(*both(tiny, "llama", model=gpt2, method="fedavg", split="dirichlet")) <= EQUAL


def test_dropout_changes_the_result(tiny):
    off, on = run(tiny()), run(tiny(lora_dropout=0.3))
    layer = next(iter(off.server.adapters))
    assert relative(on.server.adapters[layer].B, off.server.adapters[layer].B) > 1e-3


@pytest.mark.parametrize("engine", ["one-by-one", "all-at-once"])
def test_training_learns_something(tiny, engine):
    result = run(tiny(engine=engine, rounds=10, local_steps=8, batch_size=16, learning_rate=2e-2))
    losses = [row["train_loss"] for row in result.rows[1:]]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.02

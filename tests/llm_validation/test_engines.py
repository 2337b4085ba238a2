import numpy as np
import pytest
import torch
import transformers
from peft import PeftModel

from llm_validation.training.export import export
from llm_validation.training.loop import run


def relative(a, b):
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


def same_to(tolerance, one, two):
    for layer, adapter in one.server.adapters.items():
        other = two.server.adapters[layer]
        assert relative(adapter.A, other.A) <= tolerance, layer
        assert relative(adapter.B, other.B) <= tolerance, layer
    for name, value in one.server.head.items():
        assert relative(value, two.server.head[name]) <= tolerance, name
    for client, head in one.server.heads.items():
        for name, value in head.items():
            assert relative(value, two.server.heads[client][name]) <= tolerance, (client, name)


@pytest.mark.parametrize("split", ["iid", "shards", "dirichlet"])
@pytest.mark.parametrize("method", ["fedavg", "ffa", "rolora"])
@pytest.mark.parametrize("kind", ["roberta", "llama"])
def test_engines_agree_after_three_rounds(tiny, kind, method, split):
    runs = [
        run(tiny(kind, method=method, split=split, engine=engine))
        for engine in ("sequential", "batched")
    ]
    same_to(1e-5, *runs)
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
    runs = [
        run(tiny(engine=engine, **{"split": "dirichlet", **changes}))
        for engine in ("sequential", "batched")
    ]
    same_to(2e-5, *runs)


def test_engines_agree_with_dropout_on_causal_text(tiny):
    runs = [
        run(tiny("llama", engine=engine, lora_dropout=0.3)) for engine in ("sequential", "batched")
    ]
    same_to(1e-5, *runs)


def test_layers_that_keep_their_weights_transposed(tiny, gpt2, tmp_path):
    """GPT-2's fused projection: Conv1D, 24 × 72; a transposed update would not even fit."""
    runs = [
        run(tiny("llama", model=gpt2, method="fedavg", split="dirichlet", engine=engine))
        for engine in ("sequential", "batched")
    ]
    same_to(1e-5, *runs)
    result = runs[1]
    adapter = next(iter(result.server.adapters.values()))
    assert (adapter.A.shape, adapter.B.shape) == ((24, 2), (2, 72))
    (folder,) = export(result.space, result.server, tmp_path / "adapter")
    base = transformers.AutoModelForCausalLM.from_pretrained(gpt2)
    ids = torch.tensor([[1, 5, 9, 30, 2]])
    with torch.no_grad():
        plain = base(input_ids=ids).logits
        loaded = PeftModel.from_pretrained(base, folder).eval()(input_ids=ids).logits
    result.space.model.eval()
    torch.testing.assert_close(loaded, result.space.base(input_ids=ids).logits)
    assert float((loaded - plain).abs().max()) > 1e-4


def test_dropout_changes_the_result(tiny):
    off, on = run(tiny()), run(tiny(lora_dropout=0.3))
    layer = next(iter(off.server.adapters))
    assert relative(on.server.adapters[layer].B, off.server.adapters[layer].B) > 1e-3


@pytest.mark.parametrize("engine", ["sequential", "batched"])
def test_training_learns_something(tiny, engine):
    result = run(tiny(engine=engine, rounds=10, local_steps=8, batch_size=16, learning_rate=2e-2))
    losses = [row["train_loss"] for row in result.rows[1:]]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.02


def test_runs_repeat_bit_for_bit(tiny):
    one, two = run(tiny()), run(tiny())
    for layer, adapter in one.server.adapters.items():
        assert torch.equal(adapter.A, two.server.adapters[layer].A)
        assert torch.equal(adapter.B, two.server.adapters[layer].B)
    assert [r["accuracy"] for r in one.rows] == [r["accuracy"] for r in two.rows]

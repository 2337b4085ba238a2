"""A base model that cannot serve is refused before it trains."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from llm_validation.base import memory
from llm_validation.base.models import build, quantisation_options
from llm_validation.training.loop import DivergedError, run


@pytest.fixture
def copied(roberta, tmp_path):
    """A copy of the tiny RoBERTa's folder, to be damaged."""
    return shutil.copytree(roberta, tmp_path / "copied")


def test_an_encoder_is_refused_where_text_is_continued(tiny, roberta):
    with pytest.raises(ValueError, match=r"reads text in both directions.*causal language model"):
        run(tiny("llama", model=roberta))


def cut(path, by):
    path.write_bytes(path.read_bytes()[:-by])


def without_a_layer(folder):
    weights = load_file(folder / WEIGHTS)
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def truncated_archive(folder):
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    cut(folder / "pytorch_model.bin", 1000)


def with_a_head_of_three(folder):
    kind = transformers.AutoModelForSequenceClassification
    kind.from_pretrained(folder, num_labels=3).save_pretrained(folder)


def wider(folder):
    settings = json.loads((folder / "config.json").read_text()) | {"intermediate_size": 44}
    (folder / "config.json").write_text(json.dumps(settings))


def without_a_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


WEIGHTS = "model.safetensors"
DAMAGE = [
    (with_a_head_of_three, "other shapes than .* and a head of 2 classes"),
    (wider, "cannot be loaded: its weights have other shapes"),
    (
        without_a_layer,
        r"1 tensors are missing .* roberta\.encoder\.layer\.1\.output\.dense\.weight",
    ),
    (lambda folder: (folder / "config.json").unlink(), r"no checkpoint: it has no config\.json"),
    (lambda folder: cut(folder / WEIGHTS, 50), r"model\.safetensors is truncated or corrupt"),
    (lambda folder: (folder / WEIGHTS).unlink(), "it has no weight file"),
    (truncated_archive, r"pytorch_model\.bin is truncated or corrupt"),
    (without_a_tokenizer, "has no tokenizer: its vocabulary is empty"),
]


@pytest.mark.parametrize(("harm", "message"), DAMAGE, ids=[message for _, message in DAMAGE])
def test_a_folder_that_cannot_serve_is_refused(tiny, copied, harm, message):
    harm(copied)
    with pytest.raises(ValueError, match=message):
        run(tiny(model=str(copied)))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "HF_ENDPOINT",
            "http://127.0.0.1:9",
            "cannot be reached: give --model with a local folder",
        ),
        ("HF_HUB_OFFLINE", "1", "HF_HUB_OFFLINE forbids the hub: give --model with a local folder"),
    ],
)
def test_an_unreachable_hub_fails_in_seconds(data_dir, name, value, message, tmp_path):
    code = (
        "from llm_validation.config import Config; from llm_validation.base.models import build\n"
        f"build(Config('nobody/nothing', 'sst2', data_dir={data_dir!r}), causal=False, names=('a','b'))"
    )
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()
    }
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | {"HF_HOME": str(tmp_path), name: value},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr
    # The import of torch and transformers is most of it.
    assert time.perf_counter() - started < 60


def test_examples_beyond_the_models_positions_are_refused(tiny, tmp_path):
    folder = tmp_path / "sst2"
    folder.mkdir()
    rows = [{"sentence": " ".join(["w1"] * 80), "label": k % 2} for k in range(8)]
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # 64 positions, of which RoBERTa leaves out those up to the padding id.
    options = {"data_dir": str(tmp_path), "rounds": 1, "clients": 2}
    with pytest.raises(ValueError, match=r"max_length must be at most 63.*64 tokens long"):
        run(tiny(max_length=64, **options))
    assert len(run(tiny(max_length=63, **options)).rows) == 2


def test_the_base_is_weighed_before_it_is_read(tiny, copied, monkeypatch):
    """By its layers, so that any kind of weight file will do."""
    settings = tiny(model=str(copied))
    base = transformers.AutoModelForSequenceClassification.from_pretrained(copied)
    need = 4 * sum(p.numel() for p in base.parameters())
    monkeypatch.setattr(
        "transformers.AutoModelForSequenceClassification.from_pretrained",
        lambda *a, **k: pytest.fail("read"),
    )
    monkeypatch.setattr(memory, "free_bytes", lambda device: need - 1)
    with pytest.raises(ValueError, match=r"base model needs .* use dtype = bfloat16"):
        build(settings, causal=False, names=("a", "b"))


def test_a_model_that_overflows_is_a_divergence_with_its_table_kept(tiny, tmp_path):
    """The weights that came back are finite, what they make of a text is not."""
    config = tiny(optimiser="sgd", learning_rate=1e25, rounds=1, local_steps=1)
    with pytest.raises(DivergedError, match=r"round 1: the .* is (nan|inf); lower the") as stopped:
        run(config, folder=tmp_path)
    assert [row["round"] for row in stopped.value.rows] == [0]
    assert np.isfinite(stopped.value.rows[0]["loss"])
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_base_of_4_bits_keeps_its_fresh_head_and_is_for_a_gpu(tiny, monkeypatch):
    monkeypatch.setattr("llm_validation.base.models.find_spec", lambda name: True)
    monkeypatch.setattr("transformers.BitsAndBytesConfig", dict)
    config = tiny(quantisation="4bit")
    told = quantisation_options(config, causal=False, device=torch.device("cuda"))
    assert set(told["quantization_config"]["llm_int8_skip_modules"]) >= {"classifier", "score"}
    # None leaves transformers' own choice: the layer that gives the vocabulary's logits.
    told = quantisation_options(config, causal=True, device=torch.device("cuda"))
    assert told["quantization_config"]["llm_int8_skip_modules"] is None
    assert quantisation_options(tiny(), causal=False, device=torch.device("cpu")) == {}
    with pytest.raises(ValueError, match="4bit needs a CUDA device, the run is on cpu"):
        run(config)

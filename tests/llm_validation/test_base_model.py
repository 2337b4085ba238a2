"""A base model that cannot serve is refused before it trains."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from llm_validation.base.models import build, quantisation_options
from llm_validation.training import estimate
from llm_validation.training.loop import DivergedError, run


@pytest.fixture
def copied(roberta, tmp_path):
    """A copy of the tiny RoBERTa's folder, to be damaged."""
    return shutil.copytree(roberta, tmp_path / "copied")


def test_an_encoder_is_refused_where_text_is_continued(tiny, roberta):
    with pytest.raises(ValueError, match=r"reads text in both directions.*causal language model"):
        run(tiny("llama", model=roberta))


def test_a_head_of_another_size_and_a_foreign_config_are_refused(tiny, copied):
    transformers.AutoModelForSequenceClassification.from_pretrained(
        copied, num_labels=3
    ).save_pretrained(copied)
    with pytest.raises(ValueError, match=r"other shapes than .* and a head of 2 classes"):
        run(tiny(model=str(copied)))
    settings = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(settings | {"intermediate_size": 44}))
    with pytest.raises(ValueError, match=r"cannot be loaded: its weights have other shapes"):
        run(tiny(model=str(copied)))


def test_weights_that_lack_a_layer_are_refused_and_not_left_random(tiny, copied):
    weights = load_file(copied / "model.safetensors")
    name = next(name for name in weights if "layer.1" in name)
    del weights[name]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"1 tensors are missing .* roberta\.{name}"):
        run(tiny(model=str(copied)))


def test_a_truncated_torch_archive_is_named(tiny, copied):
    weights = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    path = copied / "pytorch_model.bin"
    torch.save(weights, path)
    build(tiny(model=str(copied)), causal=False, names=("a", "b"))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is truncated or corrupt"):
        run(tiny(model=str(copied)))


def test_a_folder_without_a_tokenizer_is_refused(tiny, copied):
    (copied / "tokenizer.json").unlink()
    (copied / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match="has no tokenizer: its vocabulary is empty"):
        run(tiny(model=str(copied)))


def test_a_name_that_can_be_no_id_is_refused(tiny):
    with pytest.raises(ValueError, match=r"'my model!' is neither a local folder nor a hub id"):
        run(tiny(model="my model!"))


def test_a_layer_of_the_head_is_no_target(tiny):
    with pytest.raises(ValueError, match=r"target module 'out_proj' is no linear layer"):
        run(tiny(target_modules=("out_proj",)))


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
    monkeypatch.setattr(estimate, "free_bytes", lambda device: need - 1)
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

import json
import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from llm_validation.config import Config

WORDS = [f"w{i}" for i in range(90)] + ["the", "correct", "answer", "is", "true", "false"]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]


def save_tokenizer(folder):
    vocabulary = {word: i for i, word in enumerate(SPECIAL + WORDS)}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    transformers.PreTrainedTokenizerFast(tokenizer_object=raw, **names).save_pretrained(folder)


SIZES = {
    "vocab_size": 100, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.2,
}  # fmt: skip
MODELS = {
    "roberta": ("RobertaModel", {"intermediate_size": 40, "type_vocab_size": 1}, 64),
    "llama": ("LlamaForCausalLM", {"intermediate_size": 40, "num_key_value_heads": 3}, 128),
    "gpt2": ("GPT2LMHeadModel", {}, 128),  # its layers keep their weights transposed (Conv1D)
    "bert": ("BertModel", {"intermediate_size": 40}, 64),
}


def tiny_model(kind):
    """A fixture: the folder of a tiny random model with a tokenizer."""

    @pytest.fixture(scope="session", name=kind)
    def folder(tmp_path_factory):
        name, more, positions = MODELS[kind]
        path = tmp_path_factory.mktemp(f"tiny-{kind}")
        torch.manual_seed(list(MODELS).index(kind))
        model = getattr(transformers, name)
        config = model.config_class(**SIZES, **more, max_position_embeddings=positions)
        model(config).save_pretrained(path)
        save_tokenizer(path)
        return str(path)

    return folder


roberta, llama, gpt2, bert = map(tiny_model, MODELS)


@pytest.fixture(autouse=True)
def norms_in_their_own_precision(monkeypatch):
    """Llama's norm rounds to float32 whatever it is given; float64 is to be float64 throughout."""

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.square().mean(-1, True) + self.variance_epsilon)

    monkeypatch.setattr(LlamaRMSNorm, "forward", forward)


def sentence(rng, low=3, high=12):
    return " ".join(rng.choice(WORDS[:90], size=rng.integers(low, high)))


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """A folder with a small `sst2` (label = whether w0–w44 prevail) and a small `boolq`."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)

    def row():
        text = sentence(rng)
        low = sum(int(word[1:]) < 45 for word in text.split())
        return {"sentence": text, "label": int(2 * low > len(text.split()))}

    def question():
        answer = str(rng.choice(["true", "false"]))
        text = f"{sentence(rng)} \n\nAnswer format: true/false"
        output = f"the correct answer is {answer}"
        return {"instruction": text, "input": "", "output": output, "answer": answer}

    (folder / "sst2").mkdir()
    for name, count in (("train", 150), ("validation", 60)):
        path = folder / "sst2" / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row()) + "\n" for _ in range(count)))
    (folder / "boolq").mkdir()
    for name, count in (("train", 80), ("test", 20)):
        path = folder / "boolq" / f"{name}.json"
        path.write_text(json.dumps([question() for _ in range(count)]))
    return str(folder)


@pytest.fixture
def tiny(roberta, llama, data_dir):
    """A configuration of the tiny model of a kind, with overrides."""

    def make(kind="roberta", **changes):
        model, task = (roberta, "sst2") if kind == "roberta" else (llama, "boolq")
        values = dict(
            model=model, task=task, data_dir=data_dir, clients=4, rounds=3, local_steps=2,
            batch_size=4, rank=2, lora_alpha=4.0, lora_dropout=0.0, learning_rate=5e-3, max_length=48,
            device="cpu",
        )  # fmt: skip
        return Config(**(values | changes))

    return make

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
        single="<s> $A </s>",
        pair="<s> $A </s> $B </s>",
        special_tokens=[("<s>", 1), ("</s>", 2)],
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    fast.save_pretrained(folder)


@pytest.fixture(scope="session")
def roberta(tmp_path_factory):
    """Tiny random RoBERTa, a local checkpoint folder."""
    folder = tmp_path_factory.mktemp("tiny-roberta")
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=100,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=64,
        type_vocab_size=1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.2,
    )
    transformers.RobertaModel(config).save_pretrained(folder)
    save_tokenizer(folder)
    return str(folder)


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """Tiny random Llama, a local checkpoint folder."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=100,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=3,
        intermediate_size=40,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    save_tokenizer(folder)
    return str(folder)


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory):
    """Tiny random GPT-2, whose layers keep their weights transposed (Conv1D), as a folder."""
    folder = tmp_path_factory.mktemp("tiny-gpt2")
    torch.manual_seed(2)
    config = transformers.GPT2Config(
        vocab_size=100,
        n_embd=24,
        n_layer=2,
        n_head=3,
        n_positions=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.2,
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    save_tokenizer(folder)
    return str(folder)


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

    for name, count in (("train", 150), ("validation", 60)):
        path = folder / "sst2" / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row()) + "\n" for _ in range(count)))

    def question():
        answer = str(rng.choice(["true", "false"]))
        text = f"{sentence(rng)} \n\nAnswer format: true/false"
        return {
            "instruction": text,
            "input": "",
            "output": f"the correct answer is {answer}",
            "answer": answer,
        }

    for name, count in (("train", 80), ("test", 20)):
        path = folder / "boolq" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps([question() for _ in range(count)]))
    return str(folder)


@pytest.fixture
def tiny(roberta, llama, data_dir):
    """A configuration of the tiny model of a kind, with overrides."""

    def make(kind="roberta", **changes):
        values = dict(
            model=roberta if kind == "roberta" else llama,
            task="sst2" if kind == "roberta" else "boolq",
            data_dir=data_dir,
            clients=4,
            rounds=3,
            local_steps=2,
            batch_size=4,
            rank=2,
            lora_alpha=4.0,
            lora_dropout=0.0,
            learning_rate=5e-3,
            max_length=48,
            device="cpu",
        )
        return Config(**(values | changes))

    return make

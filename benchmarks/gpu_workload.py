"""The GPU benchmark's workload: models by their configurations, lengths of real texts, a round of work."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from federated_lora import method_named
from llm_validation.base.base_model import check_checkpoint
from llm_validation.base.encoding import BUCKET, Encoded, collate
from llm_validation.base.models import ADAPTER, Workspace, attach, build
from llm_validation.config import Config
from llm_validation.layers.losses import client_losses
from llm_validation.layers.per_client import installed
from llm_validation.training.all_at_once import alike
from llm_validation.training.randomness import local_batches
from llm_validation.training.server import Server, Work, write_server

Device = Literal["cpu", "cuda"]
Products = Literal["own", "base"]
LENGTHS = Path(__file__).parent / "lengths.json"
EXAMPLES = 6400
STEPS = 20
"""Local steps that a round is planned with, as the published runs."""
LONGEST = 128
ANSWER = 6
"""Answer tokens at the end of a causal example."""
DROPOUT = 0.1
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "roberta-large": ("RobertaConfig", {
        "vocab_size": 50265, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
        "intermediate_size": 4096, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1,
    }),
    "llama-2-7b": ("LlamaConfig", {
        "vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "intermediate_size": 11008, "max_position_embeddings": 4096, "pad_token_id": 0,
    }),
    "tiny": ("LlamaConfig", {
        "vocab_size": 500, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 128, "pad_token_id": 0,
    }),
    "deep-encoder": ("RobertaConfig", {
        "vocab_size": 500, "hidden_size": 32, "num_hidden_layers": 24, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 140, "type_vocab_size": 1, "pad_token_id": 1,
    }),
    "tiny-encoder": ("RobertaConfig", {
        "vocab_size": 500, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 128, "max_position_embeddings": 140, "type_vocab_size": 1, "pad_token_id": 1,
    }),
}  # fmt: skip


def workspace(model: str, config: Config) -> Workspace:
    """A base with an adapter on it: from a folder, or random weights of a known architecture."""
    if model not in ARCHITECTURES:
        if not Path(model).is_dir():
            raise ValueError(
                f"--model must be a folder or {', '.join(ARCHITECTURES)}, got {model!r}"
            )
        check_checkpoint(model)
        causal = "CausalLM" in (Path(model) / "config.json").read_text(encoding="utf-8")
        return build(config, causal=causal, names=() if causal else ("a", "b"))
    import transformers

    kind, sizes = ARCHITECTURES[model]
    causal = kind == "LlamaConfig"
    dropout = {} if causal else {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    settings = getattr(transformers, kind)(**sizes, **dropout)
    auto = "AutoModelForCausalLM" if causal else "AutoModelForSequenceClassification"
    device = torch.device(config.device)
    with device:
        base = getattr(transformers, auto).from_config(settings, dtype=torch.bfloat16)
    padding = SimpleNamespace(pad_token_id=sizes["pad_token_id"])  # all that engines ask of it
    return attach(config, base, padding, causal=causal, device=device)


def examples(vocabulary: int, *, causal: bool) -> Encoded:
    """Random tokens in the lengths of real texts: MNLI's pairs, or BoolQ's prompts with their answers."""
    told = json.loads(LENGTHS.read_text(encoding="utf-8"))["boolq" if causal else "mnli"]
    counts = np.array(list(told.values()), dtype=float)
    rng = np.random.default_rng(0)
    lengths = rng.choice(np.array([int(n) for n in told]), EXAMPLES, p=counts / counts.sum())
    lengths = lengths.clip(max=LONGEST)
    ids = tuple(rng.integers(5, vocabulary, length) for length in lengths)
    labels = rng.integers(0, 2, EXAMPLES)
    return Encoded(ids, None, labels, lengths - ANSWER if causal else None)


def settings_of(
    device: Device,
    method: str,
    clients: int,
    batch: int,
    model: str,
    products: Products = "base",
) -> Config:
    """The run of a cell."""
    encoder = model.startswith("roberta") or model.endswith("encoder")
    sizes: dict[str, Any] = {"clients": clients, "batch_size": batch, "local_steps": STEPS}
    return Config(
        model, "mnli" if encoder else "boolq", method=method, **sizes, rank=4 if encoder else 8,
        lora_dropout=DROPOUT, dtype="bfloat16", products=products, device=device,
        max_length=LONGEST,
    )  # fmt: skip


def work_of(config: Config, data: Encoded, round: int) -> Work:
    """One round as a run plans it: every client's own rows, sorted by length and cut into minibatches."""
    parts = np.array_split(np.arange(len(data)), config.clients)
    plan = config.local_steps, config.batch_size
    batches = [
        local_batches(0, part, data.lengths, k, 0, round, *plan) for k, part in enumerate(parts)
    ]
    factors = method_named(config.method).trainable(round)
    return Work(round, factors, tuple(range(config.clients)), batches, 1e-4)


def passes(
    work: Work, data: Encoded, at_once: int, device: torch.device
) -> list[list[list[np.ndarray]]]:
    """Of every step, what goes through the model together: each client's rows, as the engine has them."""
    found = []
    for step in range(len(work.batches[0])):
        rows = [own[step] for own in work.batches]
        shared = [rows[start : start + at_once] for start in range(0, len(rows), at_once)]
        parts = [
            [own[k] for k in part] for own in shared for part in alike(data.lengths, own, device)
        ]
        found.append(parts)
    return found


def alone(parts: list[list[list[np.ndarray]]], work: Work) -> Work:
    """One client that goes through all rows of a round in these passes."""
    batches = [np.concatenate(part) for step in parts for part in step]
    return replace(work, clients=(0,), batches=[batches])


def first(work: Work, clients: int, steps: int) -> Work:
    """The round of the first clients alone, cut after some steps."""
    batches = [own[:steps] for own in work.batches[:clients]]
    return replace(work, clients=work.clients[:clients], batches=batches)


def padded(parts: list[list[list[np.ndarray]]], data: Encoded) -> int:
    """Tokens of a round's passes, padding included."""
    total = 0
    for part in (part for step in parts for part in step):
        longest = max(int(data.lengths[rows].max()) for rows in part)
        total += len(part) * max(rows.size for rows in part) * -(-longest // BUCKET) * BUCKET
    return total


class PlainAdapter:
    """The floor: one adapter trained as PEFT's users do, with torch's fused AdamW and plain dropout."""

    def __init__(self, config: Config, space: Workspace, data: Encoded) -> None:
        self.config, self.space, self.data = config, space, data

    def train(self, server: Server, work: Work) -> SimpleNamespace:
        """All minibatches of the one client; how many tokens they held."""
        space = self.space
        write_server(space, server)
        kinds = sorted(f"lora_{factor}" for factor in work.factors)
        trained = [
            getattr(layer, k)[ADAPTER].weight for layer in space.layers.values() for k in kinds
        ]
        trained += list(space.head.values())
        for parameter in trained:
            parameter.requires_grad_(True)
        optimiser = torch.optim.AdamW(trained, work.learning_rate, weight_decay=0.0, fused=True)
        drops = {
            f"{name}.lora_dropout.{ADAPTER}": nn.Dropout(self.config.lora_dropout)
            for name in space.layers
        }
        space.model.train()
        with installed(space.base, drops):
            tokens = self._steps(optimiser, work.batches[0])
        for parameter in trained:
            parameter.requires_grad_(False)
        return SimpleNamespace(tokens=tokens)

    def _steps(self, optimiser: torch.optim.Optimizer, batches: Sequence[np.ndarray]) -> int:
        space, losses, tokens = self.space, [], 0
        for rows in batches:
            batch = collate(self.data, [rows], space.pad_id, space.device)
            loss = client_losses(space.logits(batch), batch).sum()
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(loss.detach())
            tokens += batch.tokens
        torch.stack(losses).cpu()
        return tokens

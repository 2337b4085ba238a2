"""Tokens per second and peak memory on one CUDA device: all at once, one by one, and one adapter alone.

    python -m benchmarks.gpu [--model roberta-large|llama-2-7b|FOLDER]... [--out FILE] [--quick]

RoBERTa-Large and Llama-2-7B by their configurations, with random weights where no folder is given: speed and
memory do not depend on the values. For 1, 4, 8, 16 and 50 clients and local batches of 4, 8 and 32: one
round of local training by each engine, and the floor, one adapter trained alone on the same number of
tokens in the same passes (as large as the all-at-once engine's). Then each method's cost per round. What does
not fit is recorded as such, and the file is written anew after every cell, so that nothing measured is lost.
"""

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch

from benchmarks.ratios import environment
from federated_lora import method_named
from llm_validation.base.base_model import check_checkpoint, require_positions
from llm_validation.base.encoding import Encoded
from llm_validation.base.memory import free_bytes
from llm_validation.base.models import Workspace, attach, build
from llm_validation.config import Config
from llm_validation.training.all_at_once import AllAtOnce
from llm_validation.training.estimate import MARGIN, client_memory
from llm_validation.training.one_by_one import OneByOne
from llm_validation.training.server import Server, Work, read_server
from verification import files
from verification.codec import json_text

Device = Literal["cpu", "cuda"]

DEFAULT_OUT = Path(__file__).parent / "results" / "gpu.json"
CLIENTS = (1, 4, 8, 16, 50)
BATCHES = (4, 8, 32)
STEPS = 4
LENGTH = 128
ANSWER = 6
"""Answer tokens at the end of a causal example."""
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


def examples(count: int, vocabulary: int, *, causal: bool) -> Encoded:
    """Random examples of full length: no padding, so tokens per second compare."""
    rng = np.random.default_rng(0)
    ids = tuple(rng.integers(5, vocabulary, LENGTH) for _ in range(count))
    labels = rng.integers(0, 2, count)
    return Encoded(ids, None, labels, np.full(count, LENGTH - ANSWER) if causal else None)


def settings_of(device: Device, method: str, clients: int, batch: int, model: str) -> Config:
    """The run of a cell."""
    rank = 4 if model == "roberta-large" else 8
    sizes: dict[str, Any] = {
        "clients": clients,
        "batch_size": batch,
        "local_steps": STEPS,
        "rank": rank,
    }
    return Config(
        model, "sst2", method=method, **sizes, lora_dropout=0.0, dtype="bfloat16", device=device,
        max_length=LENGTH,
    )  # fmt: skip


def work_of(config: Config, server: Server, data: Encoded, round: int) -> Work:
    """One round in which every client goes through its own rows."""
    rows = np.arange(len(data))
    batches = [
        [
            np.resize(np.roll(rows, -(k * STEPS + s) * config.batch_size), config.batch_size)
            for s in range(STEPS)
        ]
        for k in range(config.clients)
    ]
    factors = method_named(config.method).trainable(round)
    return Work(round, factors, tuple(range(config.clients)), batches, 1e-4)


def alone(work: Work, at_once: int) -> Work:
    """One client that goes through all rows of a round, in passes as large as the all-at-once engine's."""
    passes = [
        np.concatenate([own[step] for own in work.batches[start : start + at_once]])
        for step in range(len(work.batches[0]))
        for start in range(0, len(work.clients), at_once)
    ]
    return replace(work, clients=(0,), batches=[passes])


def clients_per_pass(config: Config, space: Workspace, data: Encoded) -> int:
    """As many of the run's clients as are estimated to fit, at least one."""
    try:
        need = client_memory(config, space, data).total
    except torch.cuda.OutOfMemoryError:
        return 1
    return max(1, min(config.clients, int(free_bytes(space.device) * MARGIN // need)))


def timed(engine: Any, server: Server, work: Work, repeats: int) -> dict[str, Any]:
    """Fastest of a few rounds after a warm-up, with the peak memory; or why there is none."""
    cuda = torch.cuda.is_available()
    try:
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        engine.train(server, replace(work, batches=[own[:1] for own in work.batches]))
        best = float("inf")
        tokens = 0
        for _ in range(repeats):
            begin = time.perf_counter()
            tokens = engine.train(server, work).tokens
            if cuda:
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - begin)
    except torch.cuda.OutOfMemoryError:
        return {"fits": False}
    return {
        "fits": True,
        "seconds": best,
        "tokens_per_second": tokens / best,
        "peak_bytes": torch.cuda.max_memory_allocated() if cuda else None,
    }


def measure(model: str, device: Device, quick: bool, repeats: int) -> Iterator[dict[str, Any]]:
    """Every cell of one model."""
    config = settings_of(device, "rolora", 1, 4, model)
    try:
        space = workspace(model, config)
    except torch.cuda.OutOfMemoryError:
        yield {"model": model, "role": "base", "fits": False}
        return
    require_positions(config, space.base, LENGTH)
    data = examples(512, int(space.base.config.vocab_size), causal=space.causal)
    server = read_server(space)

    def cell(role: str, method: str, clients: int, batch: int, round: int = 1) -> dict[str, Any]:
        own = settings_of(device, method, clients, batch, model)
        work = work_of(own, server, data, round)
        at_once = 1 if role == "one-by-one" else clients_per_pass(own, space, data)
        if role == "floor":
            work = alone(work, at_once)
        literal = role in ("one-by-one", "floor")
        run = (own, space, data)
        trainer = OneByOne(*run) if literal else AllAtOnce(*run, at_once)
        told: dict[str, Any] = {"model": model, "role": role, "method": method}
        told |= {"trained": "".join(sorted(work.factors)), "clients": clients, "local_batch": batch}
        return told | {"clients_at_once": at_once, **timed(trainer, server, work, repeats)}

    for clients in (1, 4) if quick else CLIENTS:
        for batch in (4,) if quick else BATCHES:
            for role in ("all-at-once", "one-by-one", "floor"):
                # Both factors train: the dearest case, and the floor's.
                yield cell(role, "fedavg", clients, batch)
    for name in ("fedavg", "ffa", "rolora"):
        for round in (1, 2):
            yield cell("method", name, 4 if quick else 8, 8, round)


def main() -> int:
    """Measure and write; 2 without a CUDA device (unless --cpu)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--model", action="append", help="name or folder; both large ones if not given"
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few cells")
    parser.add_argument("--cpu", action="store_true", help="try the script out without a GPU")
    chosen = parser.parse_args()
    if not torch.cuda.is_available() and not chosen.cpu:
        said = "Error: no CUDA device; --cpu --model tiny --quick tries the script out"
        print(said, file=sys.stderr)
        return 2
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    device: Device = "cpu" if chosen.cpu else "cuda"
    facts = environment() | device_facts(device)
    records: list[dict[str, Any]] = []
    try:
        for model in chosen.model or ["roberta-large", "llama-2-7b"]:
            for record in measure(model, device, chosen.quick, chosen.repeats):
                print(json.dumps(record), flush=True)
                records.append(record)
                report = {"schema": 2, "environment": facts, "steps": STEPS, "length": LENGTH}
                report["records"] = records
                files.write(chosen.out, json_text(report, by_name=True))
            gc.collect()
    except ValueError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


def device_facts(device: str) -> dict[str, Any]:
    """Device, driver and versions."""
    from importlib.metadata import version

    facts: dict[str, Any] = {name: version(name) for name in ("torch", "transformers", "peft")}
    facts["cuda"] = torch.version.cuda
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts |= {"device": properties.name, "device_memory_bytes": properties.total_memory}
        path = Path("/proc/driver/nvidia/version")
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [None]
        facts["driver"] = lines[0]
    return facts


if __name__ == "__main__":
    sys.exit(main())

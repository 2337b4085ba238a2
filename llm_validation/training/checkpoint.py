"""Stopping after any round and going on bit for bit.

A checkpoint holds everything a next round depends on: both factors of every layer, heads, optimiser state,
visit counts (the samplers' places), the round, and the seed all random streams are drawn from. Tensors are
in safetensors; `state.json` holds the rest, with the hash of the tensor file.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from federated_lora import Adapter
from llm_validation.config import Config
from llm_validation.training.server import Head, OptimiserState, Server
from verification.files import staged

SCHEMA = 1
KEPT = 2
"""Checkpoints kept, so that a good one remains if the newest is damaged."""
_NAME = re.compile(r"round-(\d{6})")
_KEYS = ("schema", "fingerprint", "round", "visits", "scales", "rows", "facts", "sha256")
_TENSORS, _STATE = "tensors.safetensors", "state.json"


def save(
    folder: Path,
    config: Config,
    server: Server,
    rows: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> Path:
    """Write the checkpoint of a completed round and drop the oldest ones.

    Args:
        folder: the run's checkpoint folder.
        config: the run.
        server: the state after the round.
        rows: the metrics so far.
        facts: what a resumed run must take over (clients per pass, say).

    Returns:
        The checkpoint's folder.

    Raises:
        ValueError: if it cannot be written.
    """
    tensors = _flat(server)
    state = {
        "schema": SCHEMA,
        "fingerprint": config.fingerprint,
        "seed": config.seed,
        "round": server.round,
        "visits": {str(k): v for k, v in server.visits.items()},
        "scales": {layer: adapter.scale for layer, adapter in server.adapters.items()},
        "rows": list(rows),
        "facts": dict(facts),
    }

    path = folder / f"round-{server.round:06d}"
    with staged(path) as place:
        place.mkdir()
        save_file(tensors, place / _TENSORS)
        state["sha256"] = _sha256(place / _TENSORS)
        (place / _STATE).write_text(json.dumps(state, allow_nan=False), encoding="utf-8")

    # What a killed process was writing goes too.
    for old in (*_found(folder)[KEPT:], *folder.glob(".round-*.tmp")):
        shutil.rmtree(old, ignore_errors=True)
    return path


def load(
    folder: Path, config: Config, data: str | None = None
) -> tuple[Server, list[dict[str, Any]], dict[str, Any]] | None:
    """The newest sound checkpoint of a run: state, metrics and facts; None if there is none at all.

    Args:
        folder: the run's checkpoint folder.
        config: the run.
        data: digest of its examples, which must be the recorded one; None to take any.

    Raises:
        ValueError: if a checkpoint belongs to another configuration or other data, or all of them are
            damaged.
    """
    damage = []
    for path in _found(folder):
        try:
            return _read(path, config, data)
        except (OSError, SafetensorError, KeyError, _DamagedError) as error:
            damage.append(f"{path} ({error})")
    if damage:
        raise ValueError(f"every checkpoint is damaged: {'; '.join(damage)}")
    return None


def forget(folder: Path) -> None:
    """Remove the checkpoints of an earlier run: a run that does not resume starts from nothing."""
    for path in _found(folder):
        shutil.rmtree(path)


class _DamagedError(Exception):
    pass


def _read(
    path: Path, config: Config, data: str | None
) -> tuple[Server, list[dict[str, Any]], dict[str, Any]]:
    try:
        state = json.loads((path / _STATE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise _DamagedError(f"{_STATE} is no JSON") from error
    lacking = [key for key in _KEYS if not isinstance(state, dict) or key not in state]
    if lacking:
        raise _DamagedError(f"{_STATE} lacks {', '.join(lacking)}")
    if state["schema"] != SCHEMA:
        raise ValueError(
            f"checkpoint {path} has schema {state['schema']}, this version reads {SCHEMA}"
        )
    if state["fingerprint"] != config.fingerprint:
        raise ValueError(
            f"checkpoint {path} belongs to another configuration ({state['fingerprint']}, this run is"
            f" {config.fingerprint}): choose another output folder or the run's own options"
        )
    recorded = state["facts"].get("data_digest")
    if data is not None and recorded != data:
        raise ValueError(
            f"checkpoint {path} belongs to other data ({recorded}, this run's is {data}): give the data it"
            " was made from, or choose another output folder"
        )
    if _sha256(path / _TENSORS) != state["sha256"]:
        raise _DamagedError("its tensor file is truncated or corrupt")
    tensors = load_file(path / _TENSORS)
    adapters = {
        layer: Adapter(tensors[f"server/A/{layer}"], tensors[f"server/B/{layer}"], scale)
        for layer, scale in state["scales"].items()
    }
    head: Head = {}
    heads: dict[int, Head] = {}
    states: dict[int, OptimiserState] = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition("/")
        if kind == "head":
            head[rest] = value
        elif kind == "local":
            client, _, name = rest.partition("/")
            heads.setdefault(int(client), {})[name] = value
        elif kind == "optimiser":
            client, name, slot = rest.split("/")
            states.setdefault(int(client), {}).setdefault(name, {})[slot] = value
    visits = {int(k): int(v) for k, v in state["visits"].items()}
    server = Server(adapters, head, heads, states, visits, int(state["round"]))
    return server, state["rows"], state["facts"]


def _flat(server: Server) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for layer, adapter in server.adapters.items():
        tensors[f"server/A/{layer}"] = adapter.A
        tensors[f"server/B/{layer}"] = adapter.B
    tensors.update({f"head/{name}": value for name, value in server.head.items()})
    for client, head in server.heads.items():
        tensors.update({f"local/{client}/{name}": value for name, value in head.items()})
    for client, state in server.states.items():
        for name, slots in state.items():
            tensors.update({f"optimiser/{client}/{name}/{s}": v for s, v in slots.items()})
    # Copies: safetensors refuses tensors that share storage, and stacks are shared.
    return {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in tensors.items()
    }


def _found(folder: Path) -> list[Path]:
    """Checkpoints, newest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), reverse=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

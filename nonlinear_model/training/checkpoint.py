"""A run's state on disk: one safetensors file, replaced whole, with the one before it kept.

No random state is stored, because none exists: every draw is a function of the seed and the round.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nonlinear_model.configuration import Configuration

CURRENT = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
FORMAT = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a stopped run needs to go on.

    Attributes:
        round: rounds finished.
        rows: the record so far.
        tensors: as `Federation.tensors` gave them.
        warning: a sentence if the newest file was unusable and the one before it was taken, else "".
    """

    round: int
    rows: list[dict[str, Any]]
    tensors: dict[str, Tensor]
    warning: str = ""


def write(folder: Path, config: Configuration, state: Checkpoint) -> Path:
    """Write a checkpoint; the last one becomes the previous one, and no moment is without a good one.

    Raises:
        OSError: if the folder cannot be written; nothing is lost then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    body = {"round": state.round, "rows": state.rows, "configuration": config.as_dict()}
    text = json.dumps(body)
    metadata = {"format": str(FORMAT), "state": text, "sha256": _checksum(state.tensors, text)}
    temporary = folder / (CURRENT + ".partial")
    try:
        with open(temporary, "wb") as file:
            file.write(save(state.tensors, metadata=metadata))
            file.flush()
            os.fsync(file.fileno())
        if (folder / CURRENT).exists():
            os.replace(folder / CURRENT, folder / PREVIOUS)
        os.replace(temporary, folder / CURRENT)
    finally:
        temporary.unlink(missing_ok=True)
    return folder / CURRENT


def read(folder: Path, config: Configuration) -> Checkpoint | None:
    """The newest good checkpoint of this configuration, or None if there is none at all.

    Raises:
        ValueError: if it belongs to another configuration (the first difference is named), or if every
            file there is corrupt.
    """
    troubles = []
    for name in (CURRENT, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            tensors, body = _load(path)
        except ValueError as error:
            troubles.append(str(error))
            continue
        _require_same(body["configuration"], config, path)
        warning = f"{troubles[0]}; went on from the one before it" if troubles else ""
        return Checkpoint(int(body["round"]), body["rows"], tensors, warning)
    if troubles:
        raise ValueError(f"{'; '.join(troubles)}; delete {folder} to start anew")
    return None


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"checkpoint {path.name} is corrupt: {error}") from error
    text = metadata.get("state", "")
    if metadata.get("sha256") != _checksum(tensors, text):
        raise ValueError(f"checkpoint {path.name} is corrupt: its checksum does not match")
    return tensors, json.loads(text)


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _require_same(saved: dict[str, Any], config: Configuration, path: Path) -> None:
    now = json.loads(json.dumps(config.as_dict()))
    for name in sorted(set(now) | set(saved)):
        if now.get(name) != saved.get(name):
            raise ValueError(
                f"{path.name} belongs to another run: its {name} is {saved.get(name)!r}, this run's is"
                f" {now.get(name)!r}; choose another folder, or the same settings"
            )

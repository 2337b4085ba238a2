"""Stopping after any round and going on bit for bit: a run's state on disk, whole or not at all.

A checkpoint is a folder `round-000012` with `tensors.safetensors` and `state.json`: what a next round
depends on, the record so far, and the settings of the run it belongs to. No random state is stored, because
none exists: every draw is a function of the seed and the round. The newest two are kept, so that a sound one
remains if the newest is damaged.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verification.discovery import extras_named

with extras_named():
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file
    from torch import Tensor

from verification.files import remove, staged

FORMAT = 2
"""1 was each laboratory's own layout."""
KEPT = 2
TENSORS, STATE = "tensors.safetensors", "state.json"
_NAME = re.compile(r"round-\d{6}")
_FORMERLY = "checkpoint*.safetensors"
"""Files of the nonlinear laboratory's layout before format 2."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a stopped run needs to go on.

    Attributes:
        round: rounds finished.
        tensors: by name, on any device; read back on the CPU.
        rows: the record so far, plain values; floats come back exactly, NaN included.
        values: anything else, plain values.
        warning: a sentence if a newer checkpoint was damaged and passed over, else "".
    """

    round: int
    tensors: Mapping[str, Tensor]
    rows: Sequence[Mapping[str, Any]]
    values: Mapping[str, Any] = field(default_factory=dict)
    warning: str = ""


def write(folder: Path, run: Mapping[str, Any], state: Checkpoint) -> Path:
    """Write a checkpoint and drop the oldest ones; no moment is without a sound one.

    `run` is everything that decides the outcome, by name, plain values: `read` refuses any other. Raises
    ValueError if it cannot be written; what was there stays.
    """
    body = {
        "format": FORMAT,
        "run": dict(run),
        "round": state.round,
        "rows": list(state.rows),
        "values": dict(state.values),
    }
    # Copies: safetensors refuses tensors that share storage, and stacks are shared.
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in state.tensors.items()
    }
    path = folder / f"round-{state.round:06d}"
    with staged(path) as place:
        place.mkdir()
        save_file(tensors, place / TENSORS)
        body["sha256"] = _checksum(place / TENSORS, body)
        (place / STATE).write_text(json.dumps(body), encoding="utf-8")
    # What a killed process was writing goes too.
    for old in (*_found(folder)[KEPT:], *folder.glob(".round-*")):
        remove(old)
    return path


def read(folder: Path, run: Mapping[str, Any]) -> Checkpoint | None:
    """The newest sound checkpoint of a run; None if there is none at all.

    Raises ValueError if the checkpoint belongs to another run (the first difference is named) or was
    written in another format, or if all of them are damaged.
    """
    damage: list[str] = []
    now = json.loads(json.dumps(dict(run)))
    for path in _found(folder):
        try:
            body, tensors = _load(path)
        except _DamagedError as error:
            damage.append(f"checkpoint {path} is damaged: {error}")
            continue
        saved = body["run"]
        for name in sorted({*now, *saved}):
            if now.get(name) != saved.get(name):
                raise ValueError(
                    f"checkpoint {path} belongs to another run: its {name} is {saved.get(name)!r}, this"
                    f" run's is {now.get(name)!r}; choose another folder, or what it was made from"
                )
        warning = f"{'; '.join(damage)}; went on from {path.name}" if damage else ""
        return Checkpoint(body["round"], tensors, body["rows"], body["values"], warning)
    if damage:
        raise ValueError(f"{'; '.join(damage)}; delete {folder} to start anew")
    if any(folder.glob(_FORMERLY)):
        raise _other_format(folder, 1)
    return None


def forget(folder: Path) -> None:
    """Remove the checkpoints of an earlier run: a run that does not resume starts from nothing."""
    for path in (*_found(folder), *folder.glob(_FORMERLY)):
        remove(path)


class _DamagedError(Exception):
    pass


def _load(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        body = json.loads((path / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _DamagedError(f"{STATE} is no JSON ({error})") from error
    if not isinstance(body, dict) or not {"format", "schema"} & body.keys():
        raise _DamagedError(f"{STATE} lacks its format")
    if body.get("format") != FORMAT:
        raise _other_format(path, body.get("format", body.get("schema")))
    try:
        if body.pop("sha256", None) != _checksum(path / TENSORS, body):
            raise _DamagedError("truncated or corrupt, its checksum does not match")
        return body, load_file(path / TENSORS)
    except (OSError, SafetensorError) as error:
        raise _DamagedError(f"{TENSORS} cannot be read ({error})") from error


def _other_format(path: Path, found: object) -> ValueError:
    return ValueError(
        f"checkpoint {path} has format {found}, this version reads {FORMAT}: finish that run with the"
        " version that began it, or choose another folder and start anew"
    )


def _checksum(tensors: Path, body: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(body).encode())
    with tensors.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _found(folder: Path) -> list[Path]:
    """Checkpoints, newest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), reverse=True)

"""What travels: named arrays as Flower's records, in no more columns than a client's rank has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from verification.discovery import extras_named

with extras_named():
    import torch
    from flwr.app import Array, ArrayRecord
    from torch import Tensor
    from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Order:
    """What one client is asked in a round.

    Attributes:
        client: its number.
        held: everything it begins with, by name; what it holds already does not travel.
        once: what is for this round alone, by name.
        told: plain values.
        trains: names of the arrays it is to send, in the shape of what it begins with.
        rank: its LoRA rank, where that is not the server's; 0 for the same.
    """

    client: int
    held: Mapping[str, Tensor]
    trains: frozenset[str]
    once: Mapping[str, Tensor] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    rank: int = 0


@dataclass(frozen=True, eq=False)
class Answer:
    """What comes back from a client.

    Attributes:
        sent: what the method sends, by name.
        kept: what stays with the client, by name: personal factors, a local head, its optimiser's state.
            The server gets a copy for its record and its checkpoints, and never sends it to anybody else.
        told: plain values.
    """

    sent: Mapping[str, Tensor]
    kept: Mapping[str, Tensor]
    told: Mapping[str, Any]

    @property
    def arrays(self) -> dict[str, Tensor]:
        """All of them."""
        return {**self.sent, **self.kept}


class Hosted(Protocol):
    """The clients of one machine: how a laboratory trains them."""

    rank: int
    """The server's LoRA rank."""

    def facts(self) -> Mapping[str, Any]:
        """What must be alike on all machines, plain values by name."""

    def start(self, client: int) -> Mapping[str, Tensor]:
        """What a client holds before the first round."""

    def train(self, round: int, order: Order) -> Answer:
        """A client's part of a round; the order's `trains` and `rank` are the sender's affair."""


def _axis(name: str) -> int | None:
    """The axis of a factor that counts its rank; None for anything else."""
    if "/" in name:
        return None
    return {".lora_A": -1, ".lora_B": -2}.get(name[-7:])


def packed(tensors: Mapping[str, Tensor], rank: int = 0) -> ArrayRecord:
    """As a record; of factors the first `rank` columns and rows, all of them if 0."""
    found = {}
    for name, value in tensors.items():
        axis = _axis(name) if rank else None
        part = value if axis is None else value.narrow(axis, 0, rank)
        found[name] = Array(_values(part))
    return ArrayRecord(found)


def unpacked(record: Mapping[str, Any], rank: int = 0) -> dict[str, Tensor]:
    """Back from a record; factors of fewer columns and rows than `rank` are filled up with zeros."""
    found = {}
    for name, array in record.items():
        value = torch.from_numpy(array.numpy().copy())
        axis = _axis(name) if rank else None
        if axis is not None and (lack := rank - value.shape[axis]) > 0:
            value = functional.pad(value, (0, lack) if axis == -1 else (0, 0, 0, lack))
        found[name] = value
    return found


def digest(tensor: Tensor) -> str:
    """Equal for equal arrays, bit by bit."""
    value = _values(tensor)
    head = f"{value.dtype.str}{value.shape}".encode()
    return hashlib.sha256(head + value.tobytes()).hexdigest()[:32]


def digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """By name."""
    return {name: digest(value) for name, value in tensors.items()}


def together(marks: Mapping[str, str]) -> str:
    """One digest of several."""
    return hashlib.sha256(repr(sorted(marks.items())).encode()).hexdigest()[:32]


def _values(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().numpy(), order="C")  # a scalar stays one

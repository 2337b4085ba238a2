"""What a run needs in memory and in work, before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch

from federation.participants import how_many
from llm_validation.base.encoding import Batch, Encoded, collate
from llm_validation.config import Config
from llm_validation.training.losses import client_losses

if TYPE_CHECKING:
    from llm_validation.base.models import Workspace

MARGIN = 0.65
"""Share of the free memory that a run may plan with: allocators hold on to what they freed, glibc's up to
1.43 times the estimate where we measured it (MiniLM, 8 to 24 clients)."""
PASSING = 4
"""Passing tensors, in units of the largest kept one: a gradient coming in, one going out, two on the way."""
_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class ClientMemory:
    """Bytes that one more client in a pass costs.

    Attributes:
        adapter: its factors and head in training, their gradients included.
        optimiser: its optimiser state.
        activations: tensors kept for the backward pass, and the logits.
        passing: gradients of activations and other tensors that come and go.
    """

    adapter: int
    optimiser: int
    activations: int
    passing: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.adapter + self.optimiser + self.activations + self.passing


CONTROL_GROUP = Path("/sys/fs/cgroup")
_CONTROL_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
"""Limit, use, and the part of it that gives way (cached files), in version 2 and 1 of Linux's groups."""


def free_bytes(device: torch.device) -> int:
    """Free memory of the device, in bytes; in a container, what its limit leaves if that is less."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(min([psutil.virtual_memory().available, *_left_by_control_group()]))


def _left_by_control_group() -> Iterator[int]:
    for limit, used, stat, cached in _CONTROL_FILES:
        try:
            most = int((CONTROL_GROUP / limit).read_text())
            lines = (CONTROL_GROUP / stat).read_text().splitlines()
            held = int((CONTROL_GROUP / used).read_text())
        except (OSError, ValueError):
            continue  # no such group, or no limit ("max")
        gives_way = sum(int(line.split()[1]) for line in lines if line.split()[:1] == [cached])
        yield max(0, most - held + gives_way)


def require_base_fits(config: Config, device: torch.device, numbers: int) -> None:
    """Check that the frozen base fits the free memory.

    Args:
        config: the run.
        device: where the base will be.
        numbers: parameters of the base.

    Raises:
        ValueError: naming the options that help.
    """
    each = 0.6 if config.quantisation == "4bit" else _BYTES[config.dtype]
    need, free = int(numbers * each), free_bytes(device)
    if need > free:
        raise ValueError(
            f"the base model needs {gib(need)} in {config.dtype}, {gib(free)} are free: use dtype = bfloat16,"
            " quantisation = 4bit, or a smaller model"
        )


def client_memory(config: Config, space: Workspace, data: Encoded) -> ClientMemory:
    """Measure one client's share of a pass: a forward pass on its longest possible minibatch.

    Both factors train in the probe, so the answer is an upper bound for the alternating methods.
    """
    size = min(config.batch_size, len(data))
    order = np.argsort(data.lengths, kind="stable")
    # Any example can meet the longest one, and is then padded to its length. One short row makes the
    # model build its attention mask, which it leaves out where nothing is padded.
    rows = np.full(size, order[-1])
    rows[size // 2 :] = order[0] if size > 1 else order[-1]
    rows[size // 2 + 1 :] = order[-1]
    batch = collate(data, [rows], space.pad_id, space.device)
    numbers = sum(
        sum(bank.numel() for bank in (layer.lora_A[name].weight, layer.lora_B[name].weight))
        for layer in space.layers.values()
        for name in layer.lora_A
    )
    if config.head != "frozen":
        numbers += sum(parameter.numel() for parameter in space.head.values())
    each = max(4, _BYTES[config.dtype])
    moments = 2 if config.optimiser == "adamw" else 1 if config.momentum else 0
    kept = kept_tensors(space, batch)
    return ClientMemory(
        numbers * each * 2, numbers * each * moments, sum(kept), PASSING * max(kept, default=0)
    )


def kept_tensors(space: Workspace, batch: Batch) -> list[int]:
    """Sizes in bytes of what autograd keeps between forward and backward, parameters not counted."""
    own = {p.untyped_storage().data_ptr() for p in space.base.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    trained = [
        bank[name].weight
        for layer in space.layers.values()
        for bank in (layer.lora_A, layer.lora_B)
        for name in bank
    ]
    for parameter in trained:
        parameter.requires_grad_(True)
    training = space.model.training
    space.model.train()
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = client_losses(space.logits(batch), batch).sum()
        del loss
    finally:
        space.model.train(training)
        for parameter in trained:
            parameter.requires_grad_(False)
    return list(seen.values())


def clients_that_fit(config: Config, space: Workspace, data: Encoded) -> int:
    """Clients per pass: the configuration's, or as many as fit the free memory and take part.

    Raises:
        ValueError: if not even one client fits, or not as many as asked for; the message names the option
            that helps.
    """
    need = client_memory(config, space, data)
    free = free_bytes(space.device)
    count = int(free * MARGIN // need.total)
    if count < 1:
        raise ValueError(
            f"one client needs {gib(need.total)} of activations and optimiser state, {gib(free)} are free:"
            " lower batch_size or max_length, or set gradient_checkpointing"
        )
    if config.engine == "one-by-one":
        return 1
    asked = min(config.clients_at_once, config.clients)
    if asked > count:
        raise ValueError(
            f"clients_at_once = {asked} needs {gib(asked * need.total)}, {gib(free)} are free: at most"
            f" {count} fit; 0 chooses by itself"
        )
    return asked or min(count, how_many(config.clients, config.participation))


def gib(count: float) -> str:
    """Bytes as text."""
    return f"{count / 2**30:.2f} GiB"

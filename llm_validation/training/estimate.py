"""What a run needs in memory and in work, before it starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from federation.participants import how_many
from llm_validation.base import memory
from llm_validation.base.encoding import Batch, Encoded, collate
from llm_validation.base.memory import BYTES, gib
from llm_validation.base.models import Workspace
from llm_validation.config import Config
from llm_validation.layers.dropout import Pass
from llm_validation.layers.losses import client_losses

MARGIN = 0.65
"""Share of the free memory that a run may plan with: allocators hold on to what they freed, glibc's up to
1.43 times the estimate where we measured it (MiniLM, 8 to 24 clients)."""
PASSING = 4
"""Passing tensors, in units of the largest kept one: a gradient coming in, one going out, two on the way."""


@dataclass(frozen=True, slots=True)
class ClientMemory:
    """Bytes that one more client in a pass costs.

    Attributes:
        adapter: its factors and head in training, their gradients included.
        optimiser: its optimiser state.
        activations: tensors kept for the backward pass, dropout's masks among them, and the logits.
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
    numbers = sum(factor.numel() for factor in _factors(space))
    if config.head != "frozen":
        numbers += sum(parameter.numel() for parameter in space.head.values())
    each = max(4, BYTES[config.dtype])
    moments = 2 if config.optimiser == "adamw" else 1 if config.momentum else 0
    kept, drawn = kept_tensors(space, batch)
    passing = PASSING * max(kept, default=0)
    activations = sum(kept) + drawn
    return ClientMemory(numbers * each * 2, numbers * each * moments, activations, passing)


def _factors(space: Workspace) -> list[torch.Tensor]:
    banks = [bank for layer in space.layers.values() for bank in (layer.lora_A, layer.lora_B)]
    return [bank[name].weight for bank in banks for name in bank]


@contextmanager
def saved_tensors(space: Workspace) -> Iterator[dict[int, int]]:
    """Bytes by address of what autograd keeps inside, the base's parameters not counted."""
    own = {p.untyped_storage().data_ptr() for p in space.base.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield seen


def kept_tensors(space: Workspace, batch: Batch) -> tuple[list[int], int]:
    """Sizes in bytes of what autograd keeps between forward and backward, and of dropout's masks.

    Parameters are not counted.
    """
    trained = _factors(space)
    for parameter in trained:
        parameter.requires_grad_(True)
    training = space.model.training
    space.model.train()
    space.holder.now = now = Pass(batch, (0,) * batch.clients)
    try:
        with saved_tensors(space) as seen:
            loss = client_losses(space.logits(batch), batch).sum()
        del loss
    finally:
        space.holder.now = None
        space.model.train(training)
        for parameter in trained:
            parameter.requires_grad_(False)
    masks = {mask.untyped_storage().data_ptr(): mask.nbytes for mask in now.masks.values()}
    return [size for place, size in seen.items() if place not in masks], sum(masks.values())


def clients_that_fit(
    config: Config, space: Workspace, data: Encoded, clients: int | None = None
) -> int:
    """Clients per pass: the configuration's, or as many as fit the free memory and take part.

    Of several runs side by side, `clients` take part in all.

    Raises ValueError if not even one client fits, or not as many as asked for; the message names the option
    that helps.
    """
    need = client_memory(config, space, data)
    free = memory.free_bytes(space.device)
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
    return asked or min(count, clients or how_many(config.clients, config.participation))

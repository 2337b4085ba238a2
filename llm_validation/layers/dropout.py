"""Dropout whose mask is a function of (seed, round, client, step, layer), whatever else shares the pass."""

from dataclasses import dataclass

import torch
from torch import nn

from llm_validation.base.encoding import Batch

_LAYER_STRIDE = 0x9E3779B97F4A7C15
"""Odd, so that distinct layers get distinct seeds."""


@dataclass(slots=True)
class Pass:
    """What the layers must know of the forward pass under way: a dropout seed per client, None for none."""

    batch: Batch
    seeds: tuple[int, ...] | None = None


class PassHolder:
    """The place where an engine announces the pass and the layers look it up."""

    def __init__(self) -> None:
        self.now: Pass | None = None


class ClientDropout(nn.Module):
    """Inverted dropout that draws each client's mask from the client's own stream.

    The mask has the shape of the client's own examples before padding, so it depends neither on the
    other clients of the pass nor on the engine. A recomputed forward pass draws the same mask.
    """

    def __init__(self, p: float, layer: int, holder: PassHolder) -> None:
        super().__init__()
        self.p = p
        self.layer = layer
        self.holder = holder

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop entries of x, shape (clients · rows, length, d), in training mode."""
        now = self.holder.now
        if not self.training or self.p == 0.0 or now is None or now.seeds is None:
            return x
        return x * self.mask(x, now.batch, now.seeds)

    def mask(self, x: torch.Tensor, batch: Batch, seeds: tuple[int, ...]) -> torch.Tensor:
        """The scaled mask for a pass; padding gets 0."""
        length, width = batch.inputs["input_ids"].shape[1], x.shape[-1]
        rows = max(batch.sizes)
        mask = torch.zeros((batch.clients, rows, length, width), dtype=x.dtype, device=x.device)
        draw = torch.Generator(device=x.device)
        for client, seed in enumerate(seeds):
            draw.manual_seed((seed + (self.layer + 1) * _LAYER_STRIDE) % (1 << 63))
            own = batch.lengths[client]
            part = slice(length - own, length) if batch.left else slice(0, own)
            kept = torch.rand(
                (batch.sizes[client], own, width), generator=draw, device=x.device
            ).ge_(self.p)
            mask[client, : batch.sizes[client], part] = kept.to(x.dtype) / (1.0 - self.p)
        return mask.reshape(x.shape)

"""Dropout whose masks are a function of (seed, round, client, step), whatever else shares the pass."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from llm_validation.base.encoding import Batch

_STRIDE = 0x9E3779B97F4A7C15
"""Odd, so that layers of distinct widths get distinct seeds."""
LEVELS = 1 << 16
"""Values a draw can take: rates are rounded to this grid, and kept entries scaled by the rounded one."""


@dataclass(slots=True)
class Pass:
    """What the layers must know of the forward pass under way.

    Attributes:
        seeds: a dropout seed per client, None for none.
        masks: of all layers of a width, (layers, clients · rows, length, width), drawn when first asked for.
        cast: the tensor cast last, and what it was cast to.
    """

    batch: Batch
    seeds: tuple[int, ...] | None = None
    masks: dict[int, torch.Tensor] = field(default_factory=dict)
    cast: tuple[torch.Tensor, torch.Tensor] | None = None


class PassHolder:
    """The place where an engine announces the pass and the layers look it up."""

    def __init__(self) -> None:
        self.now: Pass | None = None
        self.widths: Counter[int] = Counter()

    @property
    def clients(self) -> int:
        """Clients in the pass under way."""
        assert self.now is not None
        return self.now.batch.clients

    def place(self, width: int) -> int:
        """The number of one more layer among those of its width."""
        self.widths[width] += 1
        return self.widths[width] - 1

    def mask(self, width: int, place: int, p: float, device: torch.device) -> torch.Tensor:
        """Which entries a layer keeps in the pass under way: bool, (clients · rows, length, width)."""
        now = self.now
        assert now is not None
        assert now.seeds is not None
        if width not in now.masks:
            now.masks[width] = drawn(now.batch, now.seeds, self.widths[width], width, p, device)
        return now.masks[width][place]

    def draw(self, now: Pass, p: float, into: Mapping[int, torch.Tensor] | None = None) -> None:
        """All masks of a pass before it begins, into these if given."""
        device = now.batch.labels.device
        if now.seeds is None:
            return
        for width, layers in self.widths.items():
            place = None if into is None else into[width]
            now.masks[width] = drawn(now.batch, now.seeds, layers, width, p, device, place)

    def cast(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The tensor in another precision; layers that are given one and the same share the cast."""
        if x.dtype == dtype:
            return x
        now = self.now
        if now is None:
            return x.to(dtype)
        if now.cast is None or now.cast[0] is not x or now.cast[1].dtype != dtype:
            now.cast = (x, x.to(dtype))
        return now.cast[1]


class ClientDropout(nn.Module):
    """Inverted dropout that draws each client's mask from the client's own stream.

    The draws have the shape of the client's own examples before padding, so they depend neither on the
    other clients of the pass nor on the engine. One draw serves all layers of a width, each of which has
    its own part of it. A recomputed forward pass takes the same mask.
    """

    def __init__(self, p: float, width: int, holder: PassHolder) -> None:
        super().__init__()
        self.p = p
        self.width = width
        self.holder = holder
        self.place = holder.place(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop entries of x, shape (clients · rows, length, d), or (clients · rows, d) of the first token."""
        now = self.holder.now
        if not self.training or self.p == 0.0 or now is None or now.seeds is None:
            return x
        mask = self.holder.mask(self.width, self.place, self.p, x.device)
        dropped: torch.Tensor = _Dropped.apply(  # type: ignore[no-untyped-call]
            x, mask if x.ndim == mask.ndim else mask[:, 0], scale_of(self.p)
        )
        return dropped


class _Dropped(torch.autograd.Function):
    """x · mask · scale; only the mask is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        # What torch's own dropout calls in its backward pass: one kernel, with the mask as bool.
        return torch.ops.aten.native_dropout_backward(x, mask, scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return torch.ops.aten.native_dropout_backward(gradients[0], mask, ctx.scale), None, None


def dropped_levels(p: float) -> int:
    """How many of the `LEVELS` values drop an entry."""
    return min(LEVELS - 1, round(p * LEVELS))


def scale_of(p: float) -> float:
    """What kept entries are multiplied by, so that the mean stays."""
    return LEVELS / (LEVELS - dropped_levels(p))


def drawn(
    batch: Batch,
    seeds: Sequence[int],
    layers: int,
    width: int,
    p: float,
    device: torch.device,
    into: torch.Tensor | None = None,
) -> torch.Tensor:
    """Which entries `layers` layers of a width keep: bool, (layers, clients · rows, length, width).

    Padding is dropped. A client's draws fill (layers, its rows, its longest example, width) in this order.
    """
    length, rows = batch.inputs["input_ids"].shape[1], max(batch.sizes)
    shape = (layers, batch.clients, rows, length, width)
    padded = any(size < rows for size in batch.sizes) or any(own < length for own in batch.lengths)
    if into is None:
        into = torch.empty(shape, dtype=torch.bool, device=device)
    mask = into.view(shape)
    if padded:
        mask.zero_()
    least = dropped_levels(p) - LEVELS // 2
    source = torch.Generator(device=device)
    for client, seed in enumerate(seeds):
        source.manual_seed((seed + (width + 1) * _STRIDE) % (1 << 63))
        size, own = batch.sizes[client], batch.lengths[client]
        part = slice(length - own, length) if batch.left else slice(0, own)
        numbers = layers * size * own * width
        # Four 16-bit numbers a draw.
        bits = torch.empty(-(-numbers // 4), dtype=torch.int64, device=device)
        bits.random_(-(1 << 63), None, generator=source)
        values = bits.view(torch.int16)[:numbers].view(layers, size, own, width)
        torch.ge(values, least, out=mask[:, client, :size, part])
    return mask.flatten(1, 2)

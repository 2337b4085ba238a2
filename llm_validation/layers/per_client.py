"""Layers that hold one adapter or one head per client and run all clients in one pass."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from federated_lora import Factor
from federation.round import tensor_name
from llm_validation.layers.dropout import PassHolder


class StackedLoRA(nn.Module):
    """`x ↦ base(x) + s·drop(x)·A_k·B_k` for rows of client k.

    A factor of shape (d_in, r) or (r, d_out) is shared by all clients: it is frozen in this round, and
    since nothing asks for its gradient, none is computed and its input need not be kept.

    Attributes:
        A: (n, d_in, r), or (d_in, r) if shared.
        B: (n, r, d_out), or (r, d_out) if shared.
        holder: knows n; rows come client after client, equally many of each. It shares the cast of an
            input among the layers that get it.
    """

    A: torch.Tensor
    B: torch.Tensor

    def __init__(
        self, base: nn.Module, scale: float, dropout: nn.Module, holder: PassHolder
    ) -> None:
        super().__init__()
        self.base = base
        self.scale = scale
        self.dropout = dropout
        self.holder = holder

    def hold(self, layer: str, stacks: Mapping[str, torch.Tensor]) -> None:
        """Take up the factors of other clients, by tensor name; what is not named stays."""
        for factor in Factor:
            name = tensor_name(layer, factor)
            if name in stacks:
                setattr(self, factor, stacks[name])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of all clients, shape (n · rows, …, d_in)."""
        base = self.base(x)
        given = self.holder.cast(x, self.A.dtype)
        clients = self.holder.clients
        low = _times(self.dropout(given), self.A, clients)
        full = base.to(torch.promote_types(base.dtype, self.B.dtype))
        return _added(full, low, self.B, self.scale, clients).to(base.dtype)


class InBasePrecision(nn.Linear):
    """A factor of PEFT's that multiplies in the base's precision, its weight in its own."""

    def __init__(self, weight: nn.Parameter, dtype: torch.dtype) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias=False, device="meta")
        self.weight = weight
        self.products = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x·Wᵀ."""
        return nn.functional.linear(x.to(self.products), self.weight.to(self.products))


class StackedLinear(nn.Module):
    """A linear layer with weights per client: the classification head of each.

    The weight is (n, d_out, d_in), the bias (n, d_out) or None.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None

    def hold(self, layer: str, stacks: Mapping[str, torch.Tensor]) -> None:
        """Take up the weights of other clients, by tensor name."""
        self.weight = stacks[f"{layer}.weight"]
        self.bias = stacks.get(f"{layer}.bias")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of all clients, shape (n · rows, …, d_in)."""
        rows = x.to(self.weight.dtype).reshape(self.weight.shape[0], -1, x.shape[-1])
        out = torch.bmm(rows, self.weight.transpose(1, 2))
        if self.bias is not None:
            out = out + self.bias[:, None, :]
        return out.reshape(*x.shape[:-1], out.shape[-1])


@contextmanager
def installed(root: nn.Module, modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """The named submodules exchanged inside, put back after."""
    before = {}
    for name, module in modules.items():
        parent, child = _parent(root, name)
        before[name] = getattr(parent, child)
        setattr(parent, child, module)
        module.train(root.training)
    try:
        yield
    finally:
        for name, module in before.items():
            parent, child = _parent(root, name)
            setattr(parent, child, module)


def _times(x: torch.Tensor, factor: torch.Tensor, clients: int) -> torch.Tensor:
    """x·factor, by client or shared; the result has the shape (n, rows, …) or that of x."""
    if factor.ndim == 2:
        return x @ factor
    return torch.bmm(x.reshape(clients, -1, x.shape[-1]), factor)


def _added(
    base: torch.Tensor, low: torch.Tensor, B: torch.Tensor, scale: float, clients: int
) -> torch.Tensor:
    """Base + scale·low·B in one fused operation."""
    if B.ndim == 2:
        flat = base.reshape(-1, base.shape[-1])
        out = torch.addmm(flat, low.reshape(-1, low.shape[-1]), B, alpha=scale)
    else:
        stack = base.reshape(clients, -1, base.shape[-1])
        out = torch.baddbmm(stack, low.reshape(clients, -1, low.shape[-1]), B, alpha=scale)
    return out.reshape(base.shape)


def _parent(root: nn.Module, name: str) -> tuple[Any, str]:
    path, _, child = name.rpartition(".")
    return root.get_submodule(path), child

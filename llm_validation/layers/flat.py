"""Many tensors of many clients in one piece of memory, so that one operation moves them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Self

import torch
from torch import Tensor

from federation.optimisers import Optimiser, State


@dataclass(eq=False)
class Flat:
    """Tensors that step together, or rest together: a row of `values` for each client, tensor after tensor.

    Attributes:
        shapes: by name, a client's shape.
        values: what the optimiser moves, (n, numbers).
        working: what the model multiplies with: `values`, or their copy in a lower precision.
        trains: whether gradients are asked for.
        leaves: what the model holds now, by name: parts of `working`, of some clients or of all.
        chosen: those clients; None for all.
    """

    shapes: dict[str, torch.Size]
    values: Tensor
    working: Tensor
    trains: bool
    leaves: dict[str, Tensor] = field(default_factory=dict)
    chosen: Tensor | None = None

    @classmethod
    def of(
        cls,
        rows: Sequence[Mapping[str, Tensor]],
        device: torch.device,
        dtype: torch.dtype | None,
        *,
        trains: bool,
    ) -> Self:
        """Out of each client's tensors by name; the model multiplies in `dtype`, None for their own."""
        shapes = {name: value.shape for name, value in rows[0].items()}
        values = _matrix(rows, device)
        return cls(shapes, values, values if dtype is None else values.to(dtype), trains)

    def filled(self, rows: Sequence[Mapping[str, Tensor]]) -> Self:
        """The same with other values in the same memory."""
        self.values.copy_(_matrix(rows, self.values.device))
        self.moved()
        return self

    def views(self, matrix: Tensor) -> dict[str, Tensor]:
        """The parts of a matrix (n, numbers) by name, in the tensors' shapes."""
        sizes = [prod(shape) for shape in self.shapes.values()]
        parts = matrix.split(sizes, dim=1)
        return {
            name: part.view(len(matrix), *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def take(self, clients: Tensor | None) -> dict[str, Tensor]:
        """What the model is to hold for some clients, by name; None for all."""
        if clients is not None or self.chosen is not None or not self.leaves:
            self.chosen = clients
            held = self.working if clients is None else self.working[clients]
            self.leaves = {
                name: view.detach().requires_grad_(self.trains)
                for name, view in self.views(held).items()
            }
        return self.leaves

    def gradients(self) -> Tensor:
        """What the backward pass left, a row for each client held, zeros where nothing; then dropped."""
        found = []
        for leaf in self.leaves.values():
            held = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            found.append(held.reshape(len(leaf), -1))
            leaf.grad = None
        return torch.cat(found, dim=1).to(self.values.dtype)

    def moved(self) -> None:
        """Tell the model of what the optimiser did."""
        if self.working is not self.values:
            self.working.copy_(self.values)

    def state(
        self, optimiser: Optimiser, held: Sequence[Mapping[str, Mapping[str, Tensor]]]
    ) -> State:
        """The optimiser's state, taken up from each client's own if it has one; one count of steps."""
        made = optimiser.fresh(self.values, 1)
        views = {slot: self.views(value) for slot, value in made.items() if slot != "step"}
        for k, own in enumerate(held):
            for name in self.shapes.keys() & own.keys():
                for slot, value in own[name].items():
                    if slot == "step":
                        made[slot][k] = value
                    else:
                        views[slot][name][k] = value
        return made

    def kept(self, state: State, k: int) -> dict[str, dict[str, Tensor]]:
        """A client's part of the state, by name; copies."""
        found: dict[str, dict[str, Tensor]] = {name: {} for name in self.shapes}
        for slot, value in state.items():
            if slot == "step":
                for own in found.values():
                    own[slot] = value[k].clone()
                continue
            for name, view in self.views(value).items():
                found[name][slot] = view[k].clone()
        return found


def _matrix(rows: Sequence[Mapping[str, Tensor]], device: torch.device) -> Tensor:
    """A row for each client; those alike are one and the same mapping."""
    if all(row is rows[0] for row in rows):
        return _joined(rows[0], device).expand(len(rows), -1).contiguous()
    return torch.stack([_joined(row, device) for row in rows])


def _joined(row: Mapping[str, Tensor], device: torch.device) -> Tensor:
    return torch.cat([value.reshape(-1).to(device) for value in row.values()])

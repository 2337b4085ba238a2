"""Many tensors of many clients in one piece of memory, so that one operation moves them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Self

import torch
from torch import Tensor

from federation.optimisers import Optimiser, State


@dataclass(eq=False)
class Flat:
    """Tensors that step together: a row of `values` for each client, tensor after tensor.

    Attributes:
        shapes: by name, a client's shape.
        values: what the optimiser moves, (n, numbers).
        working: what the model multiplies with: `values`, or their copy in a lower precision.
        leaves: views of `working` by name, (n, …), which gradients are asked of.
    """

    shapes: dict[str, torch.Size]
    values: Tensor
    working: Tensor
    leaves: dict[str, Tensor]

    @classmethod
    def of(
        cls, rows: Sequence[Mapping[str, Tensor]], device: torch.device, dtype: torch.dtype | None
    ) -> Self:
        """Out of each client's tensors by name; the model multiplies in `dtype`, None for their own."""
        shapes = {name: value.shape for name, value in rows[0].items()}
        if all(row is rows[0] for row in rows):
            values = _joined(rows[0], device).expand(len(rows), -1).contiguous()
        else:
            values = torch.stack([_joined(row, device) for row in rows])
        working = values if dtype is None else values.to(dtype)
        made = cls(shapes, values, working, {})
        made.leaves = {
            name: view.detach().requires_grad_() for name, view in made.views(working).items()
        }
        return made

    def views(self, matrix: Tensor) -> dict[str, Tensor]:
        """The parts of a matrix (n, numbers) by name, in the tensors' shapes."""
        sizes = [prod(shape) for shape in self.shapes.values()]
        parts = matrix.split(sizes, dim=1)
        return {
            name: part.view(len(matrix), *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def gradients(self) -> Tensor:
        """What the backward pass left, (n, numbers), zeros where nothing; dropped from the leaves."""
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


def _joined(row: Mapping[str, Tensor], device: torch.device) -> Tensor:
    return torch.cat([value.reshape(-1).to(device) for value in row.values()])

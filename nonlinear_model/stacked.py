"""A round's local training of all clients (and all replicas) as one sequence of tensor operations."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from federated_lora import Factor
from nonlinear_model.network import gradients
from nonlinear_model.optimisers import Optimiser, State


@dataclass(eq=False)
class Server:
    """The server's model for R replicas.

    Attributes:
        A: (R, d, r). B: (R, r, hidden). head: (R, hidden, classes).
    """

    A: Tensor
    B: Tensor
    head: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """By name."""
        return {"A": self.A, "B": self.B, "head": self.head}


@dataclass(frozen=True, eq=False)
class Examples:
    """The training set on the device, shared by all clients.

    Attributes:
        x: (n, d). y: (n,), int64. base: x·W0, (n, hidden), or None without a base.
    """

    x: Tensor
    y: Tensor
    base: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Work:
    """What the participants of one round do.

    Attributes:
        batches: indices into the training set, (R, N, K, b) int64.
        steps: local steps of each participant, (R, N); None if all take K.
        train: names of the tensors that train: of `A`, `B`, `head`.
        rate: learning rate per replica, (R,).
        scale: s of the adapter.
        projection: x·A of the whole training set, (R, n, r), where A has stood still; None to compute what
            the batches need.
    """

    batches: Tensor
    steps: Tensor | None
    train: frozenset[str]
    rate: Tensor
    scale: float
    projection: Tensor | None = None


@dataclass(eq=False)
class Returned:
    """What came back from a round.

    Attributes:
        stacks: trained tensors by name, (R, N, …).
        loss: mean training loss of each participant's last batch, before its last step, (R, N).
        worst: largest batch loss of the round, NaN if any was NaN, (R, N).
        states: optimiser states by tensor name.
    """

    stacks: dict[str, Tensor]
    loss: Tensor
    worst: Tensor
    states: dict[str, State] = field(default_factory=dict)


def train(
    server: Server,
    examples: Examples,
    work: Work,
    optimiser: Optimiser,
    states: dict[str, State] | None = None,
) -> Returned:
    """K local steps of every participant from the server's model.

    Args:
        server: the broadcast model.
        examples: the training set.
        work: batches, what trains, learning rates.
        optimiser: the update rule.
        states: the participants' optimiser states by tensor name; None for fresh ones.

    Returns:
        The participants' trained tensors; tensors outside `work.train` are never touched.
    """
    R, N, K, b = work.batches.shape
    held = server.tensors()
    local = {
        name: held[name]
        .unsqueeze(1)
        .expand(-1, N, -1, -1)
        .clone(memory_format=torch.contiguous_format)
        if name in work.train
        else held[name]
        for name in held
    }
    if states is None:
        states = {name: optimiser.fresh(local[name]) for name in sorted(work.train)}
    rate = work.rate.view(R, 1, 1, 1)
    want_A, want_B = Factor.A in work.train, Factor.B in work.train
    projected = None if want_A else _project(server.A, examples, work)
    loss = worst = torch.zeros(())
    for k in range(K):
        rows = work.batches[:, :, k]
        flat = rows.reshape(-1)
        x = examples.x.index_select(0, flat).view(R, N, b, -1) if projected is None else examples.x
        base = examples.base
        found = gradients(
            x,
            examples.y.index_select(0, flat).view(R, N, b),
            local["A"],
            local["B"],
            local["head"],
            work.scale,
            base=None if base is None else base.index_select(0, flat).view(R, N, b, -1),
            projected=None if projected is None else projected[:, :, k],
            want_A=want_A,
            want_B=want_B,
            want_head="head" in work.train,
        )
        still = None if work.steps is None else (k < work.steps)
        for name, gradient in (("A", found.A), ("B", found.B), ("head", found.head)):
            if gradient is None:
                continue
            if still is None:
                optimiser.step(local[name], gradient, states[name], rate)
            else:
                local[name] = _step_some(
                    optimiser, local[name], gradient, states[name], rate, still
                )
        if still is None or k == 0:
            loss = found.loss
            worst = found.loss if k == 0 else torch.maximum(worst, found.loss)
        else:
            loss = torch.where(still, found.loss, loss)
            worst = torch.where(still, torch.maximum(worst, found.loss), worst)
    return Returned({name: local[name] for name in sorted(work.train)}, loss, worst, states)


def project(A: Tensor, examples: Examples) -> Tensor:
    """x·A of every training image for every replica, (R, n, r)."""
    return torch.matmul(examples.x, A)


def _project(A: Tensor, examples: Examples, work: Work) -> Tensor:
    """x·A of every batch of the round at once, (R, N, K, b, r): A does not move in this round."""
    R, N, K, b = work.batches.shape
    r = A.shape[-1]
    whole = work.projection
    if whole is None and N * K * b >= examples.x.shape[0]:
        whole = project(A, examples)  # cheaper once for every image than for every draw
    if whole is not None:
        picks = work.batches.reshape(R, -1)
        return torch.stack([whole[j].index_select(0, picks[j]) for j in range(R)]).view(
            R, N, K, b, r
        )
    per_step = []
    for k in range(K):
        rows = work.batches[:, :, k].reshape(-1)
        per_step.append(torch.bmm(examples.x.index_select(0, rows).view(R, N * b, -1), A))
    return torch.stack(per_step, dim=1).view(R, K, N, b, r).transpose(1, 2)


def _step_some(
    optimiser: Optimiser,
    stack: Tensor,
    gradient: Tensor,
    state: State,
    rate: Tensor,
    still: Tensor,
) -> Tensor:
    """A step of those clients that still have steps to take; the others keep their bits."""
    mask = still[:, :, None, None]
    before = {name: value.clone() for name, value in state.items()}
    moved = stack.clone()
    optimiser.step(moved, gradient, state, rate)
    for name, value in before.items():
        state[name].copy_(torch.where(mask, state[name], value))
    return torch.where(mask, moved, stack)

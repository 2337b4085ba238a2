"""A round's local training of all clients (and all replicas) as one sequence of tensor operations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from federation.optimisers import Optimiser, State
from nonlinear_model.network import gradients, multiply

GATHERED_BYTES = 1 << 20
"""Images gathered in one call, where a step needs fewer."""


@dataclass(eq=False)
class Server:
    """The server's model for R replicas, or what it sends to N participants of each.

    Attributes:
        A: (R, d, r). B: (R, r, hidden). head: (R, hidden, classes). Of what stays with its client, each
            participant's own: with an axis N after R.
        merged: what was added to W0 since the start, (R, d, hidden); None for nothing.
    """

    A: Tensor
    B: Tensor
    head: Tensor
    merged: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """By name."""
        found = {"A": self.A, "B": self.B, "head": self.head}
        return found if self.merged is None else found | {"merged": self.merged}


@dataclass(frozen=True, eq=False)
class Examples:
    """The training set on the device, shared by all clients: x (n, d), y (n,) int64, base x·W0 (n, hidden).

    The last is None without a base.
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
        corrections: added to a tensor's gradient in every step, by name, (R, N, …).
        turns: names of the tensors that move in each of the K steps; empty if all do in all.
        shape: what A's gradient is multiplied by from the right, (R, r, r), or None.
        round, people: the server's round and who takes part in it, (R, N), for an engine elsewhere.
    """

    batches: Tensor
    steps: Tensor | None
    train: frozenset[str]
    rate: Tensor
    scale: float
    projection: Tensor | None = None
    corrections: Mapping[str, Tensor] = field(default_factory=dict)
    turns: Sequence[frozenset[str]] = ()
    shape: Tensor | None = None
    round: int = 0
    people: np.ndarray | None = None

    def moving(self, k: int) -> frozenset[str]:
        """Names of the tensors that move in a step, counting from 0."""
        return self.turns[k] if self.turns else self.train


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
    """K local steps of every participant from the server's model: their trained tensors.

    Tensors outside `work.train` are never touched. Without optimiser states, by tensor name, fresh ones are
    made.
    """
    R, N, K, b = work.batches.shape
    held = server.tensors()
    local = {
        name: for_each(value, N).clone(memory_format=torch.contiguous_format)
        if name in work.train
        else value
        for name, value in held.items()
    }
    if states is None:
        states = {name: optimiser.fresh(local[name], axes=2) for name in sorted(work.train)}
    turns = work.batches.permute(2, 0, 1, 3).reshape(K, -1)  # a step's picks side by side
    labels = examples.y.index_select(0, turns.reshape(-1)).view(K, R, N, b)
    varied = "A" in work.train or server.A.ndim == 4  # x·A is no table that clients share
    images = _by_step(examples.x, turns) if varied or server.merged is not None else None
    projected = None if varied else _project(server.A, examples, work, turns)
    bases = None if examples.base is None else _by_step(examples.base, turns)
    losses = []
    for k in range(K):
        x = examples.x if images is None else next(images).view(R, N, b, -1)
        base = None if bases is None else next(bases).view(R, N, b, -1)
        found = gradients(
            x,
            labels[k],
            local,
            work.scale,
            work.moving(k),
            base=with_merged(base, x, server.merged),
            projected=None if projected is None else projected[:, :, k],
        )
        if work.shape is not None and "A" in found.of:
            found.of["A"] = found.of["A"] @ work.shape.unsqueeze(1)
        for name in work.corrections.keys() & found.of.keys():
            found.of[name].add_(work.corrections[name])
        moving = None if work.steps is None else k < work.steps
        stacks = {name: local[name] for name in found.of}
        optimiser.step(stacks, found.of, states, work.rate, axes=2, moving=moving)
        losses.append(found.loss)
    taken = torch.stack(losses)
    if work.steps is None:
        loss = losses[-1]
    else:
        loss = taken.gather(0, work.steps.unsqueeze(0) - 1)[0]
        after = torch.arange(K, device=taken.device).view(K, 1, 1) >= work.steps
        taken = taken.masked_fill(after, -torch.inf)
    trained = {name: local[name] for name in sorted(work.train)}
    return Returned(trained, loss, taken.amax(0), states)  # amax passes a NaN on


def for_each(tensor: Tensor, clients: int) -> Tensor:
    """A tensor that N clients share, (R, ·, ·), as one of each, (R, N, ·, ·); their own ones as they are."""
    return tensor if tensor.ndim == 4 else tensor.unsqueeze(1).expand(-1, clients, -1, -1)


def with_merged(base: Tensor | None, x: Tensor, merged: Tensor | None) -> Tensor | None:
    """x·W0 (R, N, b, hidden), or None for W0 = 0, with x·merged added."""
    if merged is None:
        return base
    change = multiply(x, merged)
    return change if base is None else base + change


def _by_step(table: Tensor, turns: Tensor) -> Iterator[Tensor]:
    """Rows of `table` for each step in turn, turns (K, m) → K times (m, width).

    As many steps are gathered at once as stay in the cache: small rounds pay for one call, large ones
    for no more memory than a step.
    """
    K, m = turns.shape
    together = max(1, GATHERED_BYTES // (m * table.shape[1] * table.element_size()))
    for first in range(0, K, together):
        picks = turns[first : first + together].reshape(-1)
        yield from table.index_select(0, picks).view(-1, m, table.shape[1])


def project(A: Tensor, examples: Examples) -> Tensor:
    """x·A of every training image for every replica, (R, n, r)."""
    return torch.matmul(examples.x, A)


def _project(A: Tensor, examples: Examples, work: Work, turns: Tensor) -> Tensor:
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
    per_step = [torch.bmm(x.view(R, N * b, -1), A) for x in _by_step(examples.x, turns)]
    return torch.stack(per_step, dim=1).view(R, K, N, b, r).transpose(1, 2)

"""The server's state, and what the clients of a round send back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from federated_lora import Adapter, ClientFactors, Factor
from federation.sent import Sent
from llm_validation.base.models import ADAPTER, Workspace

Head = dict[str, torch.Tensor]
"""Name to tensor of a classification head."""
OptimiserState = dict[str, dict[str, torch.Tensor]]
"""Tensor name to the optimiser's tensors of one client."""


@dataclass(frozen=True)
class Server:
    """What the server holds between rounds.

    Attributes:
        adapters: layer name to adapter, A of shape (d_in, r) and B of shape (r, d_out), float32 or float64.
        head: the shared head; under the policy `local` the one every client started from.
        heads: client to its own head, under the policy `local`.
        states: client to its optimiser state, under the policy `keep`.
        visits: client to the number of rounds it took part in.
        round: rounds completed.
        sent: the numbers sent so far; None before the first round.
    """

    adapters: dict[str, Adapter]
    head: Head
    heads: dict[int, Head] = field(default_factory=dict)
    states: dict[int, OptimiserState] = field(default_factory=dict)
    visits: dict[int, int] = field(default_factory=dict)
    round: int = 0
    sent: Sent | None = None

    def head_of(self, client: int) -> Head:
        """The head a client starts a round with."""
        return self.heads.get(client, self.head)


@dataclass(frozen=True, eq=False)
class Work:
    """What the engine is asked to do in one round.

    Attributes:
        round: server round, counting from 1.
        factors: factors that train.
        clients: participants.
        batches: per participant, the examples of each local step.
        learning_rate: step size of the round.
    """

    round: int
    factors: frozenset[Factor]
    clients: tuple[int, ...]
    batches: list[list]
    learning_rate: float


@dataclass(frozen=True, eq=False)
class Returned:
    """What the participants of one round sent back, in the order of `Work.clients`.

    Attributes:
        factors: layer name to the stacked trained factors.
        heads: name to stacked head tensors, shape (n, …); empty where the head did not train.
        states: per participant, its optimiser state after the round.
        losses: training loss of each participant at each step, shape (n, K), on the CPU.
        tokens: real tokens that went through the model.
    """

    factors: dict[str, ClientFactors]
    heads: Head
    states: list[OptimiserState]
    losses: torch.Tensor
    tokens: int


def tensor_name(layer: str, factor: Factor) -> str:
    """Name of a factor of a layer, as used for optimiser state and checkpoints."""
    return f"{layer}.lora_{factor}"


def read_server(space: Workspace) -> Server:
    """The state that the workspace's model starts with; copies, for PEFT's tensors alias the model."""
    adapters = {
        name: Adapter(
            _copied(module.lora_A[ADAPTER].weight.T),
            _copied(module.lora_B[ADAPTER].weight.T),
            float(module.scaling[ADAPTER]),
        )
        for name, module in space.layers.items()
    }
    return Server(adapters, {name: _copied(value) for name, value in space.head.items()})


def nothing_sent(adapters: Mapping[str, Adapter], head: Head, clients: int) -> Sent:
    """The count of numbers sent, before the first round of a run with so many clients."""
    sizes = {
        tensor_name(layer, factor): adapter.shape.numbers(factor)
        for layer, adapter in adapters.items()
        for factor in Factor
    }
    dense = sum(adapter.shape.d_in * adapter.shape.d_out for adapter in adapters.values())
    return Sent.nothing(sizes | {n: v.numel() for n, v in head.items()}, clients, dense=dense)


@torch.no_grad()
def write_server(space: Workspace, adapters: dict[str, Adapter], head: Head) -> None:
    """Put both factors of every layer, and the head, into the workspace's model."""
    for name, module in space.layers.items():
        module.lora_A[ADAPTER].weight.copy_(adapters[name].A.T)
        module.lora_B[ADAPTER].weight.copy_(adapters[name].B.T)
    for name, parameter in space.head.items():
        parameter.copy_(head[name])


def with_round_done(server: Server, **changes: object) -> Server:
    """The state after one more round."""
    return replace(server, round=server.round + 1, **changes)  # type: ignore[arg-type]


def _copied(value: torch.Tensor) -> torch.Tensor:
    return value.detach().clone(memory_format=torch.contiguous_format)

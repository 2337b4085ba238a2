"""The server's state, and what the clients of a round send back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from federated_lora import BOTH, NEITHER, Adapter, ClientFactors, Factor, Factors, added
from federation.controls import Controls
from federation.privacy import Policy
from federation.ranks import cut
from federation.round import Shared, tensor_name
from federation.sent import Sent
from llm_validation.base.models import ADAPTER, Workspace
from llm_validation.config import Config
from verification.streams import generator

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
        own: client to what stays with it: its head under the policy `local`, a method's personal factors.
        states: client to its optimiser state, under the policy `keep`.
        visits: client to the number of rounds it took part in.
        round: rounds completed.
        sent: the numbers sent so far; None before the first round.
        merged: layer name to what was added to its frozen weight since the start, (d_in, d_out).
        controls: the control variates by tensor name, stacks (N, …), where the method has any.
        travel: whether the server's control variates are sent down with their factors.
        memory: layer name to what the method remembers between rounds.
        ranks: of the clients; empty if all have the adapters' own.
        velocity: by name, how far the server's last round with a tensor moved it, under server momentum.
    """

    adapters: dict[str, Adapter]
    head: Head
    own: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict)
    states: dict[int, OptimiserState] = field(default_factory=dict)
    visits: dict[int, int] = field(default_factory=dict)
    round: int = 0
    sent: Sent | None = None
    merged: Mapping[str, torch.Tensor] = field(default_factory=dict)
    controls: Controls = field(default_factory=lambda: Controls({}, {}))
    travel: bool = False
    memory: Mapping[str, torch.Tensor] = field(default_factory=dict)
    ranks: tuple[int, ...] = ()
    velocity: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def head_of(self, client: int | None) -> Head:
        """The head a client starts a round with; None for the shared one."""
        own = self.own.get(client, {}) if client is not None else {}
        return {name: own.get(name, value) for name, value in self.head.items()}

    def adapters_of(self, client: int | None) -> dict[str, Adapter]:
        """The adapters a client starts a round with; None for the shared ones."""
        own = self.own.get(client, {}) if client is not None else {}
        found = dict(self.adapters)
        for layer, adapter in self.adapters.items():
            for factor in Factor:
                if tensor_name(layer, factor) in own:
                    adapter = adapter.with_factor(factor, own[tensor_name(layer, factor)])
                if self.ranks and client is not None:
                    held = adapter.factor(factor)
                    within = cut(factor, held, np.array(self.ranks[client]))
                    adapter = adapter.with_factor(factor, within)
            found[layer] = adapter
        return found

    def named(self, factors: Factors = BOTH) -> dict[str, torch.Tensor]:
        """Those factors of every layer, by tensor name."""
        return {
            tensor_name(layer, factor): adapter.factor(factor)
            for layer, adapter in self.adapters.items()
            for factor in sorted(factors)
        }

    def shared(self) -> Shared:
        """What every client is sent."""
        controlled = frozenset(self.controls.own) if self.travel else frozenset()
        return Shared(self.adapters, self.head, self.merged, controlled, self.memory)

    def controlled(self, factors: Factors, clients: int) -> Controls:
        """The control variates, zeros before the first round."""
        if self.controls.own or not factors:
            return self.controls
        return Controls.nothing(self.named(factors), clients)


@dataclass(frozen=True, eq=False)
class Work:
    """What the engine is asked to do in one round.

    Attributes:
        batches: per participant, the examples of each local step.
        personal: factors of which every client has its own.
        corrections: added to a tensor's gradient in every step, by name, (n, …).
        resting: names of the tensors that each of the K steps leaves where they are.
        shapes: what a layer's gradient of A is multiplied by from the right, (r, r), by the tensor's name.
        seed: of the run, for what is drawn in training; None for the configuration's.
    """

    round: int
    factors: frozenset[Factor]
    clients: tuple[int, ...]
    batches: list[list[np.ndarray]]
    learning_rate: float
    personal: Factors = NEITHER
    corrections: Mapping[str, torch.Tensor] = field(default_factory=dict)
    resting: Sequence[frozenset[str]] = ()
    shapes: Mapping[str, torch.Tensor] = field(default_factory=dict)
    seed: int | None = None

    def seed_of(self, config: Config) -> int:
        """The run's seed."""
        return config.seed if self.seed is None else self.seed

    def rests(self, step: int) -> frozenset[str]:
        """Names of the tensors that do not move in a step, counting from 0."""
        return self.resting[step] if self.resting else frozenset()


@dataclass(frozen=True, eq=False)
class Returned:
    """What the participants of one round sent back, in the order of `Work.clients`.

    Attributes:
        factors: layer name to the stacked trained factors, and in every round the personal ones.
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

    def named(self) -> dict[str, torch.Tensor]:
        """The stacked factors by tensor name."""
        return {
            tensor_name(layer, factor): stack
            for layer, factors in self.factors.items()
            for factor in Factor
            if (stack := factors.factor(factor)) is not None
        }


def private(
    policy: Policy, server: Server, work: Work, found: Returned, config: Config
) -> Returned:
    """The same with what leaves the participants clipped and blurred."""
    each = [replace(server, adapters=server.adapters_of(client)) for client in work.clients]
    held = [one.named(work.factors - work.personal) for one in each]
    received = {name: torch.stack([own[name] for own in held]) for name in held[0]}
    if config.head == "average":
        received |= {name: value.unsqueeze(0) for name, value in server.head.items()}
    stacks = found.named() | found.heads
    leaving = {name: stack for name, stack in stacks.items() if name in received}
    stream = partial(generator, config.seed, "llm", "privacy", work.round)
    stacks |= policy.sent(leaving, received, np.array(work.clients), stream)
    if server.ranks:
        ranks = np.array(server.ranks)[list(work.clients)]
        stacks |= {name: cut(Factor(name[-1]), stacks[name], ranks) for name in held[0]}
    factors = {
        layer: ClientFactors(*(stacks.get(tensor_name(layer, factor)) for factor in Factor))
        for layer in found.factors
    }
    return replace(found, factors=factors, heads={name: stacks[name] for name in found.heads})


def returned(
    layers: Iterable[str],
    head: Iterable[str],
    stacks: Mapping[str, torch.Tensor],
    states: list[OptimiserState],
    losses: torch.Tensor,
    tokens: int,
) -> Returned:
    """`Returned`, out of the participants' stacked factors and head tensors by name, those there are."""
    factors = {
        layer: ClientFactors(*(stacks.get(tensor_name(layer, factor)) for factor in Factor))
        for layer in layers
    }
    heads = {name: stacks[name] for name in head if name in stacks}
    return Returned(factors, heads, states, losses.cpu(), tokens)


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


@torch.no_grad()
def write_server(space: Workspace, server: Server, client: int | None = None) -> None:
    """Put the frozen weights, both factors of every layer and the head into the workspace's model.

    Where a client is named, its own tensors take the place of the shared ones, if it has any.
    """
    write_base(space, server.merged)
    adapters, head = server.adapters_of(client), server.head_of(client)
    for name, module in space.layers.items():
        module.lora_A[ADAPTER].weight.copy_(adapters[name].A.T)
        module.lora_B[ADAPTER].weight.copy_(adapters[name].B.T)
    for name, parameter in space.head.items():
        parameter.copy_(head[name])


@torch.no_grad()
def write_base(space: Workspace, merged: Mapping[str, torch.Tensor]) -> None:
    """Put the frozen weights as loaded, with what was merged added, into the workspace's model."""
    if merged is space.merged:
        return
    for layer in {*space.loaded, *merged}:
        module = space.layers[layer].base_layer
        loaded = space.loaded.setdefault(layer, module.weight.detach().clone())
        if layer not in merged:
            module.weight.copy_(loaded)
            continue
        change = merged[layer].to(loaded.device)
        # Linear holds W0 transposed, GPT-2's Conv1D as it is.
        change = change.T if isinstance(module, torch.nn.Linear) else change
        module.weight.copy_(added(loaded, change))
    space.merged = merged


def _copied(value: torch.Tensor) -> torch.Tensor:
    return value.detach().clone(memory_format=torch.contiguous_format)

"""The language model's clients on other machines: the engine that asks them, and what they do when asked.

A client's machine builds the model, deals the examples and draws batches as the server's process would,
plans the round by the same `plan`, and trains its part by the literal engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from federated_lora import Factor, method_named
from federation.flower.channel import Channel
from federation.flower.records import Answer, Order
from federation.round import tensor_name
from llm_validation.config import Config
from llm_validation.tasks.examples import TaskData
from llm_validation.training.loop import examples, plan, split_clients, workspace
from llm_validation.training.one_by_one import OneByOne
from llm_validation.training.server import (
    OptimiserState,
    Returned,
    Server,
    Work,
    read_server,
    returned,
)

Tensors = dict[str, torch.Tensor]


def facts(config: Config, data: TaskData) -> dict[str, Any]:
    """What must be alike on all machines."""
    return {**config.deciding, "data": data.digest}


def require_possible(config: Config) -> None:
    """Refuse what a federation across machines does not do."""
    if config.dp_clip is not None:
        raise ValueError(
            f"dp_clip must be left out across machines, got {config.dp_clip:g}: the noise is drawn from"
            " the seed of the run, and who has that can take it off again"
        )
    if config.learning_rate_grid:
        raise ValueError("learning_rate_grid must be left out across machines: give learning_rate")


@dataclass(frozen=True, eq=False)
class Remote:
    """An engine that has the participants train where they are."""

    channel: Channel
    config: Config

    def train(self, server: Server, work: Work) -> Returned:
        """As any engine."""
        merged = {f"merged/{layer}": change for layer, change in server.merged.items()}
        trained = {tensor_name(layer, f) for layer in server.adapters for f in work.factors}
        trains = frozenset(trained | ({*server.head} if self.config.head != "frozen" else set()))
        orders, idle = [], []
        for i, client in enumerate(work.clients):
            own = replace(server, adapters=server.adapters_of(client), head=server.head_of(client))
            state = server.states.get(client, {}) if self.config.optimiser_state == "keep" else {}
            held = {**own.named(), **own.head, **merged, **_flat(state)}
            once = {name: value[i] for name, value in work.corrections.items()}
            rank = self.config.ranks[client] if self.config.ranks else 0
            told = {"visit": server.visits.get(client, 0)}
            orders.append(Order(client, held, trains, once, told, rank))
            idle.append(own.named(work.personal - work.factors))
        answers = self.channel.ask(work.round, orders)
        arrays = [{**own, **answer.arrays} for own, answer in zip(idle, answers, strict=True)]
        device = next(iter(server.adapters.values())).A.device
        stacks = {
            name: torch.stack([own[name].to(device) for own in arrays])
            for name in sorted({*idle[0], *trains})
        }
        losses = torch.tensor([answer.told["losses"] for answer in answers], dtype=torch.float64)
        tokens = sum(int(answer.told["tokens"]) for answer in answers)
        states = [_states(answer.kept) for answer in answers]
        return returned(server.adapters, server.head, stacks, states, losses, tokens)


class Hosted:
    """The clients of one machine."""

    def __init__(self, config: Config, data: TaskData | None = None) -> None:
        require_possible(config)
        data = examples(config, data)
        self.config, self.rank = config, config.rank
        self._facts = facts(config, data)
        self._split = split_clients(config, data.train.labels)
        self._space, self._encoded = workspace(config, data)
        self._method = method_named(config.method, config.rounds)
        self._engine = OneByOne(config, self._space, self._encoded)
        self._server = replace(read_server(self._space), ranks=config.ranks)

    def facts(self) -> dict[str, Any]:
        """What must be alike on all machines."""
        return self._facts

    def start(self, client: int) -> Tensors:
        """The factors, within the client's rank, and the head."""
        own = replace(self._server, adapters=self._server.adapters_of(client))
        return {**own.named(), **own.head}

    def train(self, round: int, order: Order) -> Answer:
        """K local steps of a client."""
        k, config = order.client, self.config
        held = {name: value.to(self._space.device) for name, value in order.held.items()}
        adapters = {
            layer: replace(
                adapter,
                A=held[tensor_name(layer, Factor.A)],
                B=held[tensor_name(layer, Factor.B)],
            )
            for layer, adapter in self._server.adapters.items()
        }
        server = replace(
            self._server,
            adapters=adapters,
            head={name: held[name] for name in self._server.head},
            states={k: _states(order.held)},
            visits={k: int(order.told["visit"])},
            round=round - 1,
            merged=_under("merged/", held),
        )
        whole = plan(config, self._method, server, self._split, self._encoded.lengths)
        corrections = {name: value.unsqueeze(0) for name, value in order.once.items()}
        batches = [whole.batches[whole.clients.index(k)]]
        work = replace(whole, clients=(k,), batches=batches, corrections=corrections)
        found = self._engine.train(server, work)
        stays = {tensor_name(layer, f) for layer in adapters for f in self._method.personal}
        stays |= {*found.heads} if config.head == "local" else set()
        trained = {
            name for layer in adapters for name in (tensor_name(layer, f) for f in work.factors)
        }
        arrays = {
            name: stack[0]
            for name, stack in {**found.named(), **found.heads}.items()
            if name in trained or name in found.heads
        }
        kept = {name: value for name, value in arrays.items() if name in stays}
        if config.optimiser_state == "keep":
            kept |= _flat(found.states[0])
        sent = {name: value for name, value in arrays.items() if name not in stays}
        told = {"losses": found.losses[0].double().tolist(), "tokens": found.tokens}
        return Answer(sent, kept, told)


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _flat(state: OptimiserState) -> Tensors:
    return {f"state/{name}/{slot}": v for name, own in state.items() for slot, v in own.items()}


def _states(tensors: Mapping[str, torch.Tensor]) -> OptimiserState:
    found: OptimiserState = {}
    for key, value in _under("state/", tensors).items():
        name, _, slot = key.rpartition("/")
        found.setdefault(name, {})[slot] = value
    return found

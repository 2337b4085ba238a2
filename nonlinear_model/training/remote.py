"""The network's clients on other machines: the engine that asks them, and what they do when asked.

A client deals the images and draws its batches from the seed as the server's process would, and trains by
the literal engine.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from federated_lora import Adapter, Factor, method_named
from federation.flower.channel import Channel
from federation.flower.records import Answer, Order
from federation.optimisers import Optimiser, State
from federation.ranks import cut
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.dataset import Dataset
from nonlinear_model.network import draw_start
from nonlinear_model.training import one_by_one
from nonlinear_model.training.all_at_once import Examples, Returned, Server, Work
from nonlinear_model.training.experiment import deciding
from nonlinear_model.training.federation import examples_of
from nonlinear_model.training.planning import planned, trained
from nonlinear_model.training.record import A_NAME, B_NAME, LAYER, Replica
from verification.streams import generator

NAMES = {"A": A_NAME, "B": B_NAME, "head": "head", "merged": f"merged/{LAYER}"}
"""What the network's tensors are called on the way."""


def facts(config: Configuration, data: Dataset) -> dict[str, Any]:
    """What must be alike on all machines."""
    return {
        name: v for name, v in deciding(config, data).items() if name not in ("device", "engine")
    }


def require_possible(config: Configuration) -> None:
    """Refuse what a federation across machines does not do."""
    if config.repeats != 1:
        raise ValueError(f"repeats must be 1 across machines, got {config.repeats}")
    if config.dp_clip is not None:
        raise ValueError(
            f"dp_clip must be left out across machines, got {config.dp_clip:g}: the noise comes from the"
            " run's seed, which the server knows, so it would hide nothing from it"
        )


@dataclass(frozen=True, eq=False)
class Remote:
    """An engine that has the participants train where they are."""

    channel: Channel
    config: Configuration

    def __call__(
        self,
        server: Server,
        _examples: Examples,
        work: Work,
        _optimiser: Optimiser,
        states: dict[str, State] | None = None,
    ) -> Returned:
        """As any engine, for a single replica."""
        assert work.people is not None  # a federation says who takes part
        shared = {name: value[0] for name, value in server.tensors().items()}
        once = {name: value[0] for name, value in work.corrections.items()}
        trains = frozenset(NAMES[name] for name in work.train)
        orders = []
        for i, client in enumerate(map(int, work.people[0])):
            held = {
                NAMES[name]: value[i] if value.ndim == 3 else value
                for name, value in shared.items()
            }
            for name, slots in (states or {}).items():
                held |= {f"state/{name}/{slot}": value[0, i] for slot, value in slots.items()}
            own = {name: value[i] for name, value in once.items()}
            rank = self.config.ranks[client] if self.config.ranks else 0
            told = {"most": work.batches.shape[2]}
            orders.append(Order(client, held, trains, own, told, rank))
        answers = self.channel.ask(work.round, orders)

        def stack(name: str) -> Tensor:
            values = torch.stack([answer.arrays[name] for answer in answers])
            return values.unsqueeze(0).to(server.A.device)

        def told_of(name: str) -> Tensor:
            return server.A.new_tensor([[answer.told[name] for answer in answers]])

        kept = {
            name: {slot: stack(f"state/{name}/{slot}") for slot in slots}
            for name, slots in (states or {}).items()
        }
        stacks = {name: stack(NAMES[name]) for name in sorted(work.train)}
        return Returned(stacks, told_of("loss"), told_of("worst"), kept)


class Hosted:
    """The clients of one machine."""

    def __init__(self, config: Configuration, data: Dataset) -> None:
        require_possible(config)
        self.config, self.rank = config, config.rank
        self._facts = facts(config, data)
        self._method = method_named(config.method, config.rounds)
        self._optimiser = config.optimiser_rule()
        rng = generator(config.seed, "nonlinear", "split")
        self._parts = config.deal(data.train_y, rng)
        dtype, device = getattr(torch, config.dtype), torch.device(config.device)
        start = draw_start(config, data, config.seed)
        self._examples = examples_of(data.train_x, data.train_y, start.W0, dtype, device)
        drawn = {NAMES[name]: getattr(start, name) for name in ("A", "B", "head")}
        self._start = {name: torch.tensor(value).to(dtype) for name, value in drawn.items()}
        staying = {*map(str, self._method.personal), *(["head"] if config.head == "local" else [])}
        self._staying = {NAMES[name] for name in staying}

    def facts(self) -> dict[str, Any]:
        """What must be alike on all machines."""
        return self._facts

    def start(self, client: int) -> dict[str, Tensor]:
        """The factors, within the client's rank, the head, and what its optimiser remembers: nothing."""
        found = dict(self._start)
        if self.config.ranks:
            own = np.array(self.config.ranks[client])
            for factor, name in zip(Factor, (A_NAME, B_NAME), strict=True):
                found[name] = cut(factor, found[name], own)
        if self._optimiser.state == "keep":
            for name in ("A", "B", "head"):
                fresh = self._optimiser.fresh(found[NAMES[name]][None, None], axes=2)
                found |= {f"state/{name}/{slot}": value[0, 0] for slot, value in fresh.items()}
        return found

    def train(self, round: int, order: Order) -> Answer:
        """K local steps of a client."""
        config, device = self.config, self._examples.y.device
        held = {name: value.unsqueeze(0).to(device) for name, value in order.held.items()}
        server = Server(**{name: held[told] for name, told in NAMES.items() if told in held})
        seat, people = Replica(config.seed, config.learning_rate), np.array([[order.client]])
        adapter = Adapter(server.A, server.B, config.scale)
        most = int(order.told["most"])
        work = planned(
            config, self._method, [seat], [self._parts], round, people, adapter, at_least=most
        )
        corrections = {name: value[None, None].to(device) for name, value in order.once.items()}
        states: dict[str, State] | None = None
        if self._optimiser.state == "keep":
            states = {name: {} for name in sorted(trained(config, self._method, round))}
            for name, value in held.items():
                kind, _, place = name.partition("/")
                if kind == "state":
                    tensor, _, slot = place.partition("/")
                    states[tensor][slot] = value.unsqueeze(1).clone()
        work = replace(work, corrections=corrections)
        found = one_by_one.train(server, self._examples, work, self._optimiser, states)
        arrays = {NAMES[name]: value[0, 0] for name, value in found.stacks.items()}
        kept = {name: value for name, value in arrays.items() if name in self._staying}
        for name, slots in found.states.items():
            kept |= {f"state/{name}/{slot}": value[0, 0] for slot, value in slots.items()}
        sent = {name: value for name, value in arrays.items() if name not in self._staying}
        told = {"loss": float(found.loss[0, 0]), "worst": float(found.worst[0, 0])}
        return Answer(sent, kept, told)

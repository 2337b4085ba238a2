"""Many clients' minibatches in one forward and backward, with client-stacked adapters and heads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from federated_lora import Factor
from federation.round import tensor_name
from llm_validation.base.encoding import BUCKET, Encoded, collate
from llm_validation.base.models import ADAPTER, DTYPES, Workspace
from llm_validation.config import Config
from llm_validation.layers.dropout import Pass
from llm_validation.layers.flat import Flat
from llm_validation.layers.per_client import StackedLinear, StackedLoRA, installed
from llm_validation.training.losses import client_losses
from llm_validation.training.randomness import dropout_seed
from llm_validation.training.server import (
    OptimiserState,
    Returned,
    Server,
    Work,
    returned,
    write_base,
)

LEAST = {"cpu": 256, "cuda": 24576}
"""Tokens, padding included, with which a device is busy; on a GPU, longer than the launches take."""
SAVED = 0.03
"""Share of the tokens that going apart must save."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One client in a pass: whose it is, and its place among the participants."""

    server: Server
    work: Work
    place: int

    @property
    def client(self) -> int:
        """The client's number."""
        return self.work.clients[self.place]


@dataclass(frozen=True, eq=False)
class Done:
    """What a pass made: stacks by name, optimiser states, losses (n, K) on the device, tokens by client."""

    stacks: dict[str, Tensor]
    states: list[OptimiserState]
    losses: Tensor
    tokens: list[int]


class AllAtOnce:
    """Trains the participants of a round together, `at_once` of them per pass.

    The frozen base does the same work for all clients in one matrix product; each client's adapter is
    applied to its own rows. What shares a pass changes results only by rounding. A head that has trainable
    tensors outside linear layers is refused. A pass that does not fit the GPU is done again in halves.
    """

    def __init__(self, config: Config, space: Workspace, data: Encoded, at_once: int) -> None:
        if at_once < 1:
            raise ValueError(f"at_once must be at least 1, got {at_once}")
        self.config = config
        self.space = space
        self.data = data
        self.at_once = at_once
        self.head_layers = {} if config.head == "frozen" else _head_layers(space)
        own = config.products == "own" or config.dtype == "float64"
        self.products = None if own else DTYPES[config.dtype]

    def train(self, server: Server, work: Work) -> Returned:
        """Local training of every participant from the server's state."""
        return self.train_side_by_side([(server, work)])[0]

    def train_side_by_side(self, runs: Sequence[tuple[Server, Work]]) -> list[Returned]:
        """The same round of several runs that differ in their seeds, starts and learning rates alone."""
        write_base(self.space, runs[0][0].merged)
        entries = [Entry(*run, place) for run in runs for place in range(len(run[1].clients))]
        parts = []
        while entries:
            now = entries[: self.at_once]
            try:
                parts.append(self._pass(now))
            except torch.OutOfMemoryError:
                if len(now) == 1:
                    raise
                self.at_once = -(-len(now) // 2)
                torch.cuda.empty_cache()
                continue
            entries = entries[len(now) :]
        stacks = {name: _whole([part.stacks[name] for part in parts]) for name in parts[0].stacks}
        states = [state for part in parts for state in part.states]
        losses = torch.cat([part.losses for part in parts]).cpu()
        tokens = [count for part in parts for count in part.tokens]
        found, first = [], 0
        for _, work in runs:
            own = slice(first, first + len(work.clients))
            mine = {name: stack[own] for name, stack in stacks.items()}
            told = states[own], losses[own], sum(tokens[own])
            found.append(returned(self.space, mine, *told))
            first = own.stop
        return found

    def _pass(self, entries: Sequence[Entry]) -> Done:
        config, space, work = self.config, self.space, entries[0].work
        flats, still = self._start(entries)
        optimiser = config.optimiser_rule()
        keep = optimiser.state == "keep"
        held = [e.server.states.get(e.client, {}) if keep else {} for e in entries]
        states = {key: flat.state(optimiser, held) for key, flat in flats.items()}
        corrections = {key: _corrections(flat, entries) for key, flat in flats.items()}
        rates = torch.tensor([e.work.learning_rate for e in entries], dtype=torch.float64)
        rates = rates.to(space.device)
        space.model.requires_grad_(False)
        space.model.train()
        losses = []
        modules = self._modules(entries)
        with installed(space.base, modules):
            for step in range(len(work.batches[0])):
                gradients, each = self._slopes(entries, step, flats, still, modules)
                losses.append(each)
                moving = {key: flat for key, flat in flats.items() if not _rests(flat, work, step)}
                for key, flat in moving.items():
                    _turned(flat, gradients[key], work, corrections[key])
                values = {key: flat.values for key, flat in moving.items()}
                slopes = {key: gradients[key] for key in moving}
                optimiser.step(values, slopes, states, rates, axes=1)
                for flat in moving.values():
                    flat.moved()
        space.holder.now = None
        own = [*flats.values(), *(flat for key, flat in still.items() if key in work.personal)]
        stacks = {name: view for flat in own for name, view in flat.views(flat.values).items()}
        tokens = [
            sum(int(self.data.lengths[rows].sum()) for rows in e.work.batches[e.place])
            for e in entries
        ]
        kept: list[OptimiserState] = [
            {n: s for key, flat in flats.items() for n, s in flat.kept(states[key], k).items()}
            if keep
            else {}
            for k in range(len(entries))
        ]
        return Done(stacks, kept, torch.stack(losses, dim=1), tokens)

    def _slopes(
        self,
        entries: Sequence[Entry],
        step: int,
        flats: Mapping[str, Flat],
        still: Mapping[str, Flat],
        modules: Mapping[str, StackedLoRA | StackedLinear],
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Every client's gradients, by what steps together, and its loss in one local step.

        Clients whose longest examples differ much go through the model apart.
        """
        device = self.space.device
        rows = [e.work.batches[e.place][step] for e in entries]
        parts = alike(self.data.lengths, rows, device)
        gradients: dict[str, Tensor] = {}
        losses = []
        for part in parts:
            pick = None if len(parts) == 1 else torch.from_numpy(part).to(device)
            leaves: dict[str, Tensor] = {}
            for flat in (*flats.values(), *still.values()):
                leaves |= flat.take(pick)
            for name, module in modules.items():
                module.hold(name, leaves)
            losses.append(self._backward([entries[k] for k in part], step))
            gradients = {key: flat.gradients(gradients.get(key)) for key, flat in flats.items()}
        if len(parts) == 1:
            return gradients, losses[0]
        order = torch.from_numpy(np.argsort(np.concatenate(parts), kind="stable")).to(device)
        return gradients, torch.cat(losses)[order]

    def _backward(self, entries: Sequence[Entry], step: int) -> Tensor:
        """Forward and backward of one local step; each client's loss."""
        config, space = self.config, self.space
        rows = [e.work.batches[e.place][step] for e in entries]
        batch = collate(self.data, rows, space.pad_id, space.device)
        seeds = None
        if config.lora_dropout:
            seeds = tuple(
                dropout_seed(e.work.seed_of(config), e.work.round, e.client, step) for e in entries
            )
        space.holder.now = Pass(batch, seeds)
        each = client_losses(space.logits(batch), batch)
        each.sum().backward()
        return each.detach()

    def _start(self, entries: Sequence[Entry]) -> tuple[dict[str, Flat], dict[str, Flat]]:
        """Every client's copy of what trains, and of what is its own and does not, by what is alike."""
        work, one = entries[0].work, _one(entries)
        sources = _sources(entries)
        flats: dict[str, Flat] = {}
        still: dict[str, Flat] = {}

        def put(key: str, names: Sequence[str], trains: bool) -> None:
            rows = _chosen(sources, names)
            dtype = None if key == "head" else self.products
            made = Flat.of(rows, self.space.device, dtype, trains=trains)
            (flats if trains else still)[key] = made

        for factor in sorted(Factor):
            trains = factor in work.factors
            if trains or factor in work.personal or not one:
                put(factor, [tensor_name(layer, factor) for layer in self.space.layers], trains)
        if self.space.head and (self.head_layers or not one):
            put("head", list(self.space.head), bool(self.head_layers))
        return flats, still

    def _modules(self, entries: Sequence[Entry]) -> dict[str, StackedLoRA | StackedLinear]:
        """Layers in place of the model's, with what all clients share in them."""
        space, server = self.space, entries[0].server
        modules: dict[str, StackedLoRA | StackedLinear] = {}
        for layer, peft_layer in space.layers.items():
            adapter = server.adapters[layer]
            A, B = (adapter.factor(f).to(space.device, self.products) for f in Factor)
            drop, base = peft_layer.lora_dropout[ADAPTER], peft_layer.base_layer
            modules[layer] = StackedLoRA(base, A, B, adapter.scale, drop, space.holder)
        heads = self.head_layers or ({} if _one(entries) else _head_layers(space))
        for name in heads:
            modules[name] = StackedLinear()
        if not heads:
            with torch.no_grad():
                for name, parameter in space.head.items():
                    parameter.copy_(server.head[name])
        return modules


def alike(
    lengths: np.ndarray, rows: Sequence[np.ndarray], device: torch.device
) -> list[np.ndarray]:
    """Which clients go through the model together, so that little is padded and the device is busy.

    Args:
        lengths: tokens of every example.
        rows: of each client, its examples.
    """
    longest = np.array([lengths[own].max() for own in rows])
    if device.type == "cuda":
        longest = -(-longest // BUCKET) * BUCKET
    height = max(own.size for own in rows)
    least = LEAST[device.type] / height

    def cut(order: np.ndarray) -> list[np.ndarray]:
        """In two where that saves most, if it saves enough; and so on."""
        count = np.arange(1, order.size)
        low, high = count * longest[order[:-1]], (order.size - count) * longest[order[-1]]
        cost = np.where(np.minimum(low, high) < least, np.inf, low + high)
        whole = order.size * longest[order[-1]]
        if not cost.size or cost.min() > (1.0 - SAVED) * whole:
            return [np.sort(order)]
        best = int(cost.argmin()) + 1
        return cut(order[:best]) + cut(order[best:])

    return cut(np.argsort(longest, kind="stable"))


def _one(entries: Sequence[Entry]) -> bool:
    """Whether all clients of a pass belong to one run."""
    return all(e.server is entries[0].server for e in entries)


def _sources(entries: Sequence[Entry]) -> list[dict[str, Tensor]]:
    """What each client starts from by name; one and the same mapping for those that start alike."""
    shared: dict[int, dict[str, Tensor]] = {}
    found = []
    for e in entries:
        alike = not e.server.own and not e.server.ranks
        if alike and id(e.server) in shared:
            found.append(shared[id(e.server)])
            continue
        adapters = e.server.adapters_of(e.client)
        made = {tensor_name(n, f): a.factor(f) for n, a in adapters.items() for f in Factor}
        made |= e.server.head_of(e.client)
        if alike:
            shared[id(e.server)] = made
        found.append(made)
    return found


def _chosen(sources: Sequence[dict[str, Tensor]], names: Sequence[str]) -> list[dict[str, Tensor]]:
    """The named tensors of each; those alike stay one and the same mapping."""
    made = {id(own): {name: own[name] for name in names} for own in sources}
    return [made[id(own)] for own in sources]


def _corrections(flat: Flat, entries: Sequence[Entry]) -> Tensor | None:
    """What is added to the gradients in every step, (n, numbers), if anything is."""
    if not flat.shapes.keys() & entries[0].work.corrections.keys():
        return None
    rows = []
    for e in entries:
        own = {name: value[e.place] for name, value in e.work.corrections.items()}
        parts = [
            own.get(name, flat.values.new_zeros(shape)).reshape(-1)
            for name, shape in flat.shapes.items()
        ]
        rows.append(torch.cat(parts))
    return torch.stack(rows).to(flat.values.device)


def _turned(flat: Flat, gradient: Tensor, work: Work, correction: Tensor | None) -> None:
    """The gradient preconditioned and corrected, in place."""
    views = flat.views(gradient) if work.shapes else {}
    for name in views.keys() & work.shapes.keys():
        views[name].copy_(views[name] @ work.shapes[name].to(gradient.device))
    if correction is not None:
        gradient.add_(correction)


def _rests(flat: Flat, work: Work, step: int) -> bool:
    """Whether the tensors stay where they are in a step; what steps together rests together."""
    return not flat.shapes.keys() - work.rests(step)


def _whole(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _head_layers(space: Workspace) -> dict[str, nn.Linear]:
    """The head's linear layers by name; together they must hold all of the head."""
    found, covered = {}, set()
    for name in space.head:
        path = name.rpartition(".")[0]
        module = space.base.get_submodule(path)
        if isinstance(module, nn.Linear):
            found[path] = module
            covered.add(name)
    rest = set(space.head) - covered
    if rest:
        raise ValueError(
            f"engine = all-at-once supports heads made of linear layers, this one has {sorted(rest)[0]};"
            " use engine = one-by-one"
        )
    return found

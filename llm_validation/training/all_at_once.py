"""Many clients' minibatches in one forward and backward, with client-stacked adapters and heads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
from llm_validation.layers.losses import client_losses
from llm_validation.layers.per_client import StackedLinear, StackedLoRA, installed
from llm_validation.layers.recorded import Recorder
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


@dataclass(eq=False)
class Stage:
    """What passes of so many clients in a kind of round work in.

    Attributes:
        flats: what trains, by what steps together; still: each client's own that does not.
        shared: what is one and the same for all clients.
        modules: in place of the model's layers.
    """

    recorder: Recorder
    flats: dict[str, Flat] = field(default_factory=dict)
    still: dict[str, Flat] = field(default_factory=dict)
    shared: dict[str, Flat] = field(default_factory=dict)
    modules: dict[str, StackedLoRA | StackedLinear] = field(default_factory=dict)

    def hold(self, clients: Tensor | None) -> None:
        """Give the layers what belongs to some clients; None for all."""
        leaves: dict[str, Tensor] = {}
        for flat in (*self.flats.values(), *self.still.values()):
            leaves |= flat.take(clients)
        for name, module in self.modules.items():
            module.hold(name, leaves)


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
        self.recording = config.cuda_graphs and space.device.type == "cuda"
        self.stages: dict[tuple[object, ...], Stage] = {}

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
                self.stages.clear()
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
            found.append(returned(self.space.layers, self.space.head, mine, *told))
            first = own.stop
        return found

    def _pass(self, entries: Sequence[Entry]) -> Done:
        config, space, work = self.config, self.space, entries[0].work
        stage = self._stage(entries)
        flats = stage.flats
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
        with installed(space.base, stage.modules):
            for step in range(len(work.batches[0])):
                gradients, each = self._slopes(entries, step, stage)
                losses.append(each.clone())
                moving = {key: flat for key, flat in flats.items() if not _rests(flat, work, step)}
                for key, flat in moving.items():
                    _turned(flat, gradients[key], work, corrections[key])
                values = {key: flat.values for key, flat in moving.items()}
                slopes = {key: gradients[key] for key in moving}
                optimiser.step(values, slopes, states, rates, axes=1)
                for flat in moving.values():
                    flat.moved()
        space.holder.now = None
        # Copies: another pass may be done in the same memory.
        stacks = {
            name: view
            for key, flat in (flats | stage.still).items()
            if key in flats or key in work.personal
            for name, view in flat.views(flat.values.clone()).items()
        }
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
        self, entries: Sequence[Entry], step: int, stage: Stage
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Every client's gradients, by what steps together, and its loss in one local step.

        Clients whose longest examples differ much go through the model apart.
        """
        config, device = self.config, self.space.device
        rows = [e.work.batches[e.place][step] for e in entries]
        parts = alike(self.data.lengths, rows, device)
        if len(parts) == 1:
            stage.hold(None)
            given = self._given(entries, step)
            if self.recording:
                return stage.recorder.run(given, config.lora_dropout, self._worked(stage))
            return self._worked(stage)(given)
        gradients = {key: torch.empty_like(flat.values) for key, flat in stage.flats.items()}
        losses = []
        for part in parts:
            pick = torch.from_numpy(part).to(device)
            stage.hold(pick)
            own, each = self._worked(stage)(self._given([entries[k] for k in part], step))
            losses.append(each)
            for key, value in own.items():
                gradients[key].index_copy_(0, pick, value)
        order = torch.from_numpy(np.argsort(np.concatenate(parts), kind="stable")).to(device)
        return gradients, torch.cat(losses)[order]

    def _given(self, entries: Sequence[Entry], step: int) -> Pass:
        """What goes through the model in one local step."""
        rows = [e.work.batches[e.place][step] for e in entries]
        batch = collate(self.data, rows, self.space.pad_id, self.space.device)
        if not self.config.lora_dropout:
            return Pass(batch)
        seeds = (
            dropout_seed(e.work.seed_of(self.config), e.work.round, e.client, step) for e in entries
        )
        return Pass(batch, tuple(seeds))

    def _worked(self, stage: Stage) -> Callable[[Pass], tuple[dict[str, Tensor], Tensor]]:
        """Forward and backward of what the stage holds: gradients, and each client's loss."""

        def work(given: Pass) -> tuple[dict[str, Tensor], Tensor]:
            self.space.holder.now = given
            each = client_losses(self.space.logits(given.batch), given.batch)
            each.sum().backward()
            return {key: flat.gradients() for key, flat in stage.flats.items()}, each.detach()

        return work

    def _stage(self, entries: Sequence[Entry]) -> Stage:
        """What a pass works in, with the clients' starts; that of a like pass is taken up again."""
        space, work, one = self.space, entries[0].work, _one(entries)
        sources = _sources(entries)
        trained = [*sorted(work.factors), *(["head"] if self.head_layers else [])]
        own: list[str] = [f for f in sorted(Factor) if f in work.personal or not one]
        own += ["head"] if space.head and not one else []
        own = [key for key in own if key not in trained]
        shared = [f for f in sorted(Factor) if f not in (*trained, *own)]
        place = (len(entries), *trained, "own", *own)
        stage = self.stages.get(place)
        if stage is None:
            longest = -(-int(self.data.lengths.max()) // BUCKET) * BUCKET
            most = len(entries) * self.config.batch_size * longest
            stage = self.stages[place] = Stage(recorder=Recorder(space.holder, most))
        for key, into in (
            *((key, stage.flats) for key in trained),
            *((key, stage.still) for key in own),
            *((key, stage.shared) for key in shared),
        ):
            names = [tensor_name(layer, Factor(key)) for layer in space.layers if key != "head"]
            rows = _chosen(sources[:1] if into is stage.shared else sources, names or [*space.head])
            if key in into:
                into[key].filled(rows)
            else:
                dtype = None if key == "head" else self.products
                made = Flat.of(rows, space.device, dtype, trains=into is stage.flats)
                into[key] = made
        stage.modules = stage.modules or self._modules(entries, stage)
        if space.head and "head" not in (*trained, *own):
            with torch.no_grad():
                for name, parameter in space.head.items():
                    parameter.copy_(entries[0].server.head[name])
        return stage

    def _modules(
        self, entries: Sequence[Entry], stage: Stage
    ) -> dict[str, StackedLoRA | StackedLinear]:
        """Layers in place of the model's, with what all clients share in them."""
        space, server = self.space, entries[0].server
        modules: dict[str, StackedLoRA | StackedLinear] = {}
        common = {
            name: view[0]
            for flat in stage.shared.values()
            for name, view in flat.views(flat.working).items()
        }
        for layer, peft_layer in space.layers.items():
            drop, base = peft_layer.lora_dropout[ADAPTER], peft_layer.base_layer
            scale = server.adapters[layer].scale
            modules[layer] = StackedLoRA(base, scale, drop, space.holder)
            modules[layer].hold(layer, common)
        heads = self.head_layers or ({} if _one(entries) else _head_layers(space))
        return modules | {name: StackedLinear() for name in heads}


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

"""A federated run, round by round: one method, one or many independent repetitions side by side."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from federated_lora import Adapter, ClientFactors, Factor, method_named
from federation.controls import Controls
from federation.optimisers import State
from federation.participants import participants, weights_of
from federation.ranks import cut
from federation.round import Outcome, Shared, Trained, combined, sound, tensor_name
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.dataset import Dataset
from nonlinear_model.data.splits import label_counts
from nonlinear_model.network import draw_start
from nonlinear_model.training import all_at_once, one_by_one, tracking
from nonlinear_model.training.all_at_once import Examples, Returned, Server, Work
from nonlinear_model.training.planning import planned
from nonlinear_model.training.record import A_NAME, B_NAME, LAYER, Record, Replica
from verification.streams import generator

Engine = Callable[..., Returned]
ENGINES = {"all-at-once": all_at_once.train, "one-by-one": one_by_one.train}
_NAMES = {A_NAME: "A", B_NAME: "B", "head": "head"}


class DivergenceError(ValueError):
    """A client's loss became infinite, NaN, or larger than the bound."""


class Federation:
    """The state of a run, and the step from one round to the next.

    Its record has what was measured so far and the numbers sent; `diverged`, only with `give_up=True`, says
    which replicas were given up, bool (R,).
    """

    def __init__(
        self,
        config: Configuration,
        data: Dataset,
        replicas: Sequence[Replica] | None = None,
        *,
        engine: Engine | None = None,
        give_up: bool = False,
        tracked: Collection[int] | None = None,
    ) -> None:
        """Deal the images, draw the start, and refuse a start that cannot move.

        Args:
            replicas: repetitions side by side; None for the configuration's seeds and learning rate.
            give_up: leave a diverged replica where it was instead of raising `DivergenceError`.
            tracked: the rounds that are measured; None for the configuration's.

        Raises:
            ValueError: if the split cannot be made, or every gradient is zero at the start.
        """
        self.config = config
        self.replicas = tuple(replicas or (Replica(s, config.learning_rate) for s in config.seeds))
        self.method = method_named(config.method, config.rounds)
        self.optimiser = config.optimiser_rule()
        self.round = 0
        self._engine = engine or ENGINES[config.engine]
        self._give_up = give_up
        self._privacy = config.policy()
        every = config.evaluate_every
        self._tracked = tracked or {*range(every, config.rounds, every), config.rounds}
        dtype, device = getattr(torch, config.dtype), torch.device(config.device)
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise ValueError(
                f"device {config.device!r} is not available on this machine; use 'cpu'"
            )
        starts = {r.seed: draw_start(config, data, r.seed) for r in self.replicas}
        first = starts[self.replicas[0].seed]

        def stack(name: str) -> Tensor:
            values = [getattr(starts[r.seed], name) for r in self.replicas]
            return torch.tensor(np.stack(values)).to(dtype).to(device)

        self.server = Server(stack("A"), stack("B"), stack("head"))
        self._train = examples_of(data.train_x, data.train_y, first.W0, dtype, device)
        test = examples_of(data.test_x, data.test_y, first.W0, dtype, device)
        parts = {
            r.seed: config.deal(data.train_y, generator(r.seed, "nonlinear", "split"))
            for r in self.replicas
        }
        self.parts = [parts[r.seed] for r in self.replicas]
        counts = np.stack([label_counts(part, data.train_y, data.classes) for part in self.parts])
        self.label_counts = counts  # (R, N, classes)
        self._sizes = counts.sum(axis=2)
        self._everybody = np.tile(np.arange(config.clients), (len(self.replicas), 1))
        self.diverged = np.zeros(len(self.replicas), dtype=bool)
        self._states: dict[str, State] = {}
        self._projection: Tensor | None = None
        staying = {*self.method.personal, *(["head"] if config.head == "local" else [])}
        self._own = {  # what stays with its client, (R, N, …)
            name: all_at_once.for_each(self.server.tensors()[name], config.clients).clone()
            for name in sorted(staying)
        }
        held = {str(f): self.server.tensors()[f] for f in sorted(self.method.controls)}
        self._controls = Controls.nothing(held, config.clients)
        self._memory: Tensor | None = None
        sent = self._shared().nothing_sent(config.clients, len(self.replicas), config.ranks)
        examples, weights = (self._train, test), self._weights(self._everybody)
        self.record = Record(
            config, self.method, self.replicas, self.parts, counts, weights, examples, sent
        )
        self._refuse_dead_start()
        self._recorded(0, None, None, "")

    @property
    def rows(self) -> list[tracking.Row]:
        """The tidy record so far."""
        return self.record.rows

    def step(self) -> list[tracking.Row]:
        """One round. Returns the rows it added to the record, if it is a tracked round.

        Raises DivergenceError, naming round, method and client, and what to lower.
        """
        t = self.round + 1
        config, factors = self.config, self.method.trainable(t)
        draws = [generator(r.seed, "nonlinear", "participants", t) for r in self.replicas]
        each = [participants(rng, config.clients, config.participation) for rng in draws]
        people = np.stack(each)
        work = self._work(t, people)
        train = work.train
        sent = self._sent_to(people)
        states = self._states_of(people, train)
        returned = self._engine(sent, self._train, work, self.optimiser, states)
        self._check(returned, sent, people, t)
        self._keep_states(people, returned)
        self._make_private(returned, sent, people, t)
        self._keep_controls(people, sent, returned, work)
        for name in sorted(set(self._own) - train):  # its turn is another round
            returned.stacks[name] = sent.tensors()[name]
        weights = self._weights(people)
        outcome = self._combined(returned.stacks, weights, t, people)
        self.record.sent = outcome.counted(self.record.sent, t, people)
        self._keep_own(people, outcome.own)
        made = outcome.shared
        adapter, merged = made.adapters[LAYER], made.merged.get(LAYER)
        self._memory = made.memory.get(LAYER)
        self.server = self._moved(Server(adapter.A, adapter.B, made.head["head"], merged))
        self.round = t
        if t not in self._tracked:
            return []
        loss = (weights * returned.loss.double().cpu().numpy()).sum(axis=1)
        trained = "".join(sorted(str(f) for f in factors))
        (error,) = outcome.errors()
        return self._recorded(t, loss, error.double().cpu().numpy(), trained)

    def _recorded(
        self, t: int, loss: np.ndarray | None, error: np.ndarray | None, trained: str
    ) -> list[tracking.Row]:
        everybody = replace(self.server, **self._own)
        return self.record.add(t, everybody, self.server.A, loss, error, trained)

    def weights(self) -> dict[str, Tensor]:
        """The server's model by name, and with `own.` before it what each client has of its own."""
        return self.server.tensors() | {f"own.{name}": own for name, own in self._own.items()}

    def finish(self) -> list[tracking.Row]:
        """The record with the angle of each row's A-subspace to the last one filled in."""
        return self.record.finish()

    def tensors(self) -> dict[str, Tensor]:
        """Everything a checkpoint needs beside the record: see `restore`."""
        saved = {f"server.{name}": value for name, value in self.weights().items()}
        for name, state in self._states.items():
            saved |= {f"state.{name}.{key}": value for key, value in state.items()}
        saved |= {f"control.{name}": value for name, value in self._controls.arrays().items()}
        saved |= self.record.tensors()
        saved["diverged"] = torch.tensor(self.diverged)
        if self._memory is not None:
            saved["memory"] = self._memory
        return {name: value.detach().contiguous().cpu() for name, value in saved.items()}

    def restore(self, tensors: dict[str, Tensor], rows: list[tracking.Row], round: int) -> None:
        """Take up a run where `tensors` and `rows` left it."""
        device = self.server.A.device
        on = {name: value.to(device) for name, value in tensors.items()}
        self._own = {name: on.pop(f"server.own.{name}").clone() for name in self._own}
        server = {name[7:]: value for name, value in on.items() if name.startswith("server.")}
        self.server = Server(**server)
        kept = {name[8:]: value for name, value in on.items() if name.startswith("control.")}
        self._controls = Controls.restored(kept)
        self._memory = on.get("memory")
        self._states = {}
        for name, value in on.items():
            if name.startswith("state."):
                _, tensor, key = name.split(".")
                self._states.setdefault(tensor, {})[key] = value
        self.record.restore(tensors, rows)
        self.diverged = tensors["diverged"].numpy().copy()
        self.round = round

    def _work(self, t: int, people: np.ndarray) -> Work:
        adapter = self._shared().adapters[LAYER]
        work = planned(self.config, self.method, self.replicas, self.parts, t, people, adapter)
        corrections = self._controls.corrections(people, work.train)
        standing = self._standing_projection(t, work.train)
        return replace(work, corrections=corrections, projection=standing)

    def _standing_projection(self, t: int, train: frozenset[str]) -> Tensor | None:
        """x·A of all images once A trains neither in this round nor did in the last: FFA-LoRA's case."""
        moved = t > 1 and self.record.sent.last_change(A_NAME) == t - 1
        if "A" in train or "A" in self._own or moved:
            self._projection = None
        elif self._projection is None:
            self._projection = all_at_once.project(self.server.A, self._train)
        return self._projection

    def _states_of(self, people: np.ndarray, train: frozenset[str]) -> dict[str, State] | None:
        if self.optimiser.state == "reset":
            return None
        index = self._index(people)
        for name in sorted(train - set(self._states)):
            each = all_at_once.for_each(self.server.tensors()[name], self.config.clients)
            self._states[name] = self.optimiser.fresh(each, axes=2)
        return {
            name: {key: value[index].clone() for key, value in self._states[name].items()}
            for name in sorted(train)
        }

    def _keep_states(self, people: np.ndarray, returned: Returned) -> None:
        if self.optimiser.state == "reset":
            return
        index = self._index(people)
        for name, state in returned.states.items():
            for key, value in state.items():
                self._states[name][key][index] = value

    def _keep_controls(
        self, people: np.ndarray, sent: Server, returned: Returned, work: Work
    ) -> None:
        moved = {
            name: all_at_once.for_each(sent.tensors()[name], people.shape[1])
            - returned.stacks[name]
            for name in work.corrections
        }
        if moved:
            taken = work.batches.shape[2] if work.steps is None else work.steps
            steps = (work.rate[:, None] * taken).expand(people.shape)
            weights = self._weights(self._everybody)
            self._controls = self._controls.after(people, moved, steps, weights)

    def _index(self, people: np.ndarray) -> tuple[Tensor, Tensor]:
        device = self.server.A.device
        rows = torch.arange(len(self.replicas), device=device).unsqueeze(1)
        return rows, torch.from_numpy(people).to(device)

    def _check(self, returned: Returned, started: Server, people: np.ndarray, t: int) -> None:
        broken = {n: ~sound(v, 2).cpu().numpy() for n, v in returned.stacks.items()}
        worst = returned.worst.cpu().numpy()
        bad = np.any([~(worst <= self.config.loss_bound), *broken.values()], axis=0)
        if bad.any() and not self._give_up:
            replica, place = (int(i) for i in np.argwhere(bad)[0])
            tensor = next((name for name, where in broken.items() if where[replica, place]), "")
            loss, client = float(worst[replica, place]), int(people[replica, place])
            raise DivergenceError(self._divergence(t, replica, client, loss, tensor))
        self.diverged |= bad.any(axis=1)
        if not self.diverged.any():
            return
        dead = self._dead()[..., None]
        for name, value in returned.stacks.items():
            held = all_at_once.for_each(started.tensors()[name], people.shape[1])
            returned.stacks[name] = torch.where(dead, held, value)
        for state in returned.states.values():
            for key, value in state.items():
                state[key] = torch.where(dead, torch.zeros_like(value), value)

    def _make_private(
        self, returned: Returned, started: Server, people: np.ndarray, t: int
    ) -> None:
        """Clip and blur what leaves the clients; replicas one by one, for each has a seed of its own."""
        leaving = {name: v for name, v in returned.stacks.items() if name not in self._own}
        if self._privacy is None or not leaving:
            return
        held, n = started.tensors(), people.shape[1]
        began = {name: all_at_once.for_each(held[name], n) for name in leaving}
        parts = [
            self._privacy.sent(
                {name: value[r] for name, value in leaving.items()},
                {name: began[name][r] for name in leaving},
                people[r],
                partial(generator, replica.seed, "nonlinear", "privacy", t),
            )
            for r, replica in enumerate(self.replicas)
        ]
        for name in leaving:
            made = torch.stack([part[name] for part in parts])
            returned.stacks[name] = self._cut(name, made, people)

    def _cut(self, name: str, tensor: Tensor, people: np.ndarray) -> Tensor:
        """A tensor of the participants, within the ranks that they have."""
        if not self.config.ranks or name not in ("A", "B"):
            return tensor
        each = all_at_once.for_each(tensor, people.shape[1])
        return cut(Factor(name), each, np.array(self.config.ranks)[people])

    def _divergence(self, t: int, replica: int, client: int, loss: float, tensor: str) -> str:
        bound = self.config.loss_bound
        # The loss is taken before a step, so the last one can overflow unseen by it.
        told = [] if loss <= bound else [f"its loss reached {loss:.3g} (bound {bound:g})"]
        told += [f"it returned NaN or infinity in tensor {tensor}"] if tensor else []
        what = " and ".join(told)
        where = f"round {t}, method {self.method.name}, client {client}"
        if len(self.replicas) > 1:
            where += f", seed {self.replicas[replica].seed}"
        lower = "local_epochs" if self.config.local_epochs else "local_steps"
        return (
            f"{where} diverged: {what}; lower the learning rate ({self.replicas[replica].rate:g})"
            f" or {lower}"
        )

    def _dead(self) -> Tensor:
        """Which replicas were given up, (R, 1, 1) on the device."""
        return torch.from_numpy(self.diverged).to(self.server.A.device)[:, None, None]

    def _moved(self, server: Server) -> Server:
        """The next server's model: replicas that were given up keep every bit of what they were."""
        tensors = server.tensors()
        if self.diverged.any():
            held, dead = self.server.tensors(), self._dead()
            for name, made in tensors.items():
                before = held.get(name, torch.zeros_like(made))  # nothing merged yet
                tensors[name] = torch.where(dead, before, made)
        return Server(**{name: value.contiguous() for name, value in tensors.items()})

    def _weights(self, people: np.ndarray) -> np.ndarray:
        """Normalised weights of the participants, (R, n)."""
        sizes = np.take_along_axis(self._sizes, people, axis=1)
        return np.stack([weights_of(self.config.weighting, row) for row in sizes])

    def _combined(
        self, stacks: dict[str, Tensor], weights: np.ndarray, t: int, people: np.ndarray
    ) -> Outcome:
        """The server's part of the round, and what it leaves with each client put there."""
        first = {name: value.transpose(0, 1) for name, value in stacks.items()}
        factors = {LAYER: ClientFactors(first.get("A"), first.get("B"))}
        heads = {"head": first["head"]} if "head" in first else {}
        ranks = np.array(self.config.ranks)[people] if self.config.ranks else None
        trained = Trained(factors, heads, ranks)
        return combined(self.method, self._shared(), trained, weights, t, head=self.config.head)

    def _shared(self) -> Shared:
        server = self.server
        merged = {} if server.merged is None else {LAYER: server.merged}
        adapter = Adapter(server.A, server.B, self.config.scale)
        # Clients that sit out, or take other numbers of steps, cannot tell c from the broadcasts.
        travel = self.config.participation < 1.0 or self.config.local_epochs is not None
        names = {tensor_name(LAYER, f) for f in self.method.controls if travel}
        memory = {} if self._memory is None else {LAYER: self._memory}
        return Shared({LAYER: adapter}, {"head": server.head}, merged, frozenset(names), memory)

    def _sent_to(self, people: np.ndarray) -> Server:
        """What the participants start the round with: the server's model, and what each has of its own."""
        index = self._index(people)
        sent = replace(self.server, **{name: own[index] for name, own in self._own.items()})
        return replace(sent, A=self._cut("A", sent.A, people), B=self._cut("B", sent.B, people))

    def _keep_own(self, people: np.ndarray, own: dict[str, Tensor]) -> None:
        index = self._index(people)
        for name, stack in own.items():
            held = self._own[_NAMES[name]]
            made = stack.transpose(0, 1)
            if self.diverged.any():
                made = torch.where(self._dead()[..., None], held[index], made)
            held[index] = made

    def _refuse_dead_start(self) -> None:
        """A start at which both factors' gradients vanish stays where it is for ever."""
        rows = torch.arange(min(self._train.y.shape[0], 64), device=self._train.y.device)
        rows = rows.expand(len(self.replicas), 1, -1)
        want = {"A", "B"} if self.config.head == "frozen" else {"A", "B", "head"}
        found = tracking.gradients_at(self.server, self._train, rows, self.config.scale, want).of
        if not any(bool(torch.any(gradient)) for gradient in found.values()):
            raise ValueError(
                "the start cannot move: every gradient is zero there; choose another b_start"
            )


def examples_of(
    x: np.ndarray, y: np.ndarray, W0: np.ndarray | None, dtype: torch.dtype, device: torch.device
) -> Examples:
    """Images and labels as the engines take them, with x·W0."""
    images = torch.from_numpy(x).to(device=device, dtype=dtype)
    labels = torch.from_numpy(y).to(device)
    base = None if W0 is None else images @ torch.tensor(W0, dtype=dtype, device=device)
    return Examples(images, labels, base)

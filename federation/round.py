"""One server round: from what the clients came back with to what the server shares next, for any model.

Layers go by name. Leading axes of the server's arrays (replicas side by side) are allowed; in what came back
the client axis N comes before them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from operator import attrgetter

import numpy as np

from verification.discovery import extras_named

with extras_named():
    import torch
    from torch import Tensor

from federated_lora import (
    Adapter,
    ClientFactors,
    Factor,
    Method,
    added,
    aggregate_model,
    dense,
    weighted_mean,
)
from federated_lora.arrays import like
from federation.sent import Exchange, Sent, control_name, exchanged
from federation.sent import tensor_name as tensor_name


@dataclass(frozen=True, eq=False)
class Shared:
    """What the server shares with all clients.

    Attributes:
        adapters: layer name to adapter, (*batch, d_in, r) and (*batch, r, d_out).
        head: name to tensor (*batch, …) of the classification head.
        merged: layer name to what was added to its W0 since the start, (*batch, d_in, d_out), in the
            convention `x ↦ x W`; without the layers whose W0 is as it was.
        controlled: names of the factors whose control variate is sent down with them.
        memory: layer name to what the method remembers between rounds, (*batch, …); it is not sent.
    """

    adapters: Mapping[str, Adapter]
    head: Mapping[str, Tensor] = field(default_factory=dict)
    merged: Mapping[str, Tensor] = field(default_factory=dict)
    controlled: frozenset[str] = frozenset()
    memory: Mapping[str, Tensor] = field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        """Numbers in each factor and head tensor, of one replica."""
        factors = {
            tensor_name(layer, factor): adapter.shape.numbers(factor)
            for layer, adapter in self.adapters.items()
            for factor in Factor
        }
        first = next(iter(self.adapters.values()))
        batch = int(np.prod(first.A.shape[:-2], dtype=np.int64))
        controls = {control_name(name): factors[name] for name in sorted(self.controlled)}
        heads = {name: value.numel() // batch for name, value in self.head.items()}
        return factors | controls | heads

    def nothing_sent(self, clients: int, replicas: int = 1, ranks: Sequence[int] = ()) -> Sent:
        """The count of numbers sent, before the first round; clients' ranks if they have their own."""
        shapes = [adapter.shape for adapter in self.adapters.values()]
        W0 = sum(shape.d_in * shape.d_out for shape in shapes)
        shares = np.array([[own, shapes[0].rank] for own in ranks]) if ranks else None
        return Sent.nothing(self.sizes(), clients, dense=W0, replicas=replicas, shares=shares)

    def replica(self, r: int) -> Shared:
        """One of the replicas, without its axis."""
        return Shared(
            {name: replace(a, A=a.A[r], B=a.B[r]) for name, a in self.adapters.items()},
            {name: value[r] for name, value in self.head.items()},
            {name: value[r] for name, value in self.merged.items()},
            self.controlled,
            {name: value[r] for name, value in self.memory.items()},
        )


@dataclass(frozen=True, eq=False)
class Trained:
    """What the clients came back with.

    Stacks (N, *batch, …): of the `factors` by layer, those trained and in every round the personal ones;
    of the `heads` by name, none where the head did not train. The clients' `ranks`, (N,) or (R, N), where
    they have their own.
    """

    factors: Mapping[str, ClientFactors]
    heads: Mapping[str, Tensor] = field(default_factory=dict)
    ranks: np.ndarray | None = None

    def ranked(self) -> Mapping[str, ClientFactors]:
        """The factors, with their clients' ranks."""
        if self.ranks is None:
            return self.factors
        ranks = tuple(int(own) for own in self.ranks)
        return {layer: replace(stack, ranks=ranks) for layer, stack in self.factors.items()}

    def replica(self, r: int) -> Trained:
        """One of the replicas, without its axis."""
        factors = {
            layer: ClientFactors(
                **{str(f): sent[:, r] for f in Factor if (sent := stack.factor(f)) is not None}
            )
            for layer, stack in self.factors.items()
        }
        heads = {name: stack[:, r] for name, stack in self.heads.items()}
        return Trained(factors, heads, None if self.ranks is None else self.ranks[r])


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a round came to.

    Attributes:
        shared: what the server shares next; an array that did not change is the same object.
        own: what stays with its client: name to stack (N, *batch, …) of personal factors and local heads.
        exchange: what was sent for it.
        errors: the aggregation error of each layer in turn, (*batch); computed when called for.
    """

    shared: Shared
    own: dict[str, Tensor]
    exchange: Exchange
    errors: Callable[[], list[Tensor]]

    def counted(self, sent: Sent, round: int, people: np.ndarray) -> Sent:
        """The numbers sent, after this round with its participants, (R, n)."""
        return sent.after(round, people, self.exchange)


def sound(stack: Tensor, leading: int) -> Tensor:
    """Which clients' parts of a stack are finite, bool over its first `leading` axes."""
    # A finite sum has finite terms only, and costs one pass; an infinite one may have overflowed.
    if isfinite(float(stack.sum())):
        return torch.ones(stack.shape[:leading], dtype=torch.bool, device=stack.device)
    return torch.isfinite(stack).flatten(leading).all(dim=leading)


def combined(
    method: Method,
    shared: Shared,
    trained: Trained,
    weights: np.ndarray | None,
    round: int,
    *,
    head: str,
) -> Outcome:
    """The server's part of a round.

    Client sizes or weights are (N,), None for uniform; or (R, N), one row per replica, which are then
    combined one by one unless the rows are equal.
    """
    if weights is not None and weights.ndim == 2:
        if np.any(weights != weights[0]) or trained.ranks is not None:
            parts = [
                combined(method, shared.replica(r), trained.replica(r), row, round, head=head)
                for r, row in enumerate(weights)
            ]
            return _side_by_side(shared, parts)
        weights = weights[0]
    step = shared.adapters, trained.ranked(), weights, round, shared.memory
    aggregates = aggregate_model(method, *step)
    merged = dict(shared.merged)
    own: dict[str, Tensor] = {}
    for layer, one in aggregates.items():
        for factor in Factor:
            kept = None if one.personal is None else one.personal.factor(factor)
            if kept is not None:
                own[tensor_name(layer, factor)] = kept
        if one.merged is not None:
            before = merged.get(layer)
            after = dense(one.merged) if before is None else added(before, one.merged)
            merged[layer] = like(after, one.adapter.A)
    heads = dict(shared.head)
    averaged = [*trained.heads] if head == "average" else []
    if averaged:
        p = next(iter(aggregates.values())).weights
        heads |= {name: weighted_mean(stack, p) for name, stack in trained.heads.items()}
    elif head == "local":
        own |= trained.heads
    shapes = {layer: adapter.shape for layer, adapter in shared.adapters.items()}
    exchange = exchanged(method, aggregates, shapes, shared.sizes(), round, averaged)
    adapters = {layer: one.adapter for layer, one in aggregates.items()}
    memory = {k: one.memory for k, one in aggregates.items() if one.memory is not None}
    made = Shared(adapters, heads, merged, shared.controlled, memory)
    return Outcome(
        made,
        own,
        exchange,
        lambda: [one.aggregation_error for one in aggregates.values()],
    )


def carried_on(
    before: Shared, outcome: Outcome, velocity: Mapping[str, Tensor], momentum: float
) -> tuple[Outcome, dict[str, Tensor]]:
    """Server momentum β: what a round moved goes on, `V ← β V + (mean − server)`, `server ← server + V`.

    Each array has its own V, by name, which waits while the array is not sent: of RoLoRA's two factors each
    has that of its own last round.
    """
    made, kept = outcome.shared, dict(velocity)

    def moved(name: str, held: Tensor, mean: Tensor) -> Tensor:
        if name not in outcome.exchange.changed:
            return mean
        kept[name] = mean - held + momentum * kept[name] if name in kept else mean - held
        return held + kept[name]

    adapters = dict(made.adapters)
    for layer, held in before.adapters.items():
        for factor in Factor:
            own = moved(
                tensor_name(layer, factor), held.factor(factor), made.adapters[layer].factor(factor)
            )
            adapters[layer] = adapters[layer].with_factor(factor, own)
    head = {name: moved(name, before.head[name], mean) for name, mean in made.head.items()}
    return replace(outcome, shared=replace(made, adapters=adapters, head=head)), kept


def _side_by_side(shared: Shared, parts: list[Outcome]) -> Outcome:
    """Replicas combined one by one, with their axis again."""
    first = parts[0]
    changed = first.exchange.changed

    def adapter(layer: str, held: Adapter) -> Adapter:
        for factor in Factor:
            if tensor_name(layer, factor) in changed:
                made = [part.shared.adapters[layer].factor(factor) for part in parts]
                held = held.with_factor(factor, torch.stack(made))
        return held

    head = {
        name: torch.stack([part.shared.head[name] for part in parts]) if name in changed else held
        for name, held in shared.head.items()
    }
    merged, memory = (
        {
            layer: torch.stack([of(part.shared)[layer] for part in parts])
            for layer in of(first.shared)
        }
        for of in (attrgetter("merged"), attrgetter("memory"))
    )
    return replace(
        first,
        shared=Shared(
            {name: adapter(name, a) for name, a in shared.adapters.items()},
            head,
            merged,
            shared.controlled,
            memory,
        ),
        # Clients of other ranks may carry other numbers.
        exchange=replace(first.exchange, merged=np.array([p.exchange.merged for p in parts])),
        own={name: torch.stack([p.own[name] for p in parts], dim=1) for name in first.own},
        errors=lambda: [
            torch.stack(layer) for layer in zip(*(p.errors() for p in parts), strict=True)
        ],
    )

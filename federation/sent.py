"""Numbers sent, when some clients sit out rounds: one rule for every laboratory.

A client keeps what it was sent. Before a round it is sent what it missed: every array the server changed
since it was last sent one. After the round it is sent the round's result, as the method's traffic says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from federated_lora import Aggregate, Factor, Method, Shape, Traffic
from federated_lora.merged import numbers


def tensor_name(layer: str, factor: Factor) -> str:
    """Name of a factor of a layer: of optimiser states, of what stays with clients, in checkpoints."""
    return f"{layer}.lora_{factor}"


def control_name(name: str) -> str:
    """Name of the control variate of a tensor."""
    return f"control.{name}"


@dataclass(frozen=True, eq=False)
class Exchange:
    """What a round moves.

    Attributes:
        traffic: what one client sends, and receives if it missed nothing, without `merged`.
        changed: names of the shared arrays that changed.
        merged: numbers that carry the round's change to the frozen matrices; also (R,), one a replica.
    """

    traffic: Traffic
    changed: frozenset[str]
    merged: int | np.ndarray = 0


def exchanged(
    method: Method,
    made: Mapping[str, Aggregate],
    shapes: Mapping[str, Shape],
    sizes: Mapping[str, int],
    round: int,
    heads: Collection[str] = (),
) -> Exchange:
    """What a round of a federated_lora method moves.

    Args:
        made: what came of every layer.
        shapes: of the layers, for a laboratory may work in fewer coordinates than travel.
        sizes: numbers in each array that is shared, control variates that travel included.
        heads: names of the arrays beside the factors that trained and were averaged.
    """
    pairs = [(layer, factor) for layer in made for factor in Factor]
    changed = {
        tensor_name(layer, factor)
        for layer, factor in pairs
        if made[layer].adapter.factor(factor) is not made[layer].server.factor(factor)
    }
    changes = {layer: one.merged for layer, one in made.items() if one.merged is not None}
    traffic = method.traffic([*shapes.values()], round)
    told = max(0, traffic.down - sum(sizes[name] for name in changed)) if changes else 0
    # Once, whether the method counts it or not.
    merged = told or sum(numbers(change, shapes[layer]) for layer, change in changes.items())
    trained = {tensor_name(layer, f) for layer, f in pairs if f in method.trainable(round)}
    controls = {control_name(name) for name in trained} & sizes.keys()
    whole = sum(sizes[name] for name in heads)
    more = Traffic(whole, whole - told + sum(sizes[name] for name in controls))
    return Exchange(traffic + more, frozenset(changed | controls | {*heads}), merged)


@dataclass(frozen=True, eq=False)
class Sent:
    """Numbers sent since the start, over all clients of each of R replicas. All arrays are int64.

    Attributes:
        sizes: numbers in each array that the server shares with all clients, by name.
        dense: numbers in the frozen matrices; what was merged into them never costs more.
        up, down: from and to the clients, (R,).
        changed: the last round that changed each array, in the order of `sizes`.
        held: the last round whose result a client was sent, (R, N).
        merged: numbers of all changes to the frozen matrices so far, (R, 1) or (1, 1).
        held_merged: as many of them as a client was sent, (R, N).
        shares: each client's rank and the server's, (N, 2), where they differ: factors travel in part.
    """

    sizes: Mapping[str, int]
    dense: int
    up: np.ndarray
    down: np.ndarray
    changed: np.ndarray
    held: np.ndarray
    merged: np.ndarray
    held_merged: np.ndarray
    shares: np.ndarray | None = field(default=None, kw_only=True)

    @classmethod
    def nothing(
        cls,
        sizes: Mapping[str, int],
        clients: int,
        *,
        dense: int = 0,
        replicas: int = 1,
        shares: np.ndarray | None = None,
    ) -> Sent:
        """Before the first round, when every client holds the start."""
        shapes = ((replicas,), (replicas,), (len(sizes),), (replicas, clients), (1, 1))
        zeros = [np.zeros(shape, dtype=np.int64) for shape in (*shapes, (replicas, clients))]
        return cls(sizes, dense, *zeros, shares=shares)

    def last_change(self, name: str) -> int:
        """The last round that changed an array, 0 for none."""
        return int(self.changed[[*self.sizes].index(name)])

    def after(self, round: int, people: np.ndarray, exchange: Exchange) -> Sent:
        """The count after one more round, with its participants (R, n)."""
        traffic, changed, carrying = exchange.traffic, exchange.changed, exchange.merged
        merged = np.reshape(carrying, (-1, 1))
        rows = np.arange(len(people))[:, None]
        stale = self.held[rows, people][..., None] < self.changed
        unmerged = np.minimum(self.merged - self.held_merged[rows, people], self.dense)
        sizes = np.array([*self.sizes.values()], dtype=np.int64)
        factors = np.array([".lora_" in name for name in self.sizes], dtype=bool)
        # Of factors a client of smaller rank is sent, and sends, so many of so many columns.
        own, all = (1, 1) if self.shares is None else np.moveaxis(self.shares[people], -1, 0)
        missed = stale @ np.where(factors, sizes, 0) * own // all
        missed = missed + stale @ np.where(factors, 0, sizes) + unmerged
        whole = sum(self.sizes[name] for name in changed if ".lora_" not in name)
        up = np.broadcast_to(whole + (traffic.up - whole) * own // all, people.shape)
        down = whole + merged + (traffic.down - whole) * own // all + missed
        held, held_merged = self.held.copy(), self.held_merged.copy()
        held[rows, people] = round
        held_merged[rows, people] = self.merged + merged
        return replace(
            self,
            up=self.up + up.sum(axis=1),
            down=self.down + down.sum(axis=1),
            changed=np.where([name in changed for name in self.sizes], round, self.changed),
            held=held,
            merged=self.merged + merged,
            held_merged=held_merged,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint needs."""
        names = ("up", "down", "changed", "held", "merged", "held_merged")
        return {name: getattr(self, name) for name in names}

    def restored(self, arrays: Mapping[str, np.ndarray]) -> Sent:
        """The count that `arrays` were taken of."""
        held = (arrays[name].copy() for name in self.arrays())
        return Sent(self.sizes, self.dense, *held, shares=self.shares)

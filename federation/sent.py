"""Numbers sent, when some clients sit out rounds: one rule for every laboratory.

A client keeps what it was sent. Before a round it is sent what it missed: every array the server changed
since it was last sent one. After the round it is sent the round's result, as the method's traffic says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from federated_lora import Traffic


@dataclass(frozen=True, eq=False)
class Sent:
    """Numbers sent since the start, over all clients of each of R replicas. All arrays are int64.

    Attributes:
        sizes: numbers in each array that the server shares with all clients, by name.
        dense: numbers in the frozen matrices; what was merged into them never costs more.
        up, down: from and to the clients, (R,).
        changed: the last round that changed each array, in the order of `sizes`.
        held: the last round whose result a client was sent, (R, N).
        merged: numbers of all changes to the frozen matrices so far, (1,).
        held_merged: as many of them as a client was sent, (R, N).
    """

    sizes: Mapping[str, int]
    dense: int
    up: np.ndarray
    down: np.ndarray
    changed: np.ndarray
    held: np.ndarray
    merged: np.ndarray
    held_merged: np.ndarray

    @classmethod
    def nothing(
        cls, sizes: Mapping[str, int], clients: int, *, dense: int = 0, replicas: int = 1
    ) -> Sent:
        """Before the first round, when every client holds the start."""
        shapes = ((replicas,), (replicas,), (len(sizes),), (replicas, clients), (1,))
        zeros = [np.zeros(shape, dtype=np.int64) for shape in (*shapes, (replicas, clients))]
        return cls(sizes, dense, *zeros)

    def last_change(self, name: str) -> int:
        """The last round that changed an array, 0 for none."""
        return int(self.changed[[*self.sizes].index(name)])

    def after(
        self,
        round: int,
        people: np.ndarray,
        traffic: Traffic,
        changed: Collection[str],
        merged: int = 0,
    ) -> Sent:
        """The count after one more round.

        Args:
            people: its participants, (R, n).
            traffic: what one of them sends, and receives if it missed nothing.
            changed: names of the arrays that the round changed.
            merged: numbers that carry the round's change to the frozen matrices; part of `traffic.down`.
        """
        rows, count = np.arange(len(people))[:, None], people.shape[1]
        stale = self.held[rows, people][..., None] < self.changed
        unmerged = np.minimum(self.merged - self.held_merged[rows, people], self.dense)
        missed = stale @ np.array([*self.sizes.values()], dtype=np.int64) + unmerged
        held, held_merged = self.held.copy(), self.held_merged.copy()
        held[rows, people] = round
        held_merged[rows, people] = self.merged + merged
        return replace(
            self,
            up=self.up + count * traffic.up,
            down=self.down + count * traffic.down + missed.sum(axis=1),
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
        return Sent(self.sizes, self.dense, *(arrays[name].copy() for name in self.arrays()))

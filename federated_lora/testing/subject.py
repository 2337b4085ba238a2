"""What is put to the test, behind one face: a `Method`, or somebody's function in other clothes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from federated_lora.adapter import Adapter, ClientFactors, Factor, Factors, Shape
from federated_lora.arrays import Array
from federated_lora.averaging import Average, Gauge, Method
from federated_lora.merged import dense
from federated_lora.server_step import aggregate
from federated_lora.testing.settings import numpy_of
from federated_lora.traffic import Traffic


@dataclass(frozen=True, slots=True)
class After:
    """What a round came to.

    Attributes:
        adapter: the new global adapter.
        merged: the change of W0, (*batch, d_in, d_out), or None.
        personal: factors of its own that each client has afterwards, stacks (N, …).
        memory: what the next round is to be given, or None.
    """

    adapter: Adapter
    merged: Array | None
    personal: Mapping[Factor, Array]
    memory: Array | None = None

    def model(self, server: Adapter) -> np.ndarray:
        """The models after the round less W0, float64, (*batch, d_in, d_out); personal: (N, …)."""
        A, B = (numpy_of(self.personal.get(f, self.adapter.factor(f))) for f in Factor)
        product = server.scale * (A @ B)
        return product if self.merged is None else product + numpy_of(self.merged)


class Subject(Protocol):
    """A rule that the cases can drive."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def average(self) -> Average:
        """What it promises of the mean."""

    @property
    def gauges(self) -> frozenset[Gauge]:
        """Changes of basis it promises to be blind to."""

    @property
    def personal(self) -> Factors:
        """Factors that stay with their clients."""

    @property
    def mixed_ranks(self) -> bool:
        """Whether clients may have ranks below the server's."""

    @property
    def remembers(self) -> bool:
        """Whether it hands a memory on between rounds."""

    def fresh(self) -> "Subject":
        """Another one that has seen no round."""

    def trainable(self, round: int) -> Factors:
        """Factors that clients train in a round."""

    def traffic(self, shape: Shape, round: int) -> Traffic | None:
        """Numbers sent in a round, None if it does not say."""

    def after(
        self,
        server: Adapter,
        clients: Mapping[Factor, Array],
        sizes: np.ndarray,
        round: int,
        ranks: tuple[int, ...] | None = None,
        memory: Array | None = None,
    ) -> After:
        """One round's server step.

        Args:
            clients: both factors of every client, stacks (N, …).
            sizes: example counts.
            ranks: of the clients, zero beyond; None if all have the server's.
            memory: of the round before, None in the first.
        """


@dataclass(frozen=True, eq=False)
class OfMethod:
    """A `federated_lora.Method`."""

    method: Method

    @property
    def name(self) -> str:
        """The method's."""
        return self.method.name

    @property
    def average(self) -> Average:
        """The method's promise."""
        return self.method.average

    @property
    def gauges(self) -> frozenset[Gauge]:
        """The method's promise."""
        return self.method.gauges

    @property
    def personal(self) -> Factors:
        """The method's."""
        return self.method.personal

    @property
    def mixed_ranks(self) -> bool:
        """The method's."""
        return self.method.mixed_ranks

    @property
    def remembers(self) -> bool:
        """The method's."""
        return self.method.remembers

    def fresh(self) -> "OfMethod":
        """Made anew, with the parameter it was made with."""
        _, _, parameter = self.method.name.partition(":")
        return OfMethod(type(self.method).made(parameter or None, ROUNDS))

    def trainable(self, round: int) -> Factors:
        """The method's."""
        return self.method.trainable(round)

    def traffic(self, shape: Shape, round: int) -> Traffic | None:
        """The method's."""
        return self.method.traffic([shape], round)

    def after(
        self,
        server: Adapter,
        clients: Mapping[Factor, Array],
        sizes: np.ndarray,
        round: int,
        ranks: tuple[int, ...] | None = None,
        memory: Array | None = None,
    ) -> After:
        """By `aggregate`, which checks what goes in and what comes out."""
        sent = self.method.trainable(round) | self.method.personal
        stacks = ClientFactors(**{str(f): clients[f] for f in sent}, ranks=ranks)
        made = aggregate(self.method, server, stacks, sizes, round, memory)
        kept = {} if made.personal is None else {
            f: stack for f in Factor if (stack := made.personal.factor(f)) is not None
        }  # fmt: skip
        merged = None if made.merged is None else dense(made.merged)
        return After(made.adapter, merged, kept, made.memory)


ROUNDS = 10
"""Length of the run that a schedule is told of."""

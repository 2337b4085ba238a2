"""What a federated LoRA method is, and the averaging most of them share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf, nan
from typing import ClassVar, Self, TypeVar

import numpy as np

from federated_lora.adapter import NEITHER, Adapter, ClientFactors, Factor, Factors, Shape
from federated_lora.arrays import Array
from federated_lora.traffic import Traffic, traffic_of
from federated_lora.weights import weighted_mean


class Average(StrEnum):
    """What the model after a round is to the mean of the clients' models, `W0 + Σ p_k s A_k B_k`."""

    EXACT = "exact"
    BEST = "best of rank r"
    """No adapter of rank r is nearer to the mean."""
    INEXACT = "inexact"
    PERSONAL = "personal"
    """There is no one model: factors stay with their clients."""


class Gauge(StrEnum):
    """A change of basis (A, B) → (A R, R⁻¹ B), which changes no product, before the rule is applied."""

    COMMON_ROTATION = "one rotation for all"
    COMMON = "one basis for all"
    ROTATIONS = "a rotation for each client"
    """With the server's own factors as they are."""
    EACH = "a basis for each client"


COMMON_GAUGES = frozenset({Gauge.COMMON_ROTATION, Gauge.COMMON})


@dataclass(frozen=True, slots=True)
class Replies:
    """What reached the server in a round, for one adapted matrix; sound, and like the server's.

    Attributes:
        weights: normalised client weights p_k, shape (N,).
        A: stacked down-projections (N, *batch, d_in, r); None if A was not trained, or is personal.
        B: stacked up-projections (N, *batch, r, d_out); None alike.
        memory: what the method's last `Update` asked to be remembered; None in the first round.
        ranks: of the clients, if the method has `mixed_ranks` and some have less than the server's r.
    """

    weights: np.ndarray
    A: Array | None = None
    B: Array | None = None
    memory: Array | None = None
    ranks: tuple[int, ...] | None = None

    def factor(self, factor: Factor) -> Array | None:
        """The named stack, or None if it was not sent."""
        return self.A if factor is Factor.A else self.B


@dataclass(frozen=True, slots=True)
class Update:
    """What the server makes of the replies, for one adapted matrix.

    Attributes:
        adapter: the new global adapter, of the server's shapes, dtype and scale.
        merged: change of the frozen matrix W0, or None: an `Adapter` (low rank, preferred) whose
            `delta()` is the change, or a dense array (*batch, d_in, d_out).
        personal: what each replying client keeps of its personal factors from now on; None for what
            it came out of its training with.
        memory: an array (*batch, …) that the server remembers until the next round, in which it stands in
            `Replies.memory`; None for nothing. Laboratories keep it and put it into checkpoints.
    """

    adapter: Adapter
    merged: Adapter | Array | None = None
    personal: ClientFactors | None = None
    memory: Array | None = None


class Method(ABC):
    """A federated LoRA method: which factors train, how they are combined, what travels.

    Attributes:
        name: key on command lines and in results.
        label: name in figures and tables.
        source: where it was published.
        order: place in listings.
        merges: True if `combine` may change W0. A laboratory that cannot refuses before any work.
        personal: factors of which each client has its own: they never leave it, `combine` does not see
            them, and `traffic` does not count them. In the global adapter they stay at their start,
            which is what a client begins with.
        controls: factors whose local gradients are corrected by control variates, which the laboratories
            keep (`federation.controls`); for plain gradient steps only.
        preconditions: True if `preconditioner` may return a matrix; for plain gradient steps only.
        remembers: True if `Update.memory` is not None in some rounds, and matters in later ones.
        mixed_ranks: True if clients may have ranks below the server's (`federation.ranks`).
        parameter: what may follow the name after a colon, at its default; None if nothing may.
        average: what `combine` promises of the mean; `federated_lora.testing` holds it to that.
        gauges: changes of basis that it promises to be blind to, beside `Gauge.COMMON_ROTATION`.
    """

    name: str
    label: ClassVar[str]
    source: ClassVar[str]
    order: ClassVar[int]
    merges: bool = False
    personal: Factors = NEITHER
    controls: Factors = NEITHER
    preconditions: bool = False
    remembers: bool = False
    mixed_ranks: bool = False
    parameter: ClassVar[str | None] = None
    average: ClassVar[Average] = Average.INEXACT
    gauges: ClassVar[frozenset[Gauge]] = COMMON_GAUGES

    @classmethod
    def made(cls, parameter: str | None, rounds: int | None) -> Self:  # noqa: ARG003 - a schedule's need
        """The method for a run.

        Args:
            parameter: what the user wrote after the name and a colon, or None.
            rounds: length of the run, None where nobody knows it yet.

        Raises:
            ValueError: on a bad parameter, or if the method needs the number of rounds and has none.
        """
        if parameter is not None:
            raise ValueError(f"method {cls.name} takes no parameter, got {parameter!r}")
        return cls()

    @abstractmethod
    def trainable(self, round: int) -> Factors:
        """Factors every client trains in the given server round, counting from 1.

        A function of the round alone.
        """

    def moving(self, round: int, step: int) -> Factors:  # noqa: ARG002 - for turns within a round
        """Of these factors those that a client's local step moves, counting steps from 1.

        A function of round and step alone. All, if a method says nothing else.
        """
        return self.trainable(round)

    def preconditioner(self, server: Adapter, round: int) -> Array | None:  # noqa: ARG002 - for a rule with one
        """A matrix (*batch, r, r) by which clients multiply their gradients of A from the right, or None."""
        return None

    def require_ranks(self, ranks: Sequence[int], rank: int) -> None:
        """Refuse clients' ranks below the server's, unless the method takes them."""
        if not self.mixed_ranks and any(own != rank for own in ranks):
            raise ValueError(
                f"method {self.name} needs clients of one rank, the server's {rank}, got ranks"
                f" {', '.join(map(str, ranks))}"
            )

    @abstractmethod
    def combine(self, server: Adapter, replies: Replies, round: int) -> Update:
        """The server's rule. `server` is what was broadcast; its arrays are not to be written to."""

    def traffic(self, shapes: Iterable[Shape], round: int) -> Traffic:
        """Numbers one client sends up and receives, given that it keeps what it already holds.

        The round's trained factors each way, without the personal ones; who sat out a round is sent what
        it missed besides. A merged change is counted by whoever combines, as `merged.numbers` says, unless
        this says more down than the factors that changed: then what is over is what carries the change.
        """
        moved = self.trainable(round) - self.personal
        return traffic_of(shapes, up=moved, down=moved)


class Averaging(Method):
    """Averages each factor that was trained and sent; the others stay the server's, bit for bit."""

    def combine(self, server: Adapter, replies: Replies, round: int) -> Update:
        """Ā = Σ p_k A_k, B̄ = Σ p_k B_k, or one of them."""
        adapter = server
        for factor in sorted(self.trainable(round) - self.personal):
            adapter = adapter.with_factor(
                factor, weighted_mean(replies.factor(factor), replies.weights)
            )
        return Update(adapter)


_Method = TypeVar("_Method", bound=type[Method])
_Made = TypeVar("_Made", bound=Method)


def method(name: str, *, label: str, source: str, order: int = 100) -> Callable[[_Method], _Method]:
    """Give a method its name: it is then found by it, in `federated_lora/methods` or outside."""

    def named(one: _Method) -> _Method:
        one.name, one.label, one.source, one.order = name, label, source, order
        return one

    return named


def with_number(made: _Made, attribute: str, parameter: str | None, *, below: float = inf) -> _Made:
    """A method of which one attribute is the number after its name's colon, if there is one.

    Raises:
        ValueError: unless the number is finite, at least 0 and below the bound.
    """
    if parameter is None:
        return made
    made.name = f"{made.name}:{parameter}"
    try:
        value = float(parameter)
    except ValueError:
        value = nan
    if not 0.0 <= value < below:
        most = f" and below {below:g}" if below < inf else ""
        raise ValueError(
            f"the {attribute} in {made.name!r} must be a finite number of at least 0{most}, got {parameter!r}"
        )
    setattr(made, attribute, value)
    return made


def check_round(round: int) -> None:
    """Refuse a round number that does not count from 1."""
    if isinstance(round, bool) or not isinstance(round, (int, np.integer)) or round < 1:
        raise ValueError(f"round counts from 1, got {round!r}")

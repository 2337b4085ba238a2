"""Which factor trains when: RoLoRA's alternation and its variants, as methods of `federated_lora`.

All of them train one factor a round and average it, so every average is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from federated_lora import (
    ONLY_A,
    ONLY_B,
    Adapter,
    Aggregate,
    ClientFactors,
    Factor,
    Method,
    Shape,
    Traffic,
    average_factors,
    method_named,
    methods,
)
from federated_lora.method import Weights, check_round
from federated_lora.traffic import traffic_of
from verification.names import one_of

CYCLES = {"a-heavy": "BAAA", "b-heavy": "BBBA"}
"""Schedules that repeat a pattern for ever. Balanced, `BA`, is RoLoRA itself."""

SWITCHES = ("rolora-then-ffa", "ffa-then-rolora")
"""Schedules that change from one method to another after a share of the rounds."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Trains the factors of `opening` in turn, then those of `cycle` over and over.

    Attributes:
        name: key in results.
        cycle: letters A and B, repeated for ever.
        opening: letters A and B for the first rounds, "" for none.

    Raises:
        ValueError: on other letters, or an empty cycle.
    """

    name: str
    cycle: str
    opening: str = ""

    def __post_init__(self) -> None:
        if not self.cycle or set(self.cycle + self.opening) - {"A", "B"}:
            raise ValueError(
                "a schedule is spelt with the letters A and B, with at least one to repeat,"
                f" got opening {self.opening!r} and cycle {self.cycle!r}"
            )

    def trainable(self, round: int) -> frozenset[Factor]:
        """One factor, by the server's round alone, counting from 1."""
        check_round(round)
        if round <= len(self.opening):
            letter = self.opening[round - 1]
        else:
            letter = self.cycle[(round - 1 - len(self.opening)) % len(self.cycle)]
        return ONLY_A if letter == "A" else ONLY_B

    def aggregate(
        self, server: Adapter, clients: ClientFactors, weights: Weights, round: int
    ) -> Aggregate:
        """Average of the round's factor; the other is the server's, bit for bit."""
        return average_factors(server, clients, weights, self.trainable(round), round)

    def traffic(self, shapes: Iterable[Shape], round: int) -> Traffic:
        """The round's factor each way."""
        return traffic_of(shapes, up=self.trainable(round), down=self.trainable(round))


def names() -> tuple[str, ...]:
    """Every method and schedule that `named` knows; switches take a percentage after a colon."""
    return (*(method.name for method in methods()), *CYCLES, *(f"{s}:20" for s in SWITCHES))


def named(name: str, rounds: int) -> Method:
    """A method of `federated_lora`, or one of the schedules.

    Args:
        name: `fedavg`, `ffa`, `rolora`; `a-heavy` (one B-round, three A-rounds), `b-heavy`;
            `rolora-then-ffa:20` (the first 20 % of the rounds RoLoRA, then FFA-LoRA with the A found),
            `ffa-then-rolora:20` (the first 20 % FFA-LoRA, then RoLoRA).
        rounds: length of the run, of which a percentage is taken (whole B–A pairs).

    Raises:
        ValueError: if there is none of that name (the nearest is suggested), the percentage is no
            number strictly between 0 and 100, or either part of the schedule would have no round.
    """
    if name in CYCLES:
        return Schedule(name, CYCLES[name])
    kind, colon, share = name.partition(":")
    if kind in SWITCHES:
        opening = 2 * round(rounds * _percentage(name, share if colon else "20") / 200.0)
        if not 0 < opening < rounds:
            raise ValueError(
                f"the percentage in {name!r} must come to at least one B–A pair of rounds and leave some,"
                f" got {opening} of {rounds} rounds"
            )
        if kind == "rolora-then-ffa":
            return Schedule(name, cycle="B", opening="BA" * (opening // 2))
        return Schedule(name, cycle="BA", opening="B" * opening)
    return method_named(one_of("method", name, names()))


def _percentage(name: str, share: str) -> float:
    try:
        value = float(share)
    except ValueError:
        value = float("nan")
    if not 0.0 < value < 100.0:
        raise ValueError(
            f"the percentage in {name!r} must lie strictly between 0 and 100, got {share!r}"
        )
    return value

"""What a round costs in numbers sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from federated_lora.adapter import Factor, Shape


@dataclass(frozen=True, slots=True)
class Traffic:
    """Numbers (not bytes) one client exchanges in one round: up to the server, down from it."""

    up: int
    down: int

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.up + other.up, self.down + other.down)

    @property
    def total(self) -> int:
        """Numbers both ways."""
        return self.up + self.down


def traffic_of(shapes: Iterable[Shape], up: frozenset[Factor], down: frozenset[Factor]) -> Traffic:
    """Traffic of a round that moves the named factors of every adapted matrix."""
    sizes = list(shapes)
    return Traffic(
        up=sum(shape.numbers(factor) for shape in sizes for factor in up),
        down=sum(shape.numbers(factor) for shape in sizes for factor in down),
    )

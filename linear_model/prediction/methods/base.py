"""What a method's row is made from: the setting, the entry of the table, the rows made before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from linear_model.prediction.law import Law
from linear_model.prediction.passage import Rounds
from linear_model.prediction.result import Row
from linear_model.prediction.setting import Setting


@dataclass(frozen=True, slots=True)
class Case:
    """A setting with its clients' targets (N, p), whose mean has length 1."""

    setting: Setting
    targets: np.ndarray

    def law(self, **variant: Any) -> Law:
        """The law of a round."""
        return Law.of(self.setting, self.targets, **variant)

    @property
    def alike(self) -> bool:
        """Whether all clients have one target."""
        return self.law().targets is None

    @property
    def all_present(self) -> bool:
        """Whether every client takes part in every round."""
        return self.setting.active == self.setting.clients


Before = Mapping[str, Row]


@dataclass(frozen=True, slots=True)
class Entry:
    """A method: what it is called, how often a round exchanges with the server, what makes its row."""

    method: str
    label: str
    exchanges: int
    make: Callable[[Entry, Case, Before], Row]

    @property
    def row(self) -> Row:
        """Its row without an answer."""
        return Row(self.method, self.label)


def unanswered(entry: Entry, why: str, *sources: str) -> Row:
    """A row that only says why it has no numbers, and what to do instead."""
    name = entry.method
    instead = f"simulate it: `rolora linear run --method {name} …`"
    return replace(entry.row, sources=sources, notes=(f"no formula here: {why}; {instead}",))


def exactly(rounds: int) -> Rounds:
    """The same number in every run."""
    return Rounds(rounds, rounds, rounds, rounds, 1.0)


def at_once(row: Row, why: str) -> Row:
    """Exact after one round."""
    row = replace(row, notes=(*row.notes, f"exact after one round: {why}"))
    one = exactly(1)
    return replace(row, rounds=one, model_rounds=one, angle_floor=0.0, error_floor=0.0, left=0.0)

"""What a prediction says: a row a method, the paper's rounds beside ours, and who wins."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from linear_model.prediction.floors import Measured
from linear_model.prediction.passage import Rounds
from linear_model.prediction.setting import Setting

SCHEMA_VERSION = 1
ALIASES = {"rolora": "algorithm2"}


@dataclass(frozen=True, slots=True)
class Row:
    """One method. Errors are in units of ‖b̄*‖; None means that nothing here says, and `notes` say why.

    Attributes:
        rounds: until the angle distance is at most ε.
        model_rounds: until the model's error √excess is at most ε.
        angle_floor, error_floor: root mean square at which angle and model's error settle, by formula.
        angle_measured, error_measured: the same by the chain at rest, where a floor is not 0.
        left: median of the model's error in a run's last round.
        rate: what a round leaves of a small error in the long run, root mean square.
        limit: whether all numbers are of infinitely many samples a client.
        up, down: numbers a participating client sends and receives in a round.
        exchanges: times the server hears from the clients in a round.
        sent: numbers both ways per client until the median of `model_rounds`.
        how: what computed the rounds.
        sources: what said so.
        notes: what is out of range, and what happens instead.
    """

    method: str
    label: str
    rounds: Rounds | None = None
    model_rounds: Rounds | None = None
    angle_floor: float | None = None
    error_floor: float | None = None
    angle_measured: Measured | None = None
    error_measured: Measured | None = None
    left: float | None = None
    rate: float | None = None
    limit: bool = False
    up: int | None = None
    down: int | None = None
    exchanges: int = 1
    sent: float | None = None
    how: str = ""
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """A number of rounds that a theorem asks for; None where it says nothing, and why."""

    name: str
    rounds: float | None
    source: str
    says: str


@dataclass(frozen=True, slots=True)
class Winner:
    """The methods that need least until the model's error is at most ε, or else whose floor is lowest.

    Of rows that hold at finitely many samples; `at` may be a long run between two methods, too.
    """

    at: str
    methods: tuple[str, ...]
    because: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """Everything that was found out about a setting."""

    setting: Setting
    rows: tuple[Row, ...]
    bounds: tuple[Bound, ...]
    winners: tuple[Winner, ...]
    notes: tuple[str, ...] = field(default=())
    seen: dict[str, Any] | None = None
    """What was estimated from features, if that is where the setting came from."""

    def row(self, method: str) -> Row:
        """The row of a method, `rolora` being Algorithm 2's; KeyError if there is none."""
        found = {row.method: row for row in self.rows}
        name = method.split(":", 1)[0]
        return found[ALIASES.get(name, name)]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        parts = ("rows", "bounds", "winners")
        plain = {part: [dataclasses.asdict(one) for one in getattr(self, part)] for part in parts}
        whole = {"schema_version": SCHEMA_VERSION, "setting": self.setting.as_dict(), **plain}
        return {**whole, "notes": list(self.notes), "seen": self.seen}

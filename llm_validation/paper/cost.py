"""What a published table costs on this device: its runs, their real lengths, and a measured speed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federation.participants import how_many
from llm_validation.config import Config
from llm_validation.paper.presets import Preset, presets
from llm_validation.paper.published import AVERAGE
from llm_validation.paper.recipes import Recipe
from verification.names import one_of

TABLES = ("glue", "commonsense")
TRIAL: dict[str, Any] = {
    "rounds": 3,
    "local_steps": 5,
    "evaluate_every": 3,
    "learning_rate_grid": [],
}


@dataclass(frozen=True, slots=True)
class Speed:
    """What a device does in a second, with one base.

    Attributes:
        tokens: real tokens trained on.
        examples: examples evaluated.
    """

    tokens: float
    examples: float


@dataclass(frozen=True, slots=True)
class Size:
    """A task's data: mean length of a training example in tokens, and the number that is evaluated."""

    length: float
    evaluated: int


@dataclass(frozen=True, slots=True)
class CellCost:
    """A cell of the table: its preset, its runs, and hours of one of them and of all."""

    preset: Preset
    runs: int
    hours_each: float

    @property
    def hours(self) -> float:
        """All runs of the cell."""
        return self.runs * self.hours_each


def cells_of(table: str, recipe: Recipe) -> list[Preset]:
    """The presets of a table's cells that are one task's, in its order.

    Raises:
        ValueError: if it is no such table.
    """
    one_of("table", table, TABLES)
    found = [p for p in presets(recipe) if p.cell and p.cell.table == table]
    return [preset for preset in found if preset.cell and preset.cell.task != AVERAGE]


def cost_of(
    cells: Sequence[Preset], seeds: int, sizes: Mapping[str, Size], speeds: Mapping[int, Speed]
) -> list[CellCost]:
    """Hours of every cell: a run for each rate of its grid on a tuning seed, and one for each seed.

    Args:
        sizes: of the tasks' data. A task that is not among them has examples of full length, and as many to
            evaluate as the largest that is.
        speeds: by number of clients that train in a round; of another number the nearest's.

    Raises:
        ValueError: on less than one seed.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}")
    largest = max((size.evaluated for size in sizes.values()), default=0)
    return [
        CellCost(p, _runs(p, seeds), _hours(p.options, sizes, speeds, largest, p.examples))
        for p in cells
    ]


def _runs(preset: Preset, seeds: int) -> int:
    rates = len(preset.options["learning_rate_grid"])
    return seeds + (rates if rates > 1 else 0)


def _hours(
    options: Mapping[str, Any],
    sizes: Mapping[str, Size],
    speeds: Mapping[int, Speed],
    largest: int,
    examples: int,
) -> float:
    size = sizes.get(options["task"]) or Size(float(options["max_length"]), largest)
    present = how_many(options["clients"], options.get("participation", 1.0))
    speed = speeds[min(speeds, key=lambda clients: abs(clients - present))]
    times = 1 + -(-options["rounds"] // options["evaluate_every"])
    seconds = examples * size.length / speed.tokens + times * size.evaluated / speed.examples
    return seconds / 3600.0


def trial_of(preset: Preset, **changes: Any) -> Config:
    """A few short rounds of a cell, to see how fast they are."""
    return Config.read(preset.options | TRIAL | changes)

"""The network study's one tidy table: written, read, and held to what it must be."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nonlinear_model.study.design import DESIGN
from verification.paired_study import Point, Run

if TYPE_CHECKING:
    from federation.learning_rates import Sweep

RESULTS = Path(__file__).parents[1] / "results"
PATH = RESULTS / "network_study.csv"
WHOLE = ("clients", "rounds", "length", "seed", "numbers_up", "diverged", "restarts")
REAL = ("b_scale", "learning_rate", "score", "after_a", "after_b", "best")
COLUMNS = (
    *("dataset", "clients", "local", "rounds", "b_scale", "method", "length", "purpose"),
    *("learning_rate", "seed", "score", "after_a", "after_b", "best", "numbers_up"),
    *("diverged", "restarts"),
)
"""One row a run and length. `score` averages `after_a` and `after_b`; `best` is the best score up to there at
the tracked rounds; `numbers_up` are the numbers all clients sent."""
Row = dict[str, Any]


def rows_of(found: Mapping[Point, Mapping[str, Mapping[int, Sweep]]]) -> list[Row]:
    """The study as tidy rows."""
    rows = []
    for point, methods in found.items():
        for method, lengths in methods.items():
            for length, judged in lengths.items():
                for purpose, own in (("tuning", judged.tuned), ("judging", judged)):
                    for (rate, seed), run in (own.runs if own else {}).items():
                        values = (*point, method, length, purpose, rate, seed)
                        rows.append(dict(zip(COLUMNS, values, strict=False)) | _told(run))
    return rows


def _told(run: Run) -> Row:
    facts = {name: run.facts[name][-1] for name in ("after_a", "after_b", "best", "numbers_up")}
    ends = {"diverged": int(run.diverged), "restarts": run.restarts}
    return {"score": run.scores[-1], **facts, **ends}


def read(path: Path = PATH) -> list[Row]:
    """The table's rows, with numbers as numbers.

    Raises:
        ValueError: if the file has other columns.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path.name} must have the columns {', '.join(COLUMNS)}")
        return [{name: _typed(name, value) for name, value in row.items()} for row in reader]


def _typed(name: str, value: str) -> Any:
    if name in WHOLE:
        return int(value)
    return float(value) if name in REAL else value


@cache
def stored() -> tuple[Row, ...]:
    """The committed runs."""
    return tuple(read())


def checksum(path: Path = PATH) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest(path: Path = PATH) -> dict[str, Any]:
    """The JSON beside a table: its design, its checksum, how and where it was run."""
    found: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return found


def point_of(row: Row) -> Point:
    """The point of the design that a row belongs to."""
    return tuple(row[name] for name in DESIGN.axes)

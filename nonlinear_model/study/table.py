"""The network study's one tidy table: written, read, and held to what it must be."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nonlinear_model.study.design import DESIGN, NetworkDesign
from verification.paired_study import Point, Run

if TYPE_CHECKING:
    from federation.learning_rates import Sweep

RESULTS = Path(__file__).parents[1] / "results"
TEXT = ("dataset", "local", "method", "purpose")
WHOLE = (
    "clients",
    "rounds",
    "length",
    "seed",
    "numbers_up",
    "numbers_down",
    "diverged",
    "restarts",
)
RUN = ("method", "length", "purpose", "learning_rate", "seed")
Row = dict[str, Any]


def path_of(design: NetworkDesign = DESIGN) -> Path:
    """The committed table of a study."""
    return RESULTS / design.file


def columns(design: NetworkDesign = DESIGN) -> tuple[str, ...]:
    """Columns of a study's table, one row a run and length.

    `score` averages `after_a` and `after_b`; `best` is the best score up to there at the tracked rounds;
    `numbers_up` are the numbers all clients sent, `numbers_down` what they were sent.
    """
    return (*design.axes, *RUN, "score", *design.facts, "diverged", "restarts")


def rows_of(
    design: NetworkDesign, found: Mapping[Point, Mapping[str, Mapping[int, Sweep]]]
) -> list[Row]:
    """The study as tidy rows."""
    rows = []
    for point, methods in found.items():
        for method, lengths in methods.items():
            for length, judged in lengths.items():
                for purpose, own in (("tuning", judged.tuned), ("judging", judged)):
                    for (rate, seed), run in (own.runs if own else {}).items():
                        values = (*point, method, length, purpose, rate, seed)
                        keys = dict(zip((*design.axes, *RUN), values, strict=True))
                        rows.append(keys | _told(run, design.facts))
    return rows


def _told(run: Run, names: Sequence[str]) -> Row:
    facts = {name: run.facts[name][-1] for name in names}
    ends = {"diverged": int(run.diverged), "restarts": run.restarts}
    return {"score": run.scores[-1], **facts, **ends}


def read(path: Path, wanted: Sequence[str]) -> list[Row]:
    """The table's rows, with numbers as numbers.

    Raises:
        ValueError: if the file has other columns than wanted.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if list(reader.fieldnames or ()) != [*wanted]:
            raise ValueError(f"{path.name} must have the columns {', '.join(wanted)}")
        return [{name: _typed(name, value) for name, value in row.items()} for row in reader]


def _typed(name: str, value: str) -> Any:
    if name in WHOLE:
        return int(value)
    return value if name in TEXT else float(value)


def stored(design: NetworkDesign = DESIGN) -> tuple[Row, ...]:
    """The committed runs."""
    return _stored(path_of(design), columns(design))


@cache
def _stored(path: Path, wanted: tuple[str, ...]) -> tuple[Row, ...]:
    return tuple(read(path, wanted))


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest(path: Path) -> dict[str, Any]:
    """The JSON beside a table: its design, its checksum, how and where it was run."""
    found: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return found


def point_of(row: Row, design: NetworkDesign = DESIGN) -> Point:
    """The point of the design that a row belongs to."""
    return tuple(row[name] for name in design.axes)

"""The table: published, ours over the seeds, and the difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rolora.grid.plan import Cell
from verification.codec import csv_text
from verification.files import write

NAME = "table"
HEADINGS = {
    "cell": "cell", "published": "paper %", "seeds": "seeds", "ours": "ours %", "sd": "± seeds",
    "difference": "differ", "learning_rate": "rate",
}  # fmt: skip
OTHER = (
    "No difference is told where what was run is not the published cell: another model, other rounds or data,"
    " or anything else that the paper tells."
)


def row(cell: Cell, runs: Sequence[tuple[float, Mapping[str, Any]]]) -> dict[str, Any]:
    """A cell's row.

    Args:
        runs: accuracy in per cent and manifest of each finished run.
    """
    published = cell.preset.cell
    assert published is not None, "cells of a table are published"
    accuracies = [accuracy for accuracy, _ in runs]
    ours = mean(accuracies) if runs else math.nan
    own = all(told["cell"] == cell.name for _, told in runs)
    rates = {told["configuration"]["learning_rate"] for _, told in runs}
    return {
        "cell": cell.name,
        "task": cell.config.task,
        "clients": cell.config.clients,
        "method": cell.config.method,
        "published": published.value,
        "confirmed": published.confirmed,
        "seeds": len(runs),
        "ours": ours,
        "sd": stdev(accuracies) if len(runs) > 1 else math.nan,
        "difference": ours - published.value if own else math.nan,
        "learning_rate": rates.pop() if len(rates) == 1 else math.nan,
        "of_the_cell": own if runs else "",
    }


def write_table(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """As CSV and as Markdown."""
    # What is not there is empty, as in the tables of runs.
    columns = {
        name: ["" if one[name] != one[name] else one[name] for one in rows] for name in rows[0]
    }
    write(out / f"{NAME}.csv", csv_text(columns))
    lines = [HEADINGS.values(), ["---", *["---:"] * (len(HEADINGS) - 1)], *map(shown, rows)]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    write(out / f"{NAME}.md", f"{text}\n\n{notes(rows)}\n")


def shown(one: Mapping[str, Any]) -> list[str]:
    """A row as it is shown."""
    doubt = "" if one["confirmed"] else "?"
    numbers = [_told(one[name], form) for name, form in FORMS.items()]
    return [one["cell"], f"{one['published']:.2f}{doubt}", str(one["seeds"]), *numbers]


FORMS = {"ours": ".2f", "sd": ".2f", "difference": "+.2f", "learning_rate": "g"}


def _told(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)


def notes(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a reader has to know."""
    doubt = "A question mark stands beside numbers that only a second-hand source gives."
    return " ".join([doubt, OTHER] if any(one["of_the_cell"] is False for one in rows) else [doubt])

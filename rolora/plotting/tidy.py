"""Tidy tables: read from CSV without losing a digit, and the part of one that a panel shows."""

import csv
import io
from typing import Any

import numpy as np

from verification.finding import Table
from verification.statistics import mean_estimate

ALPHA = 0.05
"""Of the intervals that figures show."""


def from_csv(text: str) -> Table:
    """The table a CSV text holds; a column is integer, float or text, whichever fits all of its cells.

    Raises ValueError without a header and a row, or if a row is of another length.
    """
    rows = list(csv.reader(io.StringIO(text)))
    if len(rows) < 2:
        raise ValueError("a figure's CSV must have a header and at least one row")
    header, *body = rows
    if any(len(row) != len(header) for row in body):
        raise ValueError(f"every row of a figure's CSV must have {len(header)} cells")
    return Table(
        {
            name: _typed(list(cells))
            for name, cells in zip(header, zip(*body, strict=True), strict=True)
        }
    )


def _typed(cells: list[str]) -> list[Any]:
    for kind in (int, float):
        try:
            return [kind(cell) if cell else float("nan") for cell in cells]
        except ValueError:
            continue
    return cells


def select(table: Table, **equal: Any) -> dict[str, np.ndarray]:
    """The rows whose columns have the given values, as arrays by column name."""
    columns = {name: np.asarray(values) for name, values in table.columns.items()}
    size = len(next(iter(columns.values())))
    keep = np.ones(size, dtype=bool)
    for name, value in equal.items():
        keep &= columns[name] == value
    if not keep.any():
        raise ValueError(f"no row of the table has {equal}")
    return {name: values[keep] for name, values in columns.items()}


def by_round(values: np.ndarray, first: int = 0, **fixed: Any) -> list[dict[str, Any]]:
    """A row per round with the median and the 5–95 % band of runs, values (runs, rounds)."""
    bands = np.quantile(values, (0.5, 0.05, 0.95), axis=0).T
    return [
        {**fixed, "trials": len(values), "round": t, "median": middle, "low": low, "high": high}
        for t, (middle, low, high) in enumerate(bands, first)
    ]


def mean(samples: np.ndarray, name: str = "measured") -> dict[str, float]:
    """The mean of samples under a name, with its 95 % interval as `low` and `high`."""
    found = mean_estimate(samples, ALPHA)
    return {name: found.mean, "low": found.interval[0], "high": found.interval[1]}


def distinct(table: Table, column: str) -> list[Any]:
    """The different values of a column, in order of appearance."""
    return list(dict.fromkeys(table.columns[column]))

"""The paper's published numbers, for side-by-side tables.

They were taken from public summaries and replications; `confirmed` is False for every number that only a
second-hand source gives.
"""

import csv
from dataclasses import dataclass
from importlib import resources
from typing import Any

AVERAGE = "avg"

METHODS = {"LoRA": "fedavg", "FFA-LoRA": "ffa", "FlexLoRA": "flexlora", "RoLoRA": "rolora"}
"""The paper's names of the methods, and this toolkit's."""


@dataclass(frozen=True, slots=True)
class PublishedNumber:
    """One published number.

    Attributes:
        table: `glue` (RoBERTa-Large), `glue-rank8`, `mnli-dirichlet`, `mnli-local-steps` or
            `commonsense` (Llama-2-7B).
        task: data set, or `avg`.
        method: the paper's name of the method.
        value, std: accuracy in per cent, and its published standard deviation, or None.
        rank: LoRA rank, or None where it is not known.
        setting: what else distinguishes the number ("" if nothing).
        confirmed: whether more than a second-hand source gives it.
        note: what a reader should know.
    """

    table: str
    task: str
    clients: int
    method: str
    value: float
    std: float | None
    rank: int | None
    setting: str
    confirmed: bool
    note: str


def cells() -> tuple[PublishedNumber, ...]:
    """Every published number, in the order of the tables."""
    text = resources.files("llm_validation.paper").joinpath("published.csv").read_text("utf-8")
    return tuple(map(_number, csv.DictReader(text.splitlines())))


def tables() -> dict[str, list[PublishedNumber]]:
    """The cells by table, in order."""
    grouped: dict[str, list[PublishedNumber]] = {}
    for cell in cells():
        grouped.setdefault(cell.table, []).append(cell)
    return grouped


def nearest(task: str, method: str, clients: int) -> PublishedNumber | None:
    """The published number of a task and method at the nearest number of clients, if there is one.

    Any spelling of the data set's name does (SST-2, sst2), and our name of a method or the paper's.
    """
    found = [
        cell
        for cell in cells()
        if _key(cell.task) == _key(task)
        and method in (METHODS[cell.method], cell.method)
        and cell.table in ("glue", "commonsense")
    ]
    return min(found, key=lambda cell: abs(cell.clients - clients), default=None)


def _key(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _number(row: dict[str, Any]) -> PublishedNumber:
    """A row with its numbers as such; what is not known is empty."""
    numbers = {"clients": int, "value": float, "std": float, "rank": int}
    known = {name: kind(row[name]) if row[name] else None for name, kind in numbers.items()}
    return PublishedNumber(**{**row, **known, "confirmed": row["confirmed"] == "yes"})

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

LARGER_CLASS = {
    "SST-2": 100 * 444 / 872,
    "MNLI": 100 * 3479 / 9815,
    "RTE": 100 * 146 / 277,
    "BoolQ": 100 * 2033 / 3270,
    "ARC-c": 100 * 311 / 1172,
}
"""Per cent that the commonest answer of the evaluation split makes, where we counted it."""


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

    @property
    def named(self) -> str:
        """Its table, number of clients, and what else distinguishes it, in words."""
        return ", ".join([self.table, f"{self.clients} clients", *filter(None, [self.setting])])


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


def _number(row: dict[str, Any]) -> PublishedNumber:
    """A row with its numbers as such; what is not known is empty."""
    numbers = {"clients": int, "value": float, "std": float, "rank": int}
    known = {name: kind(row[name]) if row[name] else None for name, kind in numbers.items()}
    own = {**row, **known, "confirmed": row["confirmed"] == "yes"}
    alone = LARGER_CLASS.get(own["task"], 0.0)
    if own["value"] <= round(alone, 2):
        said = f"always the commonest answer alone makes {alone:.2f} % on {own['task']}, no less than this"
        own["note"] = "; ".join(filter(None, (own["note"], said)))
    return PublishedNumber(**own)

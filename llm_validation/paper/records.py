"""Final accuracies of finished runs, from run folders and from the committed study."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from llm_validation.paper.presets import task_of
from llm_validation.paper.published import AVERAGE, METHODS, cells

STUDY = "results/minilm.csv"


@dataclass(frozen=True, slots=True)
class Record:
    """One finished run.

    Attributes:
        model: its base.
        task, method: names in this toolkit.
        clients, rank, seed: of the run.
        accuracy: final accuracy, in per cent.
    """

    model: str
    task: str
    method: str
    clients: int
    rank: int
    seed: int
    accuracy: float


def from_folders(root: Path | None) -> list[Record]:
    """Every finished language-model run below a folder, in the order of its paths.

    A folder without a readable manifest and table is none; a run without a final accuracy is left out.
    """
    if root is None or not root.is_dir():
        return []
    found = []
    for path in sorted(root.rglob("manifest.json")):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if manifest.get("kind") != "llm":
                continue
            rows = list(csv.DictReader((path.parent / "run.csv").read_text("utf-8").splitlines()))
            configuration = manifest["configuration"]
            found.append(
                Record(
                    str(configuration["model"]),
                    str(configuration["task"]),
                    str(configuration["method"]),
                    int(configuration["clients"]),
                    int(configuration["rank"]),
                    int(configuration["seed"]),
                    100.0 * float(rows[-1]["accuracy"]),
                )
            )
        except (OSError, ValueError, KeyError, IndexError, AttributeError):
            continue
    return found


def from_study() -> list[Record]:
    """The final runs of the committed study on MiniLM; empty where it has not been made."""
    place = resources.files("llm_validation").joinpath(STUDY)
    if not place.is_file():
        return []
    rows = csv.DictReader(place.read_text("utf-8").splitlines())
    return [
        Record(
            "all-MiniLM-L6-v2",
            row["task"],
            row["method"],
            int(row["clients"]),
            4,
            int(row["seed"]),
            100.0 * float(row["accuracy"]),
        )
        for row in rows
        if row["purpose"] == "final" and row["accuracy"]
    ]


def from_paper(seeds: Sequence[int] = (1, 2, 3)) -> list[Record]:
    """The published GLUE cells as if they were runs, alike for every seed: fodder for controls."""
    found = []
    for cell in cells():
        if cell.table == "glue" and cell.task != AVERAGE:
            rank, task = 4, task_of(cell)
        elif cell.table == "glue-rank8":
            rank, task = 8, AVERAGE
        else:
            continue
        for seed in seeds:
            method = METHODS[cell.method]
            found.append(
                Record("roberta-large", task, method, cell.clients, rank, seed, cell.value)
            )
    return found


def by_seed(
    records: Iterable[Record], method: str, clients: int, rank: int, tasks: Sequence[str]
) -> dict[int, float]:
    """Mean accuracy over the tasks, for every seed that has them all."""
    scores: dict[int, dict[str, float]] = {}
    for r in records:
        if (r.method, r.clients, r.rank) == (method, clients, rank) and r.task in tasks:
            scores.setdefault(r.seed, {})[r.task] = r.accuracy
    return {
        seed: sum(own.values()) / len(own)
        for seed, own in sorted(scores.items())
        if set(own) == set(tasks)
    }

"""Where each method wins: accuracy on a grid of clients × local steps, each at its own best rate.

The map takes hours of one core on MNIST, so it is run once, cell by cell (`rolora nonlinear map`), and its
tidy CSV is kept in `nonlinear_model/results/` with a manifest. Every method has the same learning-rate grid,
seeds, partitions, rounds and batches in a cell.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nonlinear_model.configuration import Configuration
from nonlinear_model.dataset import Dataset
from nonlinear_model.learning_rates import Sweep, sweep

METHODS = ("rolora", "fedavg", "ffa")
RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    "dataset",
    "clients",
    "local_steps",
    "method",
    "learning_rate",
    "seed",
    "round",
    "test_accuracy",
    "diverged",
)


@dataclass(frozen=True, slots=True)
class Grid:
    """What all cells share, and the cells.

    Attributes:
        dataset: `mnist` or `digits`.
        cells: pairs (clients, local steps), in the order they are run.
        rates: learning rates every method tries.
        seeds: seeds every method runs.
        rounds, batch_size: of every run.
    """

    dataset: str = "mnist"
    cells: tuple[tuple[int, int], ...] = (
        (10, 200),
        (5, 200),
        (10, 25),
        (5, 25),
        (10, 5),
        (5, 5),
        (20, 5),
        (20, 25),
        (20, 200),
    )
    rates: tuple[float, ...] = (0.1, 0.3, 1.0)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    rounds: int = 40
    batch_size: int = 16

    def configuration(self, clients: int, local_steps: int) -> Configuration:
        """A cell's run: the paper's network, images dealt by label, equal client sizes, plain SGD."""
        return Configuration(
            dataset=self.dataset,
            clients=clients,
            split="shards",
            equal_sizes=True,
            rounds=self.rounds,
            local_steps=local_steps,
            batch_size=self.batch_size,
            optimiser="sgd",
            evaluate_every=max(self.rounds // 4, 1),
            probe=0,
        )


def run_cell(grid: Grid, clients: int, local_steps: int, data: Dataset) -> dict[str, Sweep]:
    """Every method on the same grid in one cell."""
    config = grid.configuration(clients, local_steps)
    return sweep(config, data, METHODS, grid.rates, grid.seeds)


def rows_of(sweeps: dict[str, Sweep]) -> list[dict[str, Any]]:
    """A cell's results as tidy rows (`COLUMNS`)."""
    rows = []
    for method, found in sweeps.items():
        for t, number in enumerate(found.rounds):
            for i, rate in enumerate(found.rates):
                for j, seed in enumerate(found.seeds):
                    values = (
                        found.config.dataset,
                        found.config.clients,
                        found.config.local_steps,
                        method,
                        rate,
                        seed,
                        number,
                        float(found.accuracy[t, i, j]),
                        int(found.diverged[i, j]),
                    )
                    rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def run(
    grid: Grid, data: Dataset, path: Path, report: Callable[[str], None] = lambda line: None
) -> None:
    """Run the cells that the CSV does not hold yet; it is replaced whole after every cell.

    Args:
        grid: the map.
        data: its data set.
        path: the CSV. A file with other columns is refused.
        report: told one line per cell.
    """
    rows: list[dict[str, Any]] = list(read(path)) if path.exists() else []
    done = {(row["clients"], row["local_steps"]) for row in rows}
    for clients, local_steps in grid.cells:
        if (clients, local_steps) in done:
            continue
        found = run_cell(grid, clients, local_steps, data)
        rows += rows_of(found)
        write(path, rows)
        scores = ", ".join(f"{m} {s.scores().mean():.3f}" for m, s in found.items())
        report(f"{clients} clients, {local_steps} local steps: {scores}")


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the CSV under a temporary name, then rename it."""
    temporary = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def read(path: Path) -> list[dict[str, Any]]:
    """Read a map's CSV back, with numbers as numbers.

    Raises:
        ValueError: if the file has other columns.
    """
    whole = ("clients", "local_steps", "seed", "round", "diverged")
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path.name} must have the columns {', '.join(COLUMNS)}")
        rows: list[dict[str, Any]] = []
        for text in reader:
            row: dict[str, Any] = dict(text)
            for name in whole:
                row[name] = int(text[name])
            row["learning_rate"] = float(text["learning_rate"])
            row["test_accuracy"] = float(text["test_accuracy"])
            rows.append(row)
    return rows


def sweeps_of(rows: Sequence[dict[str, Any]]) -> dict[tuple[int, int], dict[str, Sweep]]:
    """Every cell's sweeps, from the tidy rows: the inverse of `rows_of`."""
    cells: dict[tuple[int, int], dict[str, Sweep]] = {}
    for cell in dict.fromkeys((row["clients"], row["local_steps"]) for row in rows):
        here = [row for row in rows if (row["clients"], row["local_steps"]) == cell]
        cells[cell] = {}
        for method in dict.fromkeys(row["method"] for row in here):
            own = [row for row in here if row["method"] == method]
            axes = {
                name: tuple(dict.fromkeys(row[name] for row in own))
                for name in ("round", "learning_rate", "seed")
            }
            shape = tuple(len(values) for values in axes.values())
            config = Configuration(
                dataset=own[0]["dataset"],
                method=method,
                clients=cell[0],
                local_steps=cell[1],
                rounds=max(axes["round"]),
                equal_sizes=True,
            )
            cells[cell][method] = Sweep(
                config,
                axes["learning_rate"],
                axes["seed"],
                np.array([row["test_accuracy"] for row in own]).reshape(shape),
                axes["round"],
                np.array([bool(row["diverged"]) for row in own]).reshape(shape)[-1],
            )
    return cells


def stored(dataset: str = "mnist") -> dict[tuple[int, int], dict[str, Sweep]] | None:
    """The committed map of a data set, or None."""
    path = RESULTS / f"regime_map_{dataset}.csv"
    return sweeps_of(read(path)) if path.exists() else None


def manifest(grid: Grid, command: str, environment: dict[str, Any]) -> str:
    """JSON that explains a map's CSV."""
    body = {
        "kind": "nonlinear regime map",
        "dataset": grid.dataset,
        "cells": [list(cell) for cell in grid.cells],
        "learning_rates": list(grid.rates),
        "seeds": list(grid.seeds),
        "methods": list(METHODS),
        "configuration": grid.configuration(*grid.cells[0]).as_dict(),
        "command": command,
        "environment": environment,
    }
    return json.dumps(body, indent=2, sort_keys=True) + "\n"

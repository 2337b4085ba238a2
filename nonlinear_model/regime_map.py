"""Where each method wins: accuracy on a grid of clients × local steps, each at its own best rate.

The map takes hours of one core on MNIST, so it is run once, cell by cell (`rolora nonlinear map`), and its
tidy CSV is kept in `nonlinear_model/results/` with a manifest. Every method has the same learning-rate grid,
seeds, partitions, rounds and batches in a cell. The learning rate is chosen on some seeds and judged on
others, and how many there are of either is fixed before the first run.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nonlinear_model.configuration import Configuration
from nonlinear_model.data.dataset import Dataset
from nonlinear_model.learning_rates import Sweep, tuned_sweep
from verification.codec import columns_of, csv_text, json_text
from verification.files import write

METHODS = ("rolora", "fedavg", "ffa")
RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    "dataset",
    "clients",
    "local_steps",
    "method",
    "purpose",
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
        tuning_seeds: seeds that choose each method's learning rate.
        seeds: seeds that every method is judged on.
        rounds, batch_size: of every run.
    """

    dataset: str = "mnist"
    cells: tuple[tuple[int, int], ...] = (
        (5, 5),
        (10, 5),
        (20, 5),
        (5, 25),
        (10, 25),
        (20, 25),
        (5, 200),
        (10, 200),
    )
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
    tuning_seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    seeds: tuple[int, ...] = tuple(range(100, 112))
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
    return tuned_sweep(
        config, data, METHODS, grid.rates, grid.tuning_seeds, grid.seeds, halfway=True
    )


def rows_of(sweeps: dict[str, Sweep]) -> list[dict[str, Any]]:
    """A cell's results as tidy rows (`COLUMNS`)."""
    rows = []
    for method, judged in sweeps.items():
        for purpose, found in (("tuning", judged.tuned), ("final", judged)):
            if found is None:
                continue
            for t, number in enumerate(found.rounds):
                for i, rate in enumerate(found.rates):
                    for j, seed in enumerate(found.seeds):
                        values = (
                            found.config.dataset,
                            found.config.clients,
                            found.config.local_steps,
                            method,
                            purpose,
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
        path: the CSV.
        report: told one line per cell.

    Raises:
        ValueError: before any run, on a CSV with other columns or of another grid, or on a cell that no
            run can have.
    """
    for clients, local_steps in grid.cells:
        grid.configuration(clients, local_steps)
    rows: list[dict[str, Any]] = list(read(path)) if path.exists() else []
    _require_same(grid, rows, path)
    done = {(row["clients"], row["local_steps"]) for row in rows}
    for clients, local_steps in grid.cells:
        if (clients, local_steps) in done:
            continue
        found = run_cell(grid, clients, local_steps, data)
        rows += rows_of(found)
        write(path, csv_text(columns_of(rows)))
        scores = ", ".join(f"{m} {s.scores().mean():.3f}" for m, s in found.items())
        report(f"{clients} clients, {local_steps} local steps: {scores}")


def _require_same(grid: Grid, rows: Sequence[dict[str, Any]], path: Path) -> None:
    # A cell made with other seeds or rates must not stand beside new ones under one manifest.
    tuning = [row for row in rows if row["purpose"] == "tuning"]
    axes: tuple[tuple[str, Iterable[Any], Sequence[Any]], ...] = (
        ("dataset", (row["dataset"] for row in rows), (grid.dataset,)),
        ("learning rates", (row["learning_rate"] for row in tuning), grid.rates),
        ("tuning seeds", (row["seed"] for row in tuning), grid.tuning_seeds),
        ("seeds", (row["seed"] for row in rows if row["purpose"] == "final"), grid.seeds),
        ("last round", (max((row["round"] for row in rows), default=None),), (grid.rounds,)),
    )
    for name, held, wanted in axes:
        found = sorted(set(held))
        if rows and found != sorted(set(wanted)):
            raise ValueError(
                f"{path.name} holds another map: its {name} are {found}, this one's"
                f" {sorted(set(wanted))}; choose another folder"
            )


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
            final = _sweep_of([row for row in own if row["purpose"] == "final"])
            tuning = _sweep_of([row for row in own if row["purpose"] == "tuning"])
            cells[cell][method] = replace(final, tuned=tuning)
    return cells


def _sweep_of(rows: Sequence[dict[str, Any]]) -> Sweep:
    axes = {
        name: tuple(dict.fromkeys(row[name] for row in rows))
        for name in ("round", "learning_rate", "seed")
    }
    shape = tuple(len(values) for values in axes.values())
    first = rows[0]
    config = Configuration(
        dataset=first["dataset"],
        method=first["method"],
        clients=first["clients"],
        local_steps=first["local_steps"],
        rounds=max(axes["round"]),
        equal_sizes=True,
    )
    return Sweep(
        config,
        axes["learning_rate"],
        axes["seed"],
        np.array([row["test_accuracy"] for row in rows]).reshape(shape),
        axes["round"],
        np.array([bool(row["diverged"]) for row in rows]).reshape(shape)[-1],
    )


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
        "tuning_seeds": list(grid.tuning_seeds),
        "seeds": list(grid.seeds),
        "methods": list(METHODS),
        "configuration": grid.configuration(*grid.cells[0]).as_dict(),
        "command": command,
        "environment": environment,
    }
    return json_text(body, by_name=True)

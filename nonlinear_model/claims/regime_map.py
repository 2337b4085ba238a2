"""Where each method wins: accuracy on a grid of clients × local steps, each at its own best rate.

The map takes hours of one core on MNIST, so it is run once (`rolora nonlinear map`), and its tidy CSV is kept
in `nonlinear_model/results/` with a manifest. Every method has the same learning-rate grid, seeds,
partitions, rounds and batches at a point.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from federation.learning_rates import Sweep, tuned_sweep
from nonlinear_model.claims.study import RULE, SCORE
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.dataset import Dataset
from nonlinear_model.training import sweep
from verification import paired_study
from verification.codec import json_text
from verification.paired_study import Design, Point, Run

RESULTS = Path(__file__).parents[1] / "results"
DESIGN = Design(
    axes=("clients", "local_steps"),
    points=((5, 5), (10, 5), (20, 5), (5, 25), (10, 25), (20, 25), (5, 200), (10, 200)),
    methods=("rolora", "fedavg", "ffa"),
    rates=(0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
    tuning_seeds=(0, 1, 2, 3, 4),
    seeds=tuple(range(100, 112)),
    score=SCORE,
    rule=RULE,
    fixed={"dataset": "mnist", "rounds": 40, "batch_size": 16},
)
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
Map = dict[Point, dict[str, Sweep]]
"""Every method's sweep at (clients, local steps)."""


def design(dataset: str, points: Sequence[Point] = DESIGN.points, seeds: int = 12) -> Design:
    """The map of a data set, at some points and with so many judging seeds."""
    return replace(
        DESIGN,
        points=tuple(points),
        seeds=tuple(range(100, 100 + seeds)),
        fixed={**DESIGN.fixed, "dataset": dataset},
    )


def configuration(design: Design, point: Point) -> Configuration:
    """A point's run: the paper's network, images dealt by label, equal client sizes, plain SGD."""
    return Configuration(
        **dict(zip(design.axes, point, strict=True)),
        **design.fixed,
        split="shards",
        equal_sizes=True,
        optimiser="sgd",
        evaluate_every=max(design.fixed["rounds"] // 4, 1),
        probe=0,
    )


def run(
    design: Design,
    data: Dataset,
    path: Path,
    progress: Callable[[str], None] = lambda _line: None,
) -> Map:
    """Run what is not finished beside the CSV yet, and write it.

    Args:
        design: the map.
        data: its data set.
        path: the CSV.
        progress: told one line per run.

    Raises:
        ValueError: before any run, beside a map of another design, or on a point that no run can have.
    """
    for point in design.points:
        configuration(design, point)

    def measure(point: Point, method: str, rate: float, seeds: Sequence[int]) -> list[Run]:
        return sweep.runs(configuration(design, point), data, method, rate, seeds)

    return paired_study.run(
        design,
        measure,
        partial(tuned_sweep, halfway=True),
        table=path,
        rows=partial(rows_of, design.fixed["dataset"]),
        progress=progress,
    )


def rows_of(dataset: str, found: Mapping[Point, Mapping[str, Sweep]]) -> list[dict[str, Any]]:
    """A map as tidy rows (`COLUMNS`)."""
    rows = []
    for point, sweeps in found.items():
        for method, judged in sweeps.items():
            for purpose, own in (("tuning", judged.tuned), ("final", judged)):
                if own is None:
                    continue
                for t, number in enumerate(own.rounds):
                    for (rate, seed), one in own.runs.items():
                        values = (dataset, *point, method, purpose, rate, seed, number)
                        more = (one.scores[t], int(one.diverged))
                        rows.append(dict(zip(COLUMNS, values + more, strict=True)))
    return rows


def read(path: Path) -> list[dict[str, Any]]:
    """Read a map's CSV back, with numbers as numbers.

    Raises:
        ValueError: if the file has other columns.
    """
    whole = ("clients", "local_steps", "seed", "round", "diverged")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path.name} must have the columns {', '.join(COLUMNS)}")
        return [
            {
                **row,
                **{name: int(row[name]) for name in whole},
                "learning_rate": float(row["learning_rate"]),
                "test_accuracy": float(row["test_accuracy"]),
            }
            for row in reader
        ]


def sweeps_of(rows: Sequence[dict[str, Any]]) -> Map:
    """Every point's sweeps, from the tidy rows: the inverse of `rows_of`."""
    held: dict[tuple[Point, str, str], dict[tuple[float, int], list[dict[str, Any]]]] = {}
    for row in rows:
        key = (row["clients"], row["local_steps"]), row["method"], row["purpose"]
        held.setdefault(key, {}).setdefault((row["learning_rate"], row["seed"]), []).append(row)
    found: Map = {}
    for point, method, purpose in held:
        if purpose == "final":
            tuned = _sweep_of(held[point, method, "tuning"])
            judged = _sweep_of(held[point, method, purpose])
            found.setdefault(point, {})[method] = replace(judged, tuned=tuned)
    return found


def _sweep_of(held: Mapping[tuple[float, int], Sequence[dict[str, Any]]]) -> Sweep:
    rates, seeds = (tuple(dict.fromkeys(values)) for values in zip(*held, strict=True))
    runs = {
        key: Run(
            tuple(row["round"] for row in rows),
            tuple(row["test_accuracy"] for row in rows),
            bool(rows[-1]["diverged"]),
        )
        for key, rows in held.items()
    }
    return Sweep(rates, seeds, runs)


def stored(dataset: str = "mnist") -> Map | None:
    """The committed map of a data set, or None."""
    path = RESULTS / f"regime_map_{dataset}.csv"
    return sweeps_of(read(path)) if path.exists() else None


def manifest(design: Design, found: Map, command: str, environment: dict[str, Any]) -> str:
    """JSON that explains a map's CSV."""
    body = {
        "kind": "nonlinear regime map",
        "dataset": design.fixed["dataset"],
        "cells": list(found),
        "learning_rates": design.rates,
        "tuning_seeds": design.tuning_seeds,
        "seeds": design.seeds,
        "methods": design.methods,
        "configuration": configuration(design, next(iter(found))).as_dict(),
        "command": command,
        "environment": environment,
    }
    return json_text(body, by_name=True)

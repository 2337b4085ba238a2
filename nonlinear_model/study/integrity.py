"""Whether the committed table is what the design's runs gave: complete, unaltered, under their own names."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np

from federated_lora import Shape, method_named
from federation.learning_rates import choose
from nonlinear_model.study import table
from nonlinear_model.study.design import DESIGN, NetworkDesign
from nonlinear_model.study.measure import runs
from nonlinear_model.study.table import Row
from verification.codec import columns_of, csv_text, json_text
from verification.paired_study import Point

WIDTH = {"mnist": 784, "digits": 64}
RANK, HIDDEN = 16, 200


def checksum(rows: Sequence[Row]) -> str:
    """SHA-256 of the CSV that these rows make."""
    return hashlib.sha256(csv_text(columns_of(rows)).encode()).hexdigest()


def missing(rows: Sequence[Row], design: NetworkDesign = DESIGN) -> list[str]:
    """Runs of the design that are not there, or are there twice, or that it does not have."""
    fields = ("method", "length", "purpose", "learning_rate", "seed")
    found = [(table.point_of(row, design), *(row[name] for name in fields)) for row in rows]
    wanted = set()
    for point, method, length, rate in _chosen(rows, design):
        own = design.at(point)
        cell = point, method, length
        wanted |= {(*cell, "tuning", r, s) for r in own.rates for s in own.tuning_seeds}
        wanted |= {(*cell, "judging", rate, seed) for seed in own.seeds}
    twice = [] if len(found) == len(set(found)) else ["a run is there twice"]
    return twice + [str(key) for key in sorted(wanted ^ set(found), key=str)]


def _chosen(rows: Sequence[Row], design: NetworkDesign) -> list[tuple[Point, str, int, float]]:
    """Every cell of the design with the rate that its tuning runs choose."""
    tuned: dict[tuple[Point, str, int], dict[tuple[float, int], float]] = {}
    for row in rows:
        if row["purpose"] == "tuning":
            key = table.point_of(row, design), row["method"], row["length"]
            tuned.setdefault(key, {})[row["learning_rate"], row["seed"]] = row["score"]
    nan = float("nan")
    found = []
    for point in design.points:
        own = design.at(point)
        for method in own.methods:
            for length in design.lengths(point, method):
                held = tuned.get((point, method, length), {})
                scores = np.array(
                    [[held.get((r, s), nan) for s in own.tuning_seeds] for r in own.rates]
                )
                if np.isfinite(scores).any():
                    best = choose(own.rates, scores, np.zeros_like(scores))
                    found.append((point, method, length, own.rates[best]))
                else:
                    found.append((point, method, length, nan))
    return found


def misnamed(rows: Sequence[Row], design: NetworkDesign = DESIGN) -> int:
    """How many runs did not send what a run of their name sends."""
    sent, wrong = cache(_sent), 0  # many runs are of one kind
    for row in rows:
        if row["diverged"]:
            continue  # given up before its end
        one = sent(row["method"], row["rounds"], row["length"], WIDTH[row["dataset"]])
        wrong += row["numbers_up"] != design.people(table.point_of(row, design)) * one
    return wrong


def _sent(method: str, rounds: int, length: int, width: int) -> int:
    """Numbers that a client of a method planned for these rounds sends until one of them."""
    planned, shape = method_named(method, rounds), Shape(width, RANK, HIDDEN)
    return sum(planned.traffic([shape], t).up for t in range(1, length + 1))


def unlike_their_parts(rows: Sequence[Row]) -> int:
    """How many scores are not the mean of the two accuracies beside them."""
    return sum(row["score"] != (row["after_a"] + row["after_b"]) / 2 for row in rows)


def same_design(design: NetworkDesign = DESIGN) -> bool:
    """Whether the manifest tells the design that the code has."""
    told, own = (
        table.manifest(table.path_of(design))["design"],
        json.loads(json_text(asdict(design))),
    )
    return all(told[name] == own[name] for name in own if name != "rule")


def again(row: Row, data_dir: Path | None, design: NetworkDesign = DESIGN) -> dict[str, float]:
    """A judging run's score and its two accuracies, from a new run.

    Raises:
        ValueError: if its data are not there.
    """
    (found,) = runs(
        design, data_dir, table.point_of(row, design), row["method"], row["learning_rate"], [row["seed"]],
        rounds=row["length"],
    )  # fmt: skip
    parts = {name: float(found.facts[name][-1]) for name in ("after_a", "after_b")}
    return {"score": float(found.scores[-1] or 0.0), **parts}


def replayable(rows: Sequence[Row], *, mnist: bool) -> list[Row]:
    """The runs that are short, and in float64, so that another machine gives the same score."""
    return [
        row
        for row in rows
        if row["purpose"] == "judging"
        and not row["restarts"]
        and (row["dataset"] == "digits" or (mnist and row["local"] == "5"))
    ]

"""Which method should win on each cell of the map, told from the clients' features at the start.

The rule, fixed and committed before any of its predictions was made or held against the study's runs. The
study's verdicts were known by then (FedAvg-LoRA ahead at equal rounds, RoLoRA at equal numbers sent), so it
is not blind; but nothing in it was fitted to them.

- *Estimated:* at the start, of the seeds that chose the study's rates (`SEEDS`; no seed that judges): client
  i's second moment S_i and cross term C_i on `linear.DIRECTIONS` principal components, the start's factors
  and head: a linear federated problem with a target W_i per client (`linear`). No image is looked at again.
- *Predicted:* for RoLoRA, FedAvg-LoRA and FFA-LoRA, in exact population form with the point's local steps and
  rounds, the excess of the mean loss, averaged over the last round that trained A and the last that trained B
  as the study's scores are, and over the seeds; each method and length at the rate of the study's grid where
  it is least. A round of more than `MOST_STEPS` local steps has so many, at rates raised in proportion.
  **The winner of a cell is the method with the lower excess.** Both diverged or equal to 1e-9: no prediction,
  counted as wrong.
- *A cell:* a point of the map, an equality (rounds, numbers sent), a pair of methods: 15 × 2 × 3 = 90.
- *Observed:* the method with the higher mean score in the study. The cell is *decided* if the 95 % interval
  of the paired lead excludes 0; right and wrong are counted over decided cells, and over all beside them.
- *The guess* that needs no features: FedAvg-LoRA at equal rounds and RoLoRA at equal numbers sent
  (`theory.other_methods.who_wins`), both over FFA-LoRA. Beside it, chosen with hindsight, the best
  constant guess per pair and equality, which no constant can beat.
- *Judged:* is it right in more than half of the decided cells, and, where it and the guess differ, is it
  right in more than half? Clopper–Pearson intervals over cells, 1 % error together. Cells share images,
  starts and runs (a method's runs stand in several cells) and are not independent, so these intervals are
  narrower than a replication of the whole map would give: they say how far such a count is from a coin's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from federated_lora import method_named
from nonlinear_model.study import table
from nonlinear_model.study.analysis import EQUALITIES, ahead, short
from nonlinear_model.study.design import DESIGN, DIGITS, MAP, METHODS
from nonlinear_model.study.measure import configuration, scored
from verification.paired_study import Point
from verification.statistics import mean_estimate

SEEDS = DESIGN.tuning_seeds
MOST_STEPS = 200
LEVEL = 0.05
"""Error probability of the interval that decides a cell."""

PAIRS = tuple(combinations(METHODS, 2))
POINTS = (*DIGITS, *MAP)
"""Where the table has predictions: the map, and digits to be computed again by anybody, without files."""

PATH = table.RESULTS / "foretold.csv"
COLUMNS = (*DESIGN.axes, "method", "length", "learning_rate", "excess", "start")
Row = dict[str, Any]


def predicted(points: Sequence[Point], data_dir: Path | None) -> list[Row]:
    """Least excess of every method and length at some points, with its rate and the start's excess.

    Args:
        points: of the design.
        data_dir: folder with MNIST.
    """
    from nonlinear_model.study.linear import at_the_start, excesses

    rows = []
    for point in points:
        config = configuration(DESIGN, point, METHODS[0], 2)
        clients = [at_the_start(config, seed, data_dir) for seed in SEEDS]
        for method in METHODS:
            lengths = DESIGN.lengths(point, method)
            rounds = max(lengths)
            steps = min(clients[0].steps, MOST_STEPS)
            runs = [excesses(at, method, DESIGN.rates, rounds, steps) for at in clients]
            mean = np.mean(runs, axis=0)
            for length in lengths:
                pair = scored(method_named(method, rounds), length)
                at_end = mean[list(pair)].mean(axis=0)
                best = int(np.argmin(at_end))
                key = dict(zip(DESIGN.axes, point, strict=True))
                found = DESIGN.rates[best], float(at_end[best]), float(mean[0, 0])
                values = dict(zip(COLUMNS[len(key) :], (method, length, *found), strict=True))
                rows.append(key | values)
    return rows


def described(path: Path, command: str, environment: Mapping[str, Any]) -> dict[str, Any]:
    """What explains a CSV of predictions: for its JSON."""
    rule = {"seeds": list(SEEDS), "most_steps": MOST_STEPS, "level": LEVEL, "rates": DESIGN.rates}
    return {
        "schema_version": 1,
        "kind": "network study foretold",
        "sha256": table.checksum(path),
        "rule": rule,
        "command": command,
        "environment": dict(environment),
    }


@cache
def _stored() -> dict[tuple[Point, str, int], float]:
    return {
        (table.point_of(row), row["method"], row["length"]): row["excess"]
        for row in table.read(PATH, COLUMNS)
    }


def rates_at_an_edge() -> str:
    """How many of the map's chosen rates are the grid's smallest or largest, in a sentence."""
    rows = [row for row in table.read(PATH, COLUMNS) if table.point_of(row) in MAP]
    ends = [r for r in rows if r["learning_rate"] in (DESIGN.rates[0], DESIGN.rates[-1])]
    return (
        f"Of {len(rows)} rates that are best in the linear model {len(ends) or 'none'} lie at an end of the"
        " grid."
    )


@dataclass(frozen=True, slots=True)
class Cell:
    """A point, an equality, a pair of methods, and who is told to win, guessed to win, and won.

    Attributes:
        told: the predicted winner, "" for none.
        margin: log of the second method's predicted excess over the first's.
        low, high: 95 % interval of the first method's lead.
    """

    point: Point
    equality: str
    pair: tuple[str, str]
    told: str
    margin: float
    guess: str
    won: str
    lead: float
    low: float
    high: float

    @property
    def decided(self) -> bool:
        """Whether the runs say who is ahead."""
        return not self.low <= 0.0 <= self.high

    def columns(self) -> Row:
        """Its cells of a table."""
        names = ("told", "margin", "guess", "won", "lead", "low", "high")
        own = {name: getattr(self, name) for name in names}
        pair = f"{self.pair[0]} against {self.pair[1]}"
        place = {"place": short(self.point), "equal": self.equality, "pair": pair}
        return place | own | {"decided": self.decided, "right": self.told == self.won}


def winner(pair: tuple[str, str], excess: Sequence[float]) -> tuple[str, float]:
    """The method with the lower excess, and the log of the second's over the first's; "" for neither."""
    first, second = excess
    if not (isfinite(first) or isfinite(second)):
        return "", 0.0
    margin = float(np.log(second) - np.log(first))
    return ("" if abs(margin) < 1e-9 else pair[margin < 0.0]), margin


def guessed(pair: tuple[str, str], equality: str) -> str:
    """Who should win without a look at the features."""
    if "ffa" in pair:
        return pair[pair[0] == "ffa"]
    return "fedavg" if equality == "rounds" else "rolora"


def cells(points: Sequence[Point] = MAP) -> tuple[Cell, ...]:
    """All cells of some points of the map."""
    found, excess = [], _stored()
    for point in points:
        for equality in EQUALITIES:
            for pair in PAIRS:
                lengths = (point[3], point[3])
                if equality != "rounds":
                    lengths = DESIGN.equal_numbers(*pair, point)
                both = [excess[point, m, n] for m, n in zip(pair, lengths, strict=True)]
                lead = mean_estimate(ahead(point, *pair, equality), LEVEL)
                won, guess = pair[lead.mean < 0.0], guessed(pair, equality)
                told = winner(pair, both)
                seen = (lead.mean, *lead.interval)
                found.append(Cell(point, equality, pair, *told, guess, won, *seen))
    return tuple(found)

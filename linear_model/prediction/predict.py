"""`predict`: floors, rounds and traffic of every method at a setting, theorems beside them, and who wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from linear_model.prediction import bounds, limits, long_run
from linear_model.prediction.methods.base import Case
from linear_model.prediction.methods.table import rows
from linear_model.prediction.result import Prediction, Row, Winner
from linear_model.prediction.setting import Setting

TIED = 1e-9
NEEDED: dict[str, Callable[[Row], float | None]] = {
    "equal rounds": lambda row: _exchanged(row),
    "equal traffic": lambda row: row.sent,
}
"""What a method needs until the model's error is at most ε; None if it does not get there."""


def _exchanged(row: Row) -> float | None:
    median = row.model_rounds.median if row.model_rounds else None
    return None if median is None else float(median * row.exchanges)


def predict(
    setting: Setting, targets: np.ndarray | None = None, seen: dict[str, Any] | None = None
) -> Prediction:
    """Everything that is known of a setting.

    Args:
        targets: the clients' b_i* (N, p) with a mean of length 1, in place of the setting's own.
        seen: what was estimated to come to the setting, kept for the record.
    """
    case = Case(setting, setting.targets if targets is None else targets)
    found = rows(case)
    local = (
        "a round of RoLoRA is both half-steps of Algorithm 2 and counts as two, of one factor each, where"
        " rounds are compared; FFA-LoRA's is a least-squares fit; the others' clients go to their local"
        " optima in a round, however many steps that takes"
    )
    return Prediction(
        setting,
        found,
        bounds.all_of(setting, case.law()),
        (*_winners(found), *long_run.winners(case)),
        (local, *limits.of_participants(setting)),
        seen,
    )


def _winners(found: tuple[Row, ...]) -> Iterator[Winner]:
    held = [row for row in found if not row.limit]
    for at, needed in NEEDED.items():
        there = {row.method: needed(row) for row in held}
        best = {name: value for name, value in there.items() if value is not None}
        because = "fewest until the model's error is at most ε, by the median"
        if not best:
            best = {row.method: row.left for row in held if row.left is not None}
            because = (
                "no method got to ε in the rounds run; the least error in the last, by the median"
            )
        if not best:
            yield Winner(at, (), "nothing here says where any method ends")
            continue
        least = min(best.values())
        first = tuple(name for name, value in best.items() if value <= least * (1.0 + TIED))
        yield Winner(at, first, because)

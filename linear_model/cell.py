"""An experiment on the linear model as a cell of a sweep."""

from typing import Any

from linear_model.experiment import Experiment
from linear_model.summary import summarise
from verification.codec import plain
from verification.sweep import Laboratory


def measure(of: Experiment, _data_dir: str | None) -> list[dict[str, Any]]:
    """A row per round: means over the trials, their intervals and quantiles."""
    columns = summarise(of.completed().run())
    table = zip(*(plain(list(values)) for values in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in table]


def check(of: Experiment) -> None:
    """Refuse a method that is not there or does not have these options."""
    of.completed().rule()


LINEAR = Laboratory("linear", Experiment, measure, check, lambda of: of.completed().as_dict())

"""A run of the two-layer network as a cell of a sweep."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nonlinear_model.configuration import Configuration
from verification.discovery import require_extra
from verification.sweep import Laboratory

if TYPE_CHECKING:
    from nonlinear_model.data.dataset import Dataset


def measure(of: Configuration, data_dir: str | None) -> list[dict[str, Any]]:
    """A row per tracked round, means over the repetitions; up to there if the run diverged."""
    from nonlinear_model.training import experiment

    result = experiment.run(of, _images(of.dataset, data_dir))
    columns = experiment.summarise(result.rows)
    columns["diverged"] = [result.diverged is not None] * len(columns["round"])
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@cache
def _images(name: str, data_dir: str | None) -> "Dataset":
    from nonlinear_model.data import registry

    return registry.load(name, None if data_dir is None else Path(data_dir))


NONLINEAR = Laboratory(
    "nonlinear",
    Configuration,
    measure,
    lambda _of: require_extra("nonlinear"),
    needs=("torch",),
)

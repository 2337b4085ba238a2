"""A federated fine-tuning run as a cell of a sweep."""

from typing import Any

from llm_validation.config import Config
from verification.discovery import require_extra
from verification.sweep import Laboratory

TIMES = frozenset({"seconds", "tokens_per_second"})
"""What no two runs share."""


def measure(of: Config, data_dir: str | None) -> list[dict[str, Any]]:
    """A row per round; up to there if the run diverged."""
    from llm_validation.training.loop import DivergedError, run

    if of.data_dir is None and data_dir is not None:
        of = of.changed(data_dir=data_dir)
    try:
        rows, diverged = run(of).rows, False
    except DivergedError as error:
        rows, diverged = error.rows, True
    return [
        {name: value for name, value in row.items() if name not in TIMES} | {"diverged": diverged}
        for row in rows
    ]


def check(of: Config) -> None:
    """Refuse what belongs into the sweep itself, an unknown task, and a missing extra."""
    from llm_validation.tasks.registry import task_named

    if of.learning_rate_grid:
        raise ValueError(
            "learning_rate_grid chooses by held-out data inside one run, got"
            f" {list(of.learning_rate_grid)}; in a sweep put the rates into grid.learning_rate"
        )
    task_named(of.task)
    require_extra("llm")


LLM = Laboratory("llm", Config, measure, check, lambda of: of.deciding, ("torch",))

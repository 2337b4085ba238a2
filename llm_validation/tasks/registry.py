"""Tasks by name."""

from __future__ import annotations

from pathlib import Path

from llm_validation.config import Config
from llm_validation.tasks import commonsense, custom, glue
from llm_validation.tasks.examples import TaskData
from verification.names import one_of


def names() -> tuple[str, ...]:
    """Every task that can be named."""
    return (*glue.TASKS, *commonsense.SETS, "custom")


def check_name(name: str) -> None:
    """Refuse an unknown task.

    Raises:
        ValueError: suggesting the nearest name.
    """
    one_of("task", name, names())


def is_causal(name: str) -> bool:
    """True for the tasks that need a causal LM."""
    return name in commonsense.SETS


def load(config: Config) -> TaskData:
    """Examples of the configuration's task.

    Raises:
        ValueError: on an unknown task, an option of another kind of task, missing files or bad records.
    """
    check_name(config.task)
    if config.text_columns and config.task != "custom":
        raise ValueError(
            f"text_columns belongs to task = custom, got {', '.join(config.text_columns)} with {config.task}"
        )
    if config.scoring == "generate" and not is_causal(config.task):
        raise ValueError(
            f"scoring = generate belongs to the tasks of causal language models, got it with {config.task}"
        )
    folder = Path(config.data_dir) if config.data_dir is not None else None
    if config.task in glue.TASKS:
        return glue.load(config.task, folder)
    if config.task in commonsense.SETS:
        return commonsense.load(config.task, folder)
    return custom.load(folder, config.text_columns, config.label_column)

"""Tasks by name: those in this folder, other packages', and `module:name`."""

from llm_validation.config import Config
from llm_validation.tasks.examples import TaskData
from llm_validation.tasks.task import Task
from verification.discovery import Catalogue

TASKS: Catalogue[Task] = Catalogue(
    "task", ("llm_validation.tasks",), "rolora.tasks", lambda value: isinstance(value, Task)
)


def task_named(name: str) -> Task:
    """The task of that name."""
    return TASKS.named(name).value


def load(config: Config) -> TaskData:
    """Examples of the configuration's task.

    Raises ValueError on an unknown task, an option of another kind of task, missing files or bad records.
    """
    task = task_named(config.task)
    if config.text_columns and task.name != "custom":
        raise ValueError(
            f"text_columns belongs to task = custom, got {', '.join(config.text_columns)} with {config.task}"
        )
    if config.scoring != "likelihood" and not task.causal:
        raise ValueError(
            f"scoring = {config.scoring} belongs to the tasks of causal language models, got it with"
            f" {config.task}"
        )
    return task.load(config)

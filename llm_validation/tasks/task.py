"""What a task is: a name, and examples to train and measure on."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from llm_validation.config import Config
from llm_validation.tasks.examples import TaskData


@dataclass(frozen=True)
class Task(ABC):
    """One task; an instance at the top of a module is found there. `causal`: it needs a causal model."""

    name: str
    order: int = field(default=1000, kw_only=True)
    causal: ClassVar[bool] = False

    @abstractmethod
    def load(self, config: Config) -> TaskData:
        """The examples. Raises ValueError on missing files or bad records."""


def folder_of(config: Config) -> Path | None:
    """The configuration's data folder, None for the hub."""
    return None if config.data_dir is None else Path(config.data_dir)

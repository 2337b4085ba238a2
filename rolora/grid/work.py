"""What a worker does: choose a cell's learning rate, or make one run, whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_validation.config import Config
from verification import files
from verification.sweep.cell import limit_threads

_IN_TURN = threading.Lock()


@dataclass(frozen=True, slots=True)
class Choice:
    """A cell's learning rate to be chosen; half-done trials are kept below `half`."""

    name: str
    config: Config
    half: Path

    def __call__(self) -> dict[str, Any]:
        """The rate, and what each of the grid came to."""
        from llm_validation.training.sweep import best_rate

        config, trials = best_rate(self.config, self.half, resume=True)
        files.remove(self.half)
        return {"learning_rate": config.learning_rate, "trials": trials}


@dataclass(frozen=True, slots=True)
class Run:
    """A run to be made in `place`; its checkpoints are kept in `half` until it is there."""

    name: str
    config: Config
    half: Path
    place: Path
    preset: str
    chosen: Mapping[str, Any]

    def __call__(self) -> str:
        """What is to be said of it, "" if nothing."""
        from llm_validation.training.loop import DivergedError, run
        from rolora.storage.llm_run import staged
        from rolora.storage.output_folder import OutputFolder

        config = self.config.changed(learning_rate=self.chosen["learning_rate"])
        try:
            result = run(config, folder=self.half, resume=True)
        except DivergedError as error:
            files.remove(self.half)
            raise ValueError(str(error)) from error
        with files.staged(self.place) as place, OutputFolder(place) as folder:
            staged(folder, config, result, self.chosen["told"], self.preset)
            folder.publish()
        files.remove(self.half)
        return result.warning or ""


Item = Choice | Run


@dataclass(frozen=True, slots=True)
class Working:
    """Works on an item, in whatever process."""

    threads: int

    def __call__(self, item: Item) -> Any:
        """What the item gives."""
        # Threads of a Dask worker share one process, and with it torch's threads.
        with _IN_TURN:
            import torch  # noqa: F401 - or the first item would have other threads than the next

            limit_threads(self.threads)
            return item()

"""Finished pieces of work in a folder, a JSON file each: there whole or not at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verification.codec import json_text
from verification.files import remove, write
from verification.sweep.lock import locked


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of them."""

    folder: Path

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Be its only writer. Raises ValueError as `locked`."""
        with locked(self.folder):
            yield

    def tidy(self, *files: str) -> None:
        """Remove what a killed writer left half-written of these files; of all pieces if none is named."""
        for name in files or ("*.json",):
            for half in self.folder.glob(f".{name}.[0-9]*.tmp"):
                remove(half)

    def held(self, name: str) -> Any | None:
        """What was kept under a name; None if nothing was, or what no longer can be read."""
        try:
            return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def keep(self, name: str, value: Any) -> None:
        """Write a finished piece.

        Raises:
            ValueError: if it cannot be written.
        """
        write(self.folder / f"{name}.json", json_text(value))

"""A folder that receives all files of a command or none of them half-written."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from verification import files

PROBE_BYTES = 1 << 20
"""Written and removed before the work starts, so that a full disk shows itself early."""


class OutputFolder:
    """Stage files beside their destination, then rename them into place.

    Use as a context manager around the whole work. Entering makes the folder and proves that it can
    be written; `publish` renames the staged files; leaving without `publish` removes everything this
    object made, folders included. Each raises ValueError if the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[Path] = []
        self._staging: Path | None = None
        self._staged: list[str] = []

    def __enter__(self) -> OutputFolder:
        try:
            missing = [p for p in (self.path, *self.path.parents) if not p.exists()]
            for folder in reversed(missing):
                folder.mkdir()
                self._made.append(folder)
            self._staging = Path(tempfile.mkdtemp(prefix=".rolora-", dir=self.path))
            probe = self._staging / "probe"
            probe.write_bytes(bytes(PROBE_BYTES))
            probe.unlink()
        except OSError as error:
            self._clean(published=False)
            raise self._refusal(error) from error
        return self

    def __exit__(self, *raised: object) -> None:
        self._clean(published=False)

    def write(self, name: str, content: str | bytes) -> None:
        """Stage one file."""
        assert self._staging is not None, "enter the folder first"
        target = self._staging / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        except OSError as error:
            raise self._refusal(error, name) from error
        self._staged.append(name)

    def publish(self, remove: tuple[str, ...] = ()) -> None:
        """Rename every staged file into place, in order, then remove these of an earlier run's."""
        assert self._staging is not None, "enter the folder first"
        fresh: list[Path] = []
        for name in self._staged:
            target = self.path / name
            try:
                new = not target.exists()
                target.parent.mkdir(parents=True, exist_ok=True)
                files.put(self._staging / name, target)
            except OSError as error:
                for path in fresh:
                    path.unlink(missing_ok=True)
                for folder in {path.parent for path in fresh} - {self.path}:
                    _remove_if_empty(folder)
                raise self._refusal(error, name) from error
            if new:
                fresh.append(target)
        for name in remove:
            (self.path / name).unlink(missing_ok=True)
            _remove_if_empty((self.path / name).parent)
        self._clean(published=True)

    def _clean(self, published: bool) -> None:
        if self._staging is not None:
            files.remove(self._staging)
            self._staging = None
        if not published:
            for folder in reversed(self._made):
                _remove_if_empty(folder)
        self._made = []

    def _refusal(self, error: OSError, name: str = "") -> ValueError:
        where = f"{self.path}/{name}" if name else str(self.path)
        return ValueError(f"cannot write {where}: {error.strerror or error}")


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not empty, or gone already: nothing of ours to remove
        folder.rmdir()

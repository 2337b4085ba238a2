"""One writer a folder: a second one is told who the first is; a process that died holds nothing."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK, WRITER = ".lock", ".writer"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the folder's only writer; it is made if it is not there.

    Raises:
        ValueError: if another process is, naming its host and its number, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock, writer = FileLock(folder / LOCK), folder / WRITER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"{folder} is in use by {_told(writer)}; wait, or choose another folder"
        ) from None
    except OSError as error:
        raise ValueError(f"{folder} cannot be written: {error.strerror or error}") from error
    try:
        # Beside the lock: who tries to get that one may empty it.
        writer.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}), "utf-8")
        yield
    finally:
        writer.unlink(missing_ok=True)
        lock.release()


def _told(writer: Path) -> str:
    try:
        held = json.loads(writer.read_text("utf-8"))
        return f"process {held['pid']} on {held['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # that has just begun

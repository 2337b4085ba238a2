"""Files and folders that are there whole or not at all: written under a temporary name, then renamed."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A free place beside `path`; the file or folder put there takes the place of `path` on leaving.

    It is on the disk before it is renamed, so that not even a power cut leaves half of it.

    Raises:
        ValueError: if it cannot be written; what was there stays then, and nothing else is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        yield temporary
        for file in temporary.rglob("*") if temporary.is_dir() else (temporary,):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        put(temporary, path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        remove(temporary)


def write(path: Path, content: str | bytes) -> None:
    """Write a file: text as UTF-8, or bytes.

    Raises:
        ValueError: as `staged`.
    """
    with staged(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def put(source: Path, path: Path) -> None:
    """Rename a finished file or folder to `path`; a folder that is there gives way whole.

    Raises:
        OSError: if it cannot be; what was there stays.
    """
    if not path.is_dir():
        source.replace(path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.replace(old)
    try:
        source.replace(path)
    except OSError:
        old.replace(path)
        raise
    remove(old)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there and can be removed."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def require_writable(folder: Path) -> None:
    """Check before any work that results can be written.

    Raises:
        ValueError: if the folder cannot be made or written to.
    """
    made = not folder.exists()
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("x", encoding="utf-8")
        probe.unlink()
        if made:
            folder.rmdir()
    except OSError as error:
        raise ValueError(f"output folder {folder} cannot be written: {error.strerror}") from error

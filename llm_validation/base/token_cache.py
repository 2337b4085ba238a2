"""Token ids of large splits kept on the disk, found again by their content, and read where they lie.

A split is one folder of plain arrays under the hash of its texts and of all that its tokens depend on. It is
renamed into place when it is whole; one that is damaged nevertheless is made anew.
"""

import json
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload

import numpy as np

from verification.files import staged

VARIABLE = "ROLORA_CACHE"
"""Names the folder in the environment; empty for no cache."""
WORTH = 5000
"""Texts from which on a split is kept: fewer are done in a second."""
FORMAT = 1
TABLE = "arrays.json"
Rows = Sequence[Sequence[int]]


class Ragged(Sequence[np.ndarray]):
    """Rows of several lengths in one array, each ending at its place in `ends`."""

    def __init__(self, flat: np.ndarray, ends: np.ndarray) -> None:
        self.flat, self.ends = flat, ends

    def __len__(self) -> int:
        return int(self.ends.size)

    @overload
    def __getitem__(self, place: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, place: slice) -> list[np.ndarray]: ...
    def __getitem__(self, place: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(place, slice):
            return [self[k] for k in range(*place.indices(len(self)))]
        k = range(len(self))[place]
        return self.flat[self.ends[k - 1] if k else 0 : self.ends[k]]


def kept(
    tokenizer: Any,
    columns: Sequence[Sequence[str]],
    told: Mapping[str, Any],
    make: Callable[[], Mapping[str, Rows]],
) -> dict[str, Sequence[np.ndarray]]:
    """Rows of whole numbers by name, all names' rows of a text alike in length or single numbers.

    Args:
        columns: the texts they are made of, one sequence for each column.
        told: whatever else they depend on, beside the tokenizer.
        make: makes them; called if they are not there.
    """
    folder, backend = place(), getattr(tokenizer, "backend_tokenizer", None)
    if folder is None or backend is None or len(columns[0]) < WORTH:
        rows = make().items()
        return {name: tuple(np.asarray(r, dtype=np.int64) for r in own) for name, own in rows}
    own = folder / "tokens" / key_of(tokenizer, columns, told)
    found = _read(own)
    if found is None:
        found = {name: _joined(rows) for name, rows in make().items()}
        try:
            _write(own, found)
        except ValueError:  # nowhere to keep them: they serve this run
            return {name: Ragged(*pair) for name, pair in found.items()}
        found = _read(own) or found
    return {name: Ragged(*pair) for name, pair in found.items()}


def place() -> Path | None:
    """The folder of what is kept, None for none."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rolora"


def key_of(tokenizer: Any, columns: Sequence[Sequence[str]], told: Mapping[str, Any]) -> str:
    """Hash of the texts, the tokenizer and what else is told."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    # Left there by whoever called it last.
    state |= {"truncation": None, "padding": None}
    versions = {name: version(name) for name in ("tokenizers", "transformers")}
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    about = [FORMAT, versions, state, special, type(tokenizer).__name__, dict(told)]
    found = sha256(json.dumps(about, sort_keys=True).encode())
    for column in columns:
        for text in column:
            each = text.encode("utf-8", "surrogatepass")
            found.update(b"%d:" % len(each) + each)
    return found.hexdigest()


def _joined(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    flat = np.fromiter((n for row in rows for n in row), dtype=np.int32, count=int(ends[-1]))
    return flat, ends


def _write(folder: Path, found: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    with staged(folder) as temporary:
        temporary.mkdir(parents=True)
        sums = {}
        for name, pair in found.items():
            for part, array in zip(("flat", "ends"), pair, strict=True):
                file = f"{name}-{part}.npy"
                np.save(temporary / file, array, allow_pickle=False)
                sums[file] = zlib.crc32(array.data)
        (temporary / TABLE).write_text(json.dumps(sums), "utf-8")


def _read(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
    """The arrays, still on the disk; None if they are not there, or not whole."""
    try:
        sums = json.loads((folder / TABLE).read_text("utf-8"))
        arrays = {
            file: np.asarray(np.load(folder / file, mmap_mode="r", allow_pickle=False))
            for file in sums
        }
        if any(zlib.crc32(arrays[file].data) != told for file, told in sums.items()):
            return None
        names = dict.fromkeys(file.rpartition("-")[0] for file in sums)
        return {n: (arrays[f"{n}-flat.npy"], arrays[f"{n}-ends.npy"]) for n in names}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None

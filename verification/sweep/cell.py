"""A cell: a laboratory, by `module:name`, at one configuration; its key is the same everywhere.

All that is random in a cell comes from its own configuration, so neither order nor neighbours nor the place
where it runs can change it.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

from verification.codec import json_text, plain
from verification.discovery import at
from verification.settings import Settings, settings

Rows = Sequence[Mapping[str, Any]]
Kept = Literal["last", "all"]
ROUND = "round"
_IN_TURN = threading.Lock()


@dataclass(frozen=True, slots=True)
class Laboratory:
    """How configurations of one kind run as cells.

    Attributes:
        name: what users call it.
        settings: its configuration.
        measure: `measure(configuration, data_dir)` gives the tidy rows, one per `round` where there are
            rounds, without anything that no two runs share, as times.
        check: refuses what the configuration alone does not, before any work.
        deciding: the values that decide the outcome; all if not given.
        needs: modules with threads of their own that it imports late.
    """

    name: str
    settings: type[Settings]
    measure: Callable[[Any, str | None], Rows]
    check: Callable[[Any], None] = lambda _configuration: None
    deciding: Callable[[Any], Mapping[str, Any]] = Settings.as_dict
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """One of them.

    Attributes:
        key: of its file; the same for the same laboratory and configuration.
        name: what tells it from the others.
        parameters: what the user gave.
        shown: columns of the table: all that is given in any cell, at this cell's values.
    """

    key: str
    name: str
    parameters: Mapping[str, Any]
    shown: Mapping[str, Any]


@cache
def laboratory(place: str) -> Laboratory:
    """The laboratory at `module:name`, or one of the function that is there.

    A function's keywords are its parameters; annotations, pydantic's fields too, say what they may be.

    Raises:
        ValueError: if there is neither.
    """
    attribute = place.partition(":")[2]
    try:
        found = at(place) if attribute else None
    except AttributeError:
        found = None
    if isinstance(found, Laboratory):
        return found
    if not callable(found):
        raise ValueError(
            f"laboratory must be a known one, or module:name of a Laboratory or a function, got {place!r}"
        )
    return _of_function(place, found)


def _of_function(place: str, function: Callable[..., Rows]) -> Laboratory:
    kinds: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    try:
        given = inspect.signature(function, eval_str=True).parameters.values()
    except (TypeError, NameError) as error:
        raise ValueError(f"{place} must be a function with a signature: {error}") from error
    for one in sorted(given, key=lambda one: one.default is not one.empty):
        if one.kind not in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD):
            raise ValueError(f"{place} must take its parameters by name, got {one}")
        kinds[one.name] = Any if one.annotation is one.empty else one.annotation
        if one.default is not one.empty:
            defaults[one.name] = one.default
    parts = {"__annotations__": kinds, "__doc__": function.__doc__, **defaults}
    own: Any = settings(type("Parameters", (Settings,), parts))
    return Laboratory(place, own, lambda of, _data_dir: function(**of.as_dict()))


def key(place: str, of: Laboratory, configuration: Settings) -> str:
    """The name of a cell's file."""
    deciding = json_text([place, of.deciding(configuration)], indent=None, by_name=True)
    return hashlib.sha256(deciding.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Measuring:
    """Runs a cell, in whatever process.

    Attributes:
        place: of the laboratory.
        kept: the rows of the last round, or of all.
        data_dir: folder with the real data sets.
        threads: of linear algebra and torch.
    """

    place: str
    kept: Kept = "last"
    data_dir: str | None = None
    threads: int = 1

    def __call__(self, cell: Cell) -> dict[str, Any]:
        """Its rows as JSON data, the seconds it took and what it was warned of."""
        # Threads of a Dask worker share one process, and with it torch's threads and warnings' filters.
        with _IN_TURN, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            of = laboratory(self.place)
            for name in of.needs:  # or their first cell would have other threads than the next
                import_module(name)
            limit_threads(self.threads)
            start = time.perf_counter()
            rows = list(of.measure(of.settings.read(cell.parameters), self.data_dir))
            seconds = time.perf_counter() - start
        if not all(isinstance(row, Mapping) for row in rows):
            raise ValueError(
                f"{self.place} must give rows, each a mapping of columns, got {rows[0]!r}"
            )
        if self.kept == "last" and rows and ROUND in rows[0]:
            last = max(row[ROUND] for row in rows)
            rows = [row for row in rows if row[ROUND] == last]
        said = dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught)
        return {"rows": plain(rows), "seconds": seconds, "warnings": list(said)}


def limit_threads(count: int) -> None:
    """Of linear algebra and torch, in this process and for good: sums depend on how they are split."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(count)
    torch = sys.modules.get("torch")  # it is not imported from here
    if torch is not None:
        torch.set_num_threads(count)

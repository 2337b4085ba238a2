"""A sweep in a folder: its specification and a file a finished cell; what is there is not run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from verification.names import one_of
from verification.sweep.cell import Cell, Measuring
from verification.sweep.cell import laboratory as laboratory
from verification.sweep.cluster import Cluster
from verification.sweep.dispatch import Pool, dispatch
from verification.sweep.local import Lanes
from verification.sweep.specification import Specification, difference
from verification.sweep.store import Store

ABOUT, CELLS, TABLE = "sweep", "cells", "table.parquet"
NUMBERS = {"nan": None, "inf": float("inf"), "-inf": float("-inf")}
"""What JSON has words for only; a number that is missing is empty in a table."""


@dataclass(frozen=True, slots=True)
class Folder:
    """Where a sweep is kept."""

    path: Path

    @contextmanager
    def opened(
        self,
        specification: Specification,
        cells: Sequence[Cell],
        expand: Callable[[Specification], Any],
    ) -> Iterator[dict[str, dict[str, Any]]]:
        """Be its only writer; what was finished before, by key.

        Args:
            expand: the cells of another specification, to tell whether all of them are among these.

        Raises:
            ValueError: if another process writes there, or it holds another sweep.
        """
        with Store(self.path).opened():
            self._require_same(specification, cells, expand)
            Store(self.path).tidy(f"{ABOUT}.json", TABLE)
            self._cells.tidy()
            yield self.finished(cells)

    def finished(self, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
        """What is kept of these cells, by key."""
        held = {cell.key: self._cells.held(cell.key) for cell in cells}
        return {key: found for key, found in held.items() if _whole(found)}

    @property
    def _cells(self) -> Store:
        return Store(self.path / CELLS)

    def about(self) -> dict[str, Any]:
        """What was told of the sweep; nothing of a new one."""
        found = Store(self.path).held(ABOUT)
        return found if isinstance(found, dict) else {}

    def tell(self, about: Mapping[str, Any]) -> None:
        """Write it."""
        Store(self.path).keep(ABOUT, about)

    def keep(self, cell: Cell, found: Mapping[str, Any]) -> None:
        """Write a finished cell."""
        self._cells.keep(cell.key, {"parameters": cell.parameters, **found})

    def _require_same(
        self, own: Specification, cells: Sequence[Cell], expand: Callable[[Specification], Any]
    ) -> None:
        about = self.about()
        if not about:
            for name in (CELLS, TABLE):
                if self.path.joinpath(name).exists():
                    raise ValueError(
                        f"{self.path} holds {name} of an unknown sweep; choose another folder"
                    )
            return
        held = about.get("specification")
        held = held if isinstance(held, dict) else {}
        same = all(held.get(name) == getattr(own, name) for name in ("laboratory", "rows"))
        if same:
            try:
                before = {cell.key for cell in expand(Specification.read(held))}
                same = before <= {cell.key for cell in cells}
            except (ValueError, TypeError):
                same = False  # of parameters that are no longer known
        if not same:
            what = difference(held, own.as_dict()) or "other parameters"
            raise ValueError(f"{self.path} holds another sweep: {what}; choose another folder")


@dataclass(eq=False)
class Progress:
    """How far a sweep is: cells finished before, finished now, and failed, with what is said of them."""

    total: int
    before: int = 0
    now: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def worked(self) -> int:
        """Cells worked on now."""
        return self.now + len(self.failed)

    @property
    def done(self) -> int:
        """All that need no more work."""
        return self.before + self.worked


def pool_of(jobs: int, threads: int, scheduler: str | None) -> Lanes | Cluster:
    """Worker processes here, or those of a Dask scheduler. Raises ValueError as these, or on both."""
    if scheduler is not None and jobs != 1:
        raise ValueError(
            f"--jobs counts processes of this machine, and a --scheduler has workers of its own: give one of"
            f" them, got --jobs {jobs} with {scheduler}"
        )
    return Lanes(jobs, threads) if scheduler is None else Cluster(scheduler)


def study_pool(jobs: int, scheduler: str | None) -> AbstractContextManager[Pool | None]:
    """The same for a study, whose one job is this process."""
    if jobs == 1 and scheduler is None:
        return nullcontext()
    return pool_of(jobs, 1, scheduler)


def run(
    folder: Folder,
    cells: Sequence[Cell],
    finished: dict[str, dict[str, Any]],
    work: Measuring,
    pool: Pool,
    progress: Progress,
    told: Callable[[], None] = lambda: None,
) -> None:
    """Run what is not finished, each cell kept as soon as it is.

    Args:
        finished: by key; what gets finished joins.
        pool: entered before.
        progress: kept up to date.
        told: after every cell, and once before.

    Raises:
        ValueError: if the pool is lost or a cell cannot be written.
    """
    left = [cell for cell in cells if cell.key not in finished]
    progress.before = len(cells) - len(left)
    told()
    for done in dispatch(work, left, pool):
        if done.error:
            progress.failed.append((done.item.name, done.error))
        else:
            folder.keep(done.item, done.value)
            finished[done.item.key] = done.value
            progress.now += 1
        told()


def records(
    cells: Sequence[Cell], finished: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The tidy rows of the finished cells in the order of the sweep; what a row says itself counts."""
    return [
        {**cell.shown, **{name: _number(value) for name, value in row.items()}}
        for cell in cells
        if cell.key in finished
        for row in finished[cell.key]["rows"]
    ]


def _whole(found: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a file holds what was written into it, whatever happened to it since."""
    if not isinstance(found, dict) or not isinstance(found.get("seconds"), float):
        return False
    rows = found.get("rows")
    return isinstance(rows, list) and all(isinstance(row, dict) for row in rows)


def _number(value: Any) -> Any:
    return NUMBERS.get(value, value) if isinstance(value, str) else value


def place_of(name: str, known: Mapping[str, str]) -> str:
    """Where a laboratory is: a known one, or `module:name`."""
    return name if ":" in name else known[one_of("laboratory", name, known)]

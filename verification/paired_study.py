"""Methods side by side, seed by seed: designed as data, run once, taken up where it stopped.

Every method gets the same grid of learning rates, the same seeds and, by them, the same starts and batches.
Some seeds choose its rate, others judge it. What a run is, and how a rate is searched, others say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from verification.codec import columns_of, csv_text, json_text
from verification.evidence import Asked, Evidence
from verification.files import write
from verification.finding import Comparison, Relation, Rule
from verification.statistics import mean_estimate
from verification.sweep.dispatch import Pool, dispatch
from verification.sweep.run import study_pool
from verification.sweep.store import Store

T = TypeVar("T")
PAIRED = "paired over {} seeds with the same split, start and batches"
Point = tuple[Any, ...]
"""A setting of the study: one value for each axis of its design."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of one method on one seed is judged by.

    Attributes:
        rounds: the tracked rounds, ascending.
        scores: at these rounds, larger is better; None of a diverged run that has none.
        diverged: whether the run was given up.
        restarts: how often it diverged and was begun anew at the next lower rate.
        facts: more of what is told of the run; a smaller `loss` decides between rates of equal scores.
            A list or tuple of one entry per tracked round is cut with them.
    """

    rounds: tuple[int, ...]
    scores: tuple[float | None, ...]
    diverged: bool = False
    restarts: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def until(self, round: int) -> Run:
        """The run as it stood at a tracked round."""
        count = 1 + self.rounds.index(round)
        cut = {
            name: value[:count] if isinstance(value, (list, tuple)) else value
            for name, value in self.facts.items()
        }
        return replace(self, rounds=self.rounds[:count], scores=self.scores[:count], facts=cut)


def paired(quantity: str, differences: np.ndarray, alpha: float, *, by: float = 0.0) -> Comparison:
    """A mean of paired differences that should exceed a demand with its whole Student interval.

    Args:
        quantity: what is larger than what, and where.
        differences: one per seed, (S,).
        alpha: of the interval; divide by the number of comparisons made together.
        by: the demand.
    """
    found = mean_estimate(differences, alpha)
    why = PAIRED.format(found.n)
    return Comparison(
        quantity, by, found.mean, Relation.GE, found.interval, certify=True, why=why, n=found.n
    )


def lead(evidence: Evidence, quantity: str, differences: np.ndarray, *, by: float = 0.0) -> Asked:
    """The same as evidence, which divides its error probability itself. Arguments as in `paired`."""
    why = PAIRED.format(len(differences))
    return evidence.mean(quantity, differences, at_least=by, certify=True, why=why)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """A study, fixed before its first run.

    Attributes:
        axes: names of a point's values.
        points: what is varied beside the methods, in the order they are run.
        methods: compared at every point.
        rates: learning rates every method tries.
        tuning_seeds: seeds that choose each method's rate.
        seeds: seeds that every method is judged on; none of the tuning seeds.
        score: what is compared, in words.
        rule: how it is judged.
        fixed: what all runs share, as JSON.

    Raises:
        ValueError: without any point, method or seed, on a bad grid, or if the groups of seeds meet.
    """

    axes: tuple[str, ...]
    points: tuple[Point, ...]
    methods: tuple[str, ...]
    rates: tuple[float, ...]
    tuning_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    score: str
    rule: Rule
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("points", "methods", "tuning_seeds", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"{name} must be at least one, got none")
        require_rates(self.rates)
        shared = sorted(set(self.tuning_seeds) & set(self.seeds))
        if shared:
            raise ValueError(f"seeds must not be among the tuning_seeds, got {shared} in both")

    def at(self, point: Point) -> Self:
        """The part of the design that belongs to a point."""
        return replace(self, points=(point,))


D = TypeVar("D", bound=Design)


def require_rates(rates: Sequence[float]) -> None:
    """Check a grid of learning rates.

    Raises:
        ValueError: if it is empty, or one is not finite and positive.
    """
    if not rates or not all(isfinite(rate) and rate > 0.0 for rate in rates):
        raise ValueError(f"rates must be finite, positive and at least one, got {list(rates)}")


Runner = Callable[..., Iterable[Run]]
"""`runner(method, rate, seeds)` runs a method at a rate on seeds, one run a seed in their order; a runner
that can stop earlier takes `rounds`, too."""
Measure = Callable[..., Iterable[Run]]
"""`measure(point, method, rate, seeds)`: the same at any point of a design."""


def run(
    design: D,
    measure: Measure,
    search: Callable[[Runner, str, D], T],
    *,
    table: Path | None = None,
    rows: Callable[[Mapping[Point, Mapping[str, T]]], Sequence[Mapping[str, Any]]] | None = None,
    progress: Callable[[str], None] = lambda _line: None,
    done: Callable[[Point, str], None] = lambda _point, _method: None,
    jobs: int = 1,
    scheduler: str | None = None,
) -> dict[Point, dict[str, T]]:
    """Every method at every point.

    With a `table`, the folder beside it named as it is holds the design and a file for each finished run:
    what is there is not run again, and one process at a time writes there. Points that were finished there
    earlier stay in the table.

    Args:
        design: the study.
        measure: runs one cell; where it yields run by run, an interrupted study loses one at most.
        search: finds and judges a method's rate with the runs it asks for.
        table: the tidy CSV, written when all points are done.
        rows: its rows.
        progress: told one line per run.
        done: told of every point and method that is finished.
        jobs: processes that work on different cells at once, where there is a `table`.
        scheduler: address of a Dask scheduler whose workers do it instead; they write into the same folder.

    Raises:
        ValueError: before any run, if the folder holds another design, a study of an older layout, or has
            another writer; after all others, if a cell failed.
    """
    if table is None:
        return _searched(design, measure, search)
    store = Store(table.with_suffix("") if scheduler is None else table.with_suffix("").resolve())
    with study_pool(jobs, scheduler) as pool, store.opened():
        earlier = _finished(design, store.folder, table)
        store.tidy()
        design = replace(design, points=tuple(dict.fromkeys([*earlier, *design.points])))
        measure = partial(_kept, store, measure, progress)
        _into_store(design, partial(_into_files, design, measure, search), pool, done)
        # The runs of all cells are in files; here they are only read.
        found = _searched(design, measure, search)
        _tell(store.folder, design, tuple(found))
        if rows is not None:
            write(table, csv_text(columns_of(rows(found))))
    return found


def _searched(
    design: D, measure: Measure, search: Callable[[Runner, str, D], T]
) -> dict[Point, dict[str, T]]:
    return {
        point: {m: _at(design, measure, search, point, m) for m in design.at(point).methods}
        for point in design.points
    }


def _into_store(
    design: D,
    work: Callable[[tuple[Point, str]], Any],
    pool: Pool | None,
    done: Callable[[Point, str], None],
) -> None:
    """The runs of all cells into files."""
    cells = [(point, method) for point in design.points for method in design.at(point).methods]
    failed = []
    for arrived in dispatch(work, cells, pool):
        if arrived.error:
            failed.append(
                f"{'-'.join(map(str, (*arrived.item[0], arrived.item[1])))}: {arrived.error}"
            )
        done(*arrived.item)
    if failed:
        raise ValueError("; ".join(failed))


def _into_files(
    design: D,
    measure: Measure,
    search: Callable[[Runner, str, D], Any],
    cell: tuple[Point, str],
) -> None:
    _at(design, measure, search, *cell)


def _at(
    design: D,
    measure: Measure,
    search: Callable[[Runner, str, D], T],
    point: Point,
    method: str,
) -> T:
    return search(partial(measure, point), method, design.at(point))


def _finished(design: Design, folder: Path, table: Path) -> tuple[Point, ...]:
    """The points that are finished in a folder, after comparing all the rest of the design."""
    path = folder / "design.json"
    if not path.is_file():
        older = table.exists() or (table.parent / "cells").exists()
        if older or any(folder.glob("*.json")):
            raise ValueError(
                f"{table.parent} holds a study of an older layout, which does not tell its design, so that"
                " nothing of it can be taken up; choose another folder"
            )
        _tell(folder, design, ())
        return ()
    held = json.loads(path.read_text(encoding="utf-8"))
    own = json.loads(json_text(asdict(design)))
    told, own = held | held["fixed"], own | own["fixed"]
    for name in sorted(own.keys() - {"points", "fixed"} | held["fixed"].keys()):
        if told.get(name) != own.get(name):
            raise ValueError(
                f"{folder} holds another study: {name} {told.get(name)} in place of {own.get(name)};"
                " choose another folder"
            )
    return tuple(map(tuple, held["points"]))


def _tell(folder: Path, design: Design, finished: tuple[Point, ...]) -> None:
    write(folder / "design.json", json_text(asdict(design) | {"points": finished}))


def _kept(
    store: Store,
    measure: Measure,
    progress: Callable[[str], None],
    point: Point,
    method: str,
    rate: float,
    seeds: Sequence[int],
    **stop: int,
) -> list[Run]:
    """The runs of one cell: those that have a file are read, the others run and written one by one."""
    names = {s: "-".join(map(str, (*point, method, s, rate, *stop.values()))) for s in seeds}
    held = {s: store.held(name) for s, name in names.items()}
    missing = [s for s, run in held.items() if run is None]
    if missing:
        for s, found in zip(missing, measure(point, method, rate, missing, **stop), strict=True):
            store.keep(names[s], asdict(found))
            held[s] = store.held(names[s])
            progress(f"{names[s]}: {'diverged' if found.diverged else found.scores[-1]}")
    return [_read(held[s]) for s in seeds]


def _read(held: Any) -> Run:
    return Run(**held | {"rounds": tuple(held["rounds"]), "scores": tuple(held["scores"])})

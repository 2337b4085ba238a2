"""`rolora sweep`: a grid of runs, here or on a Dask cluster, taken up where it stopped."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from rolora.commands.options import DataDir, Jobs, Json, Quiet, Scheduler
from rolora.console import bar, fail, messages, output, stopped_says, table
from verification.codec import json_text
from verification.sweep import run as engine
from verification.sweep.cell import Cell, Measuring
from verification.sweep.dispatch import Attempt, Pool, arrived
from verification.sweep.run import Folder, Progress
from verification.sweep.specification import Specification

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer()
LABORATORIES = {
    "linear": "linear_model.cell:LINEAR",
    "nonlinear": "nonlinear_model.cell:NONLINEAR",
    "llm": "llm_validation.cell:LLM",
}
MANY = 10_000
SCHEMA_VERSION = 1
MOST_SAID = 10
LINE_SECONDS = 10.0
TRY_SECONDS = 20.0
"""How long an estimate tries a cell."""


@app.command("sweep")
def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML file: laboratory and grid.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for what is written; results/sweeps/FILE."),
    ] = None,
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
    threads: Annotated[
        int, typer.Option(help="Threads of a worker; sums depend on it.", min=1)
    ] = 1,
    data_dir: DataDir = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell the cells and how long they would take.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help=f"Run more than {MANY:,} cells.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run every cell of a grid; write table.parquet, sweep.json and a file a cell.

    The same command goes on where an earlier one stopped. Exit status 0: all cells are finished; 1: some
    failed; 2: bad usage; 129, 130, 143: stopped by SIGHUP, SIGINT, SIGTERM.
    """
    from verification.discovery import require_extra
    from verification.settings import read_toml

    require_extra("sweep")
    asked = Specification.read(read_toml(file))
    place = engine.place_of(asked.laboratory, LABORATORIES)
    if asked.count > MANY and not yes:
        raise ValueError(f"the sweep has {asked.count:,} cells; more than {MANY:,} need --yes")
    cells = asked.expanded(place, engine.laboratory(place))
    folder = Folder(out or Path("results/sweeps") / file.stem)
    data = None if data_dir is None else str(data_dir.resolve())
    work = Measuring(place, asked.rows, data, threads)
    where = Where(jobs, threads, scheduler)
    if dry_run:
        with stopped_says(lambda: "nothing was to be written"):
            _estimate(folder, cells, work, where)
        return
    command = shlex.join(["rolora", "sweep", file.name])
    sweeping = _Sweeping(folder, asked, cells, command, messages(quiet or as_json))
    with stopped_says(sweeping.kept):
        about, rows = sweeping.run(work, where)
    if as_json:
        typer.echo(json_text(about | {"records": rows}), nl=False)
    elif not quiet:
        sweeping.show(len(rows))
    if about["failed"]:
        for one in about["failed"][:MOST_SAID]:
            fail(f"cell {one['cell']}: {one['error']}")
        fail(f"{len(about['failed'])} of {len(cells)} cells failed; the table has the others")
        raise typer.Exit(1)


class Where(NamedTuple):
    """Who works: processes here, or a scheduler's."""

    jobs: int
    threads: int
    scheduler: str | None


class _Sweeping:
    """A sweep under way, and what is told of it."""

    def __init__(
        self,
        folder: Folder,
        asked: Specification,
        cells: Sequence[Cell],
        command: str,
        talk: Console,
    ) -> None:
        self.folder, self.asked, self.cells, self.command = folder, asked, cells, command
        self.talk = talk
        self.finished: dict[str, dict[str, Any]] = {}
        self.progress = Progress(len(cells))
        self.began = self.said = time.monotonic()

    def run(self, work: Measuring, where: Where) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """From the lock to the table: what is told of the sweep, and its rows."""

        def expand(other: Specification) -> list[Cell]:
            return other.expanded(work.place, engine.laboratory(work.place))

        with (
            engine.pool_of(*where) as pool,
            self.folder.opened(self.asked, self.cells, expand) as self.finished,
        ):
            self.threads = work.threads
            environment = self._begin()
            try:
                with bar("cells", len(self.cells), quiet=self.talk.quiet) as self.tell:
                    engine.run(
                        self.folder, self.cells, self.finished, work, pool, self.progress, self.told
                    )
            except ValueError as error:
                raise ValueError(f"{error}; {self.kept()}") from error
            rows = engine.records(self.cells, self.finished)
            return self._end(environment, rows), rows

    def kept(self) -> str:
        """What is there if it ends now."""
        return (
            f"{len(self.finished)} of {len(self.cells)} cells are kept in {self.folder.path}, and the same"
            " command goes on from there"
        )

    def _begin(self) -> Any:
        """Note what makes the numbers; of what is there already, what made it."""
        from rolora.storage.environment import environment

        own, before, about = environment(), len(self.finished), self.folder.about()
        held = about.get("environment", own) if before else own
        then = about.get("threads", self.threads) if before else self.threads
        if then != self.threads:
            raise ValueError(
                f"--threads must be {then}, as for the {before} cells that are finished in"
                f" {self.folder.path}, since sums depend on it, got {self.threads}; or choose another folder"
            )
        if any(held.get(name) != own[name] for name in ("python", "packages")):
            words = (
                f"Note: {before} cells were finished with other versions; see {engine.ABOUT}.json."
            )
            self.talk.print(words, style="yellow", soft_wrap=True)
        if before:
            self.talk.print(f"Going on: {before} of {len(self.cells)} cells were finished before.")
        self.folder.tell(self._about(held))
        return held

    def _about(self, environment: Any) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "sweep",
            "laboratory": self.asked.laboratory,
            "specification": self.asked.as_dict(),
            "command": self.command,
            "environment": environment,
            "threads": self.threads,
            "cells": len(self.cells),
            "finished": len(self.finished),
            "failed": [{"cell": name, "error": error} for name, error in self.progress.failed],
        }

    def _end(self, environment: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import hashlib

        from rolora.storage.parquet import parquet
        from verification.files import write

        content = parquet(rows)
        write(self.folder.path / engine.TABLE, content)
        facts = {"rows": len(rows), "table_sha256": hashlib.sha256(content).hexdigest()}
        about = self._about(environment) | facts
        self.folder.tell(about)
        return about

    def told(self) -> None:
        """A cell more: the bar, or a line where there is none."""
        progress, now = self.progress, time.monotonic()
        words = [f"{progress.done} of {progress.total} cells"]
        if progress.failed:
            words.append(f"{len(progress.failed)} failed")
        if progress.worked:
            left = (now - self.began) / progress.worked * (progress.total - progress.done)
            words.append(f"{_time(left)} left")
        self.tell(completed=progress.done, description=" · ".join(words))
        if not self.talk.is_terminal and now - self.said > LINE_SECONDS:
            self.said = now
            self.talk.print(" · ".join(words))

    def show(self, rows: int) -> None:
        """What came of it."""
        shown = table("cells", "finished before", "run now", "failed", "rows", "time")
        now = self.progress
        counts = (now.total, now.before, now.now, len(now.failed), rows)
        shown.add_row(*map(str, counts), _time(time.monotonic() - self.began))
        output().print(shown)
        self.talk.print(f"Table: {self.folder.path / engine.TABLE}", soft_wrap=True)


def _estimate(folder: Folder, cells: Sequence[Cell], work: Measuring, where: Where) -> None:
    """Tell how long a sweep would take: by its finished cells, or by its first one, tried for a while."""
    held = folder.finished(cells)
    left = len(cells) - len(held)
    output().print(f"{len(cells):,} cells, {len(held):,} of them finished")
    if not left:
        return
    about, each = "about", 0.0
    with engine.pool_of(*where) as pool:
        workers = pool.at_once
        if held:
            each = sum(found["seconds"] for found in held.values()) / len(held)
        else:
            try:
                for _ in range(2):  # the first time a process loads what it needs
                    each = _tried(pool, work, cells[0])
            except TimeoutError:
                about, each = "more than", max(each, TRY_SECONDS)
    by = "by those" if held else "by the first"
    output().print(f"{about} {each:.2g} s a cell, {by}: {_time(each * left)} of one worker")
    output().print(f"{about} {_time(each * left / workers)} with {workers}")


def _tried(pool: Pool, work: Measuring, cell: Cell) -> float:
    """Seconds of one cell. Raises TimeoutError after a while, and ValueError if it fails."""
    future = pool.submit(Attempt(work), cell)
    wait([future], TRY_SECONDS)
    if not future.done():
        raise TimeoutError
    if pool.died(future):
        raise ValueError(f"cell {cell.name}: it killed its worker")
    done = arrived(cell, future)
    if done.error:
        raise ValueError(f"cell {cell.name}: {done.error}")
    return float(done.value["seconds"])


def _time(seconds: float) -> str:
    for size, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"

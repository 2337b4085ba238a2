"""`rolora llm grid`: a published table, here or on a Dask cluster, taken up where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llm_validation.config import Config
from rolora.commands.options import Given, Jobs, Json, Quiet, Scheduler, configured
from rolora.console import bar, fail, messages, output, stopped_says, table
from rolora.grid.plan import TUNING_SEED, Cell, Plan, planned
from rolora.grid.work import Choice, Item, Run, Working
from verification.codec import json_text
from verification.sweep.dispatch import Pool, dispatch
from verification.sweep.run import pool_of
from verification.sweep.specification import difference
from verification.sweep.store import Store

if TYPE_CHECKING:
    from rich.console import Console

ABOUT, RATES, HALF = "grid", "rates", "half-done"
LEFTOVERS = (".*.tmp", ".*.old")
"""What a killed worker leaves of a folder that it was about to rename."""


@configured(Config)
def grid(
    given: Given,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the runs and the table.")],
    table_name: Annotated[str, typer.Option("--table", help="glue or commonsense.")] = "glue",
    recipe: Annotated[str, typer.Option(help="What cells train by: adamw, or authors.")] = "adamw",
    seeds: Annotated[int, typer.Option(help="Runs of a cell, with the seeds 1 to N.")] = 3,
    only: Annotated[
        str, typer.Option(metavar="NAMES", help="Cells by name, as 'glue-rte-*', with commas.")
    ] = "",
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what is finished and what is left.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a published table: every cell and seed in a folder of its own, and table.csv, table.md.

    --task, --method and --clients choose cells; other options change what all of them run. A cell's learning
    rate is chosen once, on a seed of its own. The same command goes on where an earlier one stopped. Exit
    status 0: all runs are finished; 1: some failed; 2: bad usage; 129, 130, 143: stopped by a signal.
    """
    patterns = [name for name in only.split(",") if name]
    plan = planned(table_name, recipe, seeds, patterns, *given)
    making = _Making(out.resolve(), plan, messages(quiet or as_json))
    if dry_run:
        making.require_same()
        making.show_left()
        return
    threads = plan.cells[0].config.threads or 1
    with stopped_says(making.kept), pool_of(jobs, threads, scheduler) as pool:
        rows = making.run(Working(threads), pool)
    if as_json:
        failed = [{"run": name, "error": error} for name, error in making.failed]
        typer.echo(json_text({**plan.about, "cells": rows, "failed": failed}), nl=False)
    elif not quiet:
        _show(rows)
        making.talk.print(f"Runs and table: {out}", soft_wrap=True)
    for name, error in making.failed:
        fail(f"{name}: {error}")
    if making.failed:
        raise typer.Exit(1)


class _Making:
    """A grid under way."""

    def __init__(self, out: Path, plan: Plan, talk: Console) -> None:
        self.out, self.plan, self.talk = out, plan, talk
        self.store, self.rates = Store(out), Store(out / RATES)
        self.failed: list[tuple[str, str]] = []

    def place(self, cell: Cell, seed: int) -> Path:
        """A run's folder."""
        return self.out / cell.name / f"seed-{seed}"

    def left(self) -> list[tuple[Cell, int]]:
        """Runs that are not finished; neither model nor data are looked at."""
        from llm_validation.paper.records import finished

        every = ((cell, seed) for cell in self.plan.cells for seed in self.plan.seeds)
        return [
            (cell, seed)
            for cell, seed in every
            if finished(self.place(cell, seed), cell.seeded(seed)) is None
        ]

    def require_same(self) -> None:
        """Raise ValueError if the folder holds something else."""
        from rolora.grid.table import NAME

        held = self.store.held(ABOUT)
        if isinstance(held, dict):
            if what := difference(held, self.plan.about):
                raise ValueError(f"{self.out} holds another grid: {what}; choose another folder")
            return
        for name in (f"{NAME}.csv", f"{NAME}.md", RATES, *(cell.name for cell in self.plan.cells)):
            if (self.out / name).exists():
                raise ValueError(
                    f"{self.out} holds {name} of an unknown grid; choose another folder"
                )

    def run(self, work: Working, pool: Pool) -> list[dict[str, Any]]:
        """Choose the rates that are needed, make the runs that are left, write the table; its rows."""
        from verification import files

        with self.store.opened():
            self.require_same()
            self.store.keep(ABOUT, self.plan.about)
            for pattern in LEFTOVERS:
                for path in (*self.out.glob(pattern), *self.out.glob(f"*/{pattern}")):
                    files.remove(path)
            left = self.left()
            total = len(self.plan.cells) * len(self.plan.seeds)
            self.talk.print(f"{total} runs, {total - len(left)} of them finished.")
            cells = {cell.name: cell for cell, _ in left}
            self._through(work, self._choices(cells.values()), pool, "rates", self._chosen)
            rates = {name: self._rate(cell) for name, cell in cells.items()}
            runs = [
                self._run(cell, seed, rate) for cell, seed in left if (rate := rates[cell.name])
            ]
            self._through(work, runs, pool, "runs", self._made)
            if not self.failed:
                files.remove(self.out / HALF)
            return self._written()

    def _choices(self, cells: Iterable[Cell]) -> list[Item]:
        need = [cell for cell in cells if self._rate(cell) is None]
        half = self.out / HALF
        return [
            Choice(cell.name, cell.seeded(TUNING_SEED), half / cell.name / RATES) for cell in need
        ]

    def _rate(self, cell: Cell) -> dict[str, Any] | None:
        """The cell's learning rate, with what its runs tell of it; None if it is still to be chosen."""
        grid = cell.config.learning_rate_grid
        if len(grid) < 2:
            return {"learning_rate": (*grid, cell.config.learning_rate)[0], "told": {}}
        held = self.rates.held(cell.name)
        if not isinstance(held, dict) or held.get("learning_rate") not in grid:
            return None
        told = {"learning_rate_trials": held["trials"], "learning_rate_seed": TUNING_SEED}
        return {"learning_rate": held["learning_rate"], "told": told}

    def _run(self, cell: Cell, seed: int, rate: dict[str, Any]) -> Run:
        half, name = self.out / HALF / cell.name / f"seed-{seed}", f"{cell.name}, seed {seed}"
        return Run(name, cell.seeded(seed), half, self.place(cell, seed), cell.name, rate)

    def _through(
        self,
        work: Working,
        items: Sequence[Item],
        pool: Pool,
        label: str,
        told: Callable[[Item, Any], None],
    ) -> None:
        if not items:
            return
        with bar(label, len(items), quiet=self.talk.quiet) as tell:
            for done in dispatch(work, items, pool):
                if done.error:
                    self.failed.append((done.item.name, done.error))
                else:
                    told(done.item, done.value)
                tell(advance=1)

    def _chosen(self, item: Item, found: Any) -> None:
        self.rates.keep(item.name, found)
        self.talk.print(f"{item.name}: learning rate {found['learning_rate']:g}", soft_wrap=True)

    def _made(self, item: Item, warning: Any) -> None:
        self.talk.print(f"{item.name}: {warning or 'finished'}", soft_wrap=True)

    def kept(self) -> str:
        """What is there if it ends now."""
        total = len(self.plan.cells) * len(self.plan.seeds)
        return (
            f"{total - len(self.left())} of {total} runs are kept in {self.out}, and the same command goes on"
            " from there"
        )

    def _written(self) -> list[dict[str, Any]]:
        from llm_validation.paper.records import record_of
        from rolora.grid.table import row, write_table

        left = {(cell.name, seed) for cell, seed in self.left()}
        rows = []
        for cell in self.plan.cells:
            own = [seed for seed in self.plan.seeds if (cell.name, seed) not in left]
            found = [record_of(self.place(cell, seed), cell.name) for seed in own]
            rows.append(row(cell, [(one[0].accuracy, one[1]) for one in found if one]))
        write_table(self.out, rows)
        return rows

    def show_left(self) -> None:
        """Tell what is to be done."""
        left = self.left()
        shown = table("cell", "seeds left", "learning rates to try", no_wrap=True)
        for cell in self.plan.cells:
            seeds = [str(seed) for own, seed in left if own is cell]
            rates = len(cell.config.learning_rate_grid) if seeds and not self._rate(cell) else 0
            shown.add_row(cell.name, " ".join(seeds) or "none", str(rates))
        output().print(shown)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    from rolora.grid.table import HEADINGS, notes, shown

    listed = table(*HEADINGS.values(), no_wrap=True)
    for one in rows:
        listed.add_row(*shown(one))
    output().print(listed)
    output().print(notes(rows), soft_wrap=True)

"""`rolora figures`: draw the paper's figures, each with the table it is drawn from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolora.commands.options import DataDir, Jobs, Out, Profile, ResultsDir, Seed, budget_of
from rolora.console import messages, output

if TYPE_CHECKING:
    from rolora.plotting.figure import Figure
    from verification.budget import Budget
    from verification.discovery import Found


def figures(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Figures to draw (module:name from outside); all of them if none is named.",
        ),
    ] = None,
    out: Out = Path("results/figures"),
    reuse_data: Annotated[
        bool, typer.Option("--reuse-data", help="Redraw from the CSV files in the folder.")
    ] = False,
    profile: Profile = "quick",
    seed: Seed = 0,
    jobs: Jobs = 1,
    data_dir: DataDir = None,
    results_dir: ResultsDir = None,
    show: Annotated[bool, typer.Option("--list", help="List the figures and stop.")] = False,
    quiet: Annotated[bool, typer.Option(help="No progress.")] = False,
) -> None:
    """Draw figures at page width: NAME.pdf, NAME.png, the table NAME.csv and NAME.caption.md."""
    from rolora.plotting import registry

    selected = registry.select(names or [])
    if show:
        for entry in selected:
            output().print(f"{entry.name:22} {entry.value.title}", soft_wrap=True)
        return
    from rolora.storage.output_folder import OutputFolder

    budget = budget_of(profile, seed, data_dir, results_dir)
    tables = _stored(out, [entry.name for entry in selected]) if reuse_data else {}
    with OutputFolder(out) as destination:
        for name, content in _draw(selected, budget, tables, jobs, quiet=quiet):
            destination.write(name, content)
        destination.publish()
    if not quiet:
        messages().print(f"Figures: {out}", soft_wrap=True)


def _stored(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The CSV texts in the folder."""
    tables = {}
    for name in names:
        path = folder / f"{name}.csv"
        try:
            tables[name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"--reuse-data needs a readable {path}; run once without --reuse-data"
            ) from error
    return tables


def _draw(
    figures: Sequence[Found[Figure]],
    budget: Budget,
    tables: dict[str, str],
    jobs: int,
    *,
    quiet: bool,
) -> list[tuple[str, bytes]]:
    """The files of all figures in their order, whichever was ready first."""
    from joblib import Parallel, delayed

    from rolora.verify.runner import workers_replaced

    console = messages(quiet)
    found: dict[str, dict[str, bytes]] = {}
    work = (delayed(draw_one)(one.place, budget, tables.get(one.name)) for one in figures)
    start = time.perf_counter()
    with workers_replaced():
        for name, content, seconds in Parallel(n_jobs=jobs, return_as="generator_unordered")(work):
            found[name] = content
            console.print(f"[{len(found)}/{len(figures)}] {name} ({seconds:.1f} s)", markup=False)
    console.print(f"{len(figures)} figures in {time.perf_counter() - start:.0f} s", markup=False)
    return [item for one in figures for item in found[one.name].items()]


def draw_one(
    name: str, budget: Budget, table: str | None = None
) -> tuple[str, dict[str, bytes], float]:
    """Compute (unless its CSV text is given) and draw one figure; runs in a worker."""
    from threadpoolctl import threadpool_limits

    from rolora.plotting import files, registry
    from verification.codec import csv_text

    start = time.perf_counter()
    figure = registry.load(name)
    # One thread in every mode, so that sums are taken in one order.
    with threadpool_limits(limits=1):
        text = csv_text(figure.data(budget).columns) if table is None else table
        content = files.files(figure, text)
    return figure.name, content, time.perf_counter() - start

"""`rolora figures`: draw the paper's figures, each with the table it is drawn from."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolora.console import messages, output
from verification.names import one_of

if TYPE_CHECKING:
    from verification.budget import Budget

DEFAULT_OUT = Path("results/figures")
PROFILES = ("quick", "full")


def figures(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Figures to draw; all of them if none is named."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the files.")] = DEFAULT_OUT,
    reuse_data: Annotated[
        bool, typer.Option("--reuse-data", help="Redraw from the CSV files in the folder.")
    ] = False,
    profile: Annotated[
        str, typer.Option(help="quick: minutes; full: the sizes for a publication.")
    ] = "quick",
    seed: Annotated[int, typer.Option(help="Root of all randomness.", min=0)] = 0,
    jobs: Annotated[
        int, typer.Option(help="Worker processes; any number gives the same files.", min=1)
    ] = 1,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder with the real data sets.", envvar="ROLORA_DATA_DIR"
        ),
    ] = None,
    results_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder with finished language-model runs, for the GLUE figure."
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List the figures and stop.")] = False,
    quiet: Annotated[bool, typer.Option(help="No progress.")] = False,
) -> None:
    """Draw figures at page width: NAME.pdf, NAME.png, the table NAME.csv and NAME.caption.md."""
    from rolora.plotting import registry

    selected = registry.select(names or [])
    if show:
        for name in selected:
            output().print(f"{name:22} {registry.load(name).title}", soft_wrap=True)
        return
    one_of("--profile", profile, PROFILES)
    for option, folder in (("--data-dir", data_dir), ("--results-dir", results_dir)):
        if folder is not None and not folder.is_dir():
            raise ValueError(f"{option} must be an existing folder, got {folder}")
    from rolora.storage.output_folder import OutputFolder
    from verification.budget import Budget, Profile

    tables = _stored(out, selected) if reuse_data else {}
    budget = Budget(Profile(profile), seed, data_dir, results_dir)
    with OutputFolder(out) as destination:
        for name, content in _draw(selected, budget, tables, jobs, quiet=quiet):
            destination.write(name, content)
        destination.publish()
    if not quiet:
        messages().print(f"Figures: {out}", soft_wrap=True)


def _stored(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    """The CSV texts in the folder.

    Raises:
        ValueError: if one is missing or cannot be read.
    """
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
    names: tuple[str, ...], budget: Budget, tables: dict[str, str], jobs: int, *, quiet: bool
) -> list[tuple[str, bytes]]:
    """The files of all figures in the order of the names, whichever was ready first."""
    from joblib import Parallel, delayed

    console = messages(quiet)
    found: dict[str, dict[str, bytes]] = {}
    work = (delayed(draw_one)(name, budget, tables.get(name)) for name in names)
    start = time.perf_counter()
    with warnings.catch_warnings():
        # loky replaces a worker that has grown between two figures; none is lost or drawn twice.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        for name, content, seconds in Parallel(n_jobs=jobs, return_as="generator_unordered")(work):
            found[name] = content
            console.print(f"[{len(found)}/{len(names)}] {name} ({seconds:.1f} s)", markup=False)
    console.print(f"{len(names)} figures in {time.perf_counter() - start:.0f} s", markup=False)
    return [item for name in names for item in found[name].items()]


def draw_one(
    name: str, budget: Budget, table: str | None = None
) -> tuple[str, dict[str, bytes], float]:
    """Compute (unless the table is given) and draw one figure; runs in a worker.

    Returns:
        The name, the files by name, the seconds it took.
    """
    from threadpoolctl import threadpool_limits

    from rolora.plotting import files, registry

    start = time.perf_counter()
    figure = registry.load(name)
    # One thread in every mode, so that sums are taken in one order.
    with threadpool_limits(limits=1):
        text = files.data(figure, budget) if table is None else table
        content = files.files(figure, text)
    return name, content, time.perf_counter() - start

"""`rolora verify`: decide every claim and write the report."""

from __future__ import annotations

import shlex
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolora.console import VERDICT_STYLES, messages, output
from verification.names import one_of

if TYPE_CHECKING:
    from rolora.report.content import Report
    from rolora.storage.output_folder import OutputFolder
    from rolora.verify.runner import Outcome
    from rolora.verify.unfinished import Unfinished
    from verification.budget import Budget
    from verification.claim import Claim
    from verification.discovery import Found

DEFAULT_OUT = Path("results/verify")
PROFILES = ("quick", "full")


def verify(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Check these claims only.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help="quick: a minute or two; full: the sizes for a publication.")
    ] = "quick",
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Check this claim only; may be given several times."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Check at this value of a parameter."),
    ] = None,
    modules: Annotated[
        list[str] | None,
        typer.Option("--claims", metavar="MODULE", help="Check the claims of this module."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the report.")] = DEFAULT_OUT,
    jobs: Annotated[
        int, typer.Option(help="Worker processes; any number gives the same results.", min=1)
    ] = 1,
    seed: Annotated[int, typer.Option(help="Root of all randomness.", min=0)] = 0,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder with the real data sets.", envvar="ROLORA_DATA_DIR"
        ),
    ] = None,
    results_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder with finished language-model runs."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Keep the claims an interrupted run had finished in DIR."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON report, and nothing else.")
    ] = False,
    quiet: Annotated[bool, typer.Option(help="No progress; only the table.")] = False,
) -> None:
    """Check every claim and its negative control; write report.html, report.md and report.json.

    Exit status 0: every verdict is the expected one and every negative control was refuted;
    1: some were not; 2: bad usage; 130: interrupted.
    """
    one_of("--profile", profile, PROFILES)
    for name, folder in (("--data-dir", data_dir), ("--results-dir", results_dir)):
        if folder is not None and not folder.is_dir():
            raise ValueError(f"{name} must be an existing folder, got {folder}")
    from rolora.storage.output_folder import OutputFolder
    from rolora.verify import parameters, registry
    from rolora.verify.unfinished import Unfinished
    from verification.budget import Budget, Profile

    only = [*(ids or []), *(only or [])]
    selected = registry.select(only, modules or [])
    given = parameters.read(values or [], [entry.value for entry in selected])
    budget = Budget(Profile(profile), seed, data_dir, results_dir)
    with OutputFolder(out) as destination:
        start = time.perf_counter()
        unfinished = Unfinished(out, budget, given)
        if not resume:
            unfinished.clear()
        outcomes = _run(selected, budget, jobs, unfinished, given, quiet=quiet or as_json)
        if refused := [o.refusal for o in outcomes if given and o.refusal]:
            unfinished.clear()
            raise ValueError(refused[0])
        report = _report(
            outcomes, budget, [*only, *_options(values, modules)], time.perf_counter() - start
        )
        text = _write(report, destination)
        unfinished.clear()
    if as_json:
        typer.echo(text, nl=False)
    else:
        _show(report, out, quiet)
    if not report.ok:
        raise typer.Exit(1)


def _options(values: list[str] | None, modules: list[str] | None) -> list[str]:
    words = [f"--set={value}" for value in values or []]
    return words + [f"--claims={module}" for module in modules or []]


def _run(
    selected: tuple[Found[Claim], ...],
    budget: Budget,
    jobs: int,
    unfinished: Unfinished,
    parameters: dict[str, Any],
    *,
    quiet: bool,
) -> tuple[Outcome, ...]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from rolora.verify import runner

    console = messages(quiet)
    done = unfinished.read(selected)
    if done:
        console.print(f"Going on: {len(done)} of {len(selected)} claims were finished before.")
    left = [entry for entry in selected if entry.name not in done]
    with ExitStack() as stack:
        progress = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        task = progress.add_task("checking claims", total=len(selected), completed=len(done))
        stack.enter_context(progress)

        def on_done(outcome: Outcome) -> None:
            done[outcome.claim.id] = unfinished.keep(outcome)
            progress.update(task, advance=1, description=f"checked {outcome.claim.id}")

        try:
            runner.run(left, budget, parameters=parameters, jobs=jobs, on_done=on_done)
        except KeyboardInterrupt:
            progress.stop()
            finished = f" ({', '.join(done)})" if done else ""
            messages().print(
                f"Interrupted after {len(done)} of {len(selected)} claims{finished}; "
                "no report was written, and --resume goes on from here.",
                soft_wrap=True,
            )
            raise typer.Exit(130) from None
    return tuple(done[entry.name] for entry in selected)


def _report(
    outcomes: tuple[Outcome, ...], budget: Budget, asked: list[str], seconds: float
) -> Report:
    from rolora.report.content import Report
    from rolora.storage.environment import environment
    from rolora.verify import registry

    words = ["rolora", "verify", *asked]
    words += ["--profile", str(budget.profile), "--seed", str(budget.seed)]
    # Folder names only: a report must not tell where on a machine it was made.
    if budget.data_dir is not None:
        words += ["--data-dir", budget.data_dir.name or "."]
    if budget.results_dir is not None:
        words += ["--results-dir", budget.results_dir.name or "."]
    return Report(
        outcomes=outcomes,
        total_claims=len(registry.entries()),
        profile=str(budget.profile),
        seed=budget.seed,
        command=shlex.join(words),
        seconds=seconds,
        environment=environment(),
    )


def _write(report: Report, folder: OutputFolder) -> str:
    """Write every file of the report; return the JSON text."""
    from rolora.report import files

    return files.write(report, folder)


def _show(report: Report, out: Path, quiet: bool) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from rolora.report.content import summary_row

    console = output()
    wide = console.width >= 120
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("claim", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    if wide:
        table.add_column("quantity", ratio=1)
    for name in ("theory", "measured", "margin", "expected"):
        table.add_column(name, no_wrap=True)
    for outcome in report.outcomes:
        row = summary_row(outcome)
        if not row.as_expected:
            expected = Text("NO", style="bold red")
        elif not outcome.control_failed:
            expected = Text("control", style="bold red")
        elif outcome.not_checked:
            expected = Text("allowed", style="dim")
        else:
            expected = Text("yes", style="green")
        cells = [Text(row.id), Text(row.verdict, style=VERDICT_STYLES[row.verdict])]
        if wide:
            cells.append(Text(outcome.error or row.quantity))
        measured = f"{row.measured} {row.interval}".rstrip() if wide else row.measured
        table.add_row(*cells, row.theory, measured, row.margin, expected)
    console.print(table)
    for outcome in report.outcomes:
        if outcome.error:
            console.print(Text(f"{outcome.claim.id}: {outcome.error}", style="red"), soft_wrap=True)
        elif outcome.not_checked and outcome.finding is not None:
            console.print(
                Text(f"{outcome.claim.id}: not checked: {outcome.finding.missing}", style="dim"),
                soft_wrap=True,
            )
    console.print(Text(report.headline, style="bold"), soft_wrap=True)
    console.print(Text(" ".join(report.details)), soft_wrap=True)
    if not quiet:
        messages().print(f"Report: {out / 'report.html'}", soft_wrap=True)

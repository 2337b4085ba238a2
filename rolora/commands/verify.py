"""`rolora verify`: decide every claim and write the report."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolora.commands.options import DataDir, Jobs, Json, Out, Profile, ResultsDir, Seed, budget_of
from rolora.console import VERDICTS, bar, messages, output, table

if TYPE_CHECKING:
    from rich.table import Table

    from rolora.report.content import Report
    from rolora.verify.runner import Outcome
    from rolora.verify.unfinished import Unfinished
    from verification.budget import Budget
    from verification.claim import Claim
    from verification.discovery import Found


def verify(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Check these claims only.")
    ] = None,
    profile: Profile = "quick",
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
    out: Out = Path("results/verify"),
    jobs: Jobs = 1,
    seed: Seed = 0,
    data_dir: DataDir = None,
    results_dir: ResultsDir = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Keep the claims an interrupted run had finished in DIR."),
    ] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option(help="No progress; only the table.")] = False,
    allow_open: Annotated[
        bool, typer.Option("--allow-open", help="Exit with 0, not 3, if claims are only open.")
    ] = False,
) -> None:
    """Check every claim and its controls; write report.html, report.md and report.json.

    Exit status 0: every verdict was reached and is the expected one, every control came out as it must;
    1: some verdict or control differs; 2: bad usage; 3: nothing differs, but claims are open;
    130: interrupted.
    """
    budget = budget_of(profile, seed, data_dir, results_dir)
    from rolora.report import files
    from rolora.storage.output_folder import OutputFolder
    from rolora.verify import parameters, registry
    from rolora.verify.unfinished import Unfinished

    only = [*(ids or []), *(only or [])]
    selected = registry.select(only, modules or [])
    given = parameters.read(values or [], [entry.value for entry in selected])
    with OutputFolder(out) as destination:
        start = time.perf_counter()
        unfinished = Unfinished(out, budget, given)
        if not resume:
            unfinished.clear()
        outcomes = _run(selected, budget, jobs, unfinished, given, quiet=quiet or as_json)
        if refused := [o.refusal for o in outcomes if given and o.refusal]:
            unfinished.clear()
            raise ValueError(refused[0])
        asked = [*only, *(f"--set={value}" for value in values or [])]
        asked += [f"--claims={module}" for module in modules or []]
        report = _report(outcomes, budget, asked, time.perf_counter() - start)
        text = files.write(report, destination)
        unfinished.clear()
    if as_json:
        typer.echo(text, nl=False)
    else:
        _show(report, out, quiet)
    status = report.exit_status
    if status and not (status == 3 and allow_open):
        raise typer.Exit(status)


def _run(
    selected: tuple[Found[Claim], ...],
    budget: Budget,
    jobs: int,
    unfinished: Unfinished,
    parameters: dict[str, Any],
    *,
    quiet: bool,
) -> tuple[Outcome, ...]:
    from rolora.verify import runner

    console = messages(quiet)
    done = unfinished.read(selected)
    if done:
        console.print(f"Going on: {len(done)} of {len(selected)} claims were finished before.")
    left = [entry for entry in selected if entry.name not in done]
    try:
        with bar("checking claims", len(selected), len(done), quiet=quiet) as tell:

            def on_done(outcome: Outcome) -> None:
                done[outcome.claim.id] = unfinished.keep(outcome)
                tell(advance=1, description=f"checked {outcome.claim.id}")

            runner.run(left, budget, parameters=parameters, jobs=jobs, on_done=on_done)
    except KeyboardInterrupt:
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


def _show(report: Report, out: Path, quiet: bool) -> None:
    from rich.text import Text

    console = output()
    console.print(_summary(report, wide=console.width >= 120))
    for outcome in report.outcomes:
        words, style = outcome.error, "red"
        if outcome.open and outcome.finding is not None:
            words, style = f"open: {outcome.finding.missing}", "dim"
        if words:
            console.print(Text(f"{outcome.claim.id}: {words}", style=style), soft_wrap=True)
    console.print(Text(report.headline, style="bold"), soft_wrap=True)
    console.print(Text(" ".join(report.details)), soft_wrap=True)
    if not quiet:
        messages().print(f"Report: {out / 'report.html'}", soft_wrap=True)


def _summary(report: Report, *, wide: bool) -> Table:
    from rich.text import Text

    from rolora.report.content import summary_row

    shown = table()
    shown.add_column("claim", overflow="fold")
    shown.add_column("verdict", no_wrap=True)
    if wide:
        shown.add_column("quantity", ratio=1)
    for name in ("theory", "measured", "margin", "expected"):
        shown.add_column(name, no_wrap=True)
    for outcome in report.outcomes:
        row = summary_row(outcome)
        verdict, measured = row["verdict"], row["measured"]
        cells = [Text(row["id"]), Text(verdict, style=VERDICTS[verdict].style)]
        if wide:
            cells.append(Text(outcome.error or row["quantity"]))
            measured = f"{measured} {row['interval']}".rstrip()
        shown.add_row(*cells, row["theory"], measured, row["margin"], Text(*_expected(outcome)))
    return shown


def _expected(outcome: Outcome) -> tuple[str, str]:
    """Whether a claim came out as it should, in a word, and the word's style."""
    if not (outcome.as_expected or outcome.open):
        return "NO", "bold red"
    if outcome.differs:
        return "control", "bold red"
    return ("open", "bold") if outcome.open else ("yes", "green")

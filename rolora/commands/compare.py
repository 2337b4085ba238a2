"""`rolora compare`: finished runs side by side, and beside the published tables."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolora.commands.options import Json, Out
from rolora.console import messages, output, table
from verification.names import one_of

if TYPE_CHECKING:
    from llm_validation.paper.published import PublishedNumber
    from rolora.storage.run_folder import StoredRun

MOST_QUANTITIES = 5
TITLES = {
    "glue": "Published: RoBERTa-Large, GLUE accuracy (%), rank 4",
    "glue-rank8": "Published: RoBERTa-Large, GLUE accuracy (%), rank 8, average",
    "mnli-dirichlet": "Published: MNLI accuracy (%), Dirichlet splits",
    "mnli-local-steps": "Published: MNLI accuracy (%), local steps",
    "commonsense": "Published: Llama-2-7B, commonsense accuracy (%), rank 8",
}


def compare(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR]...", help="Run folders to compare.")
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="Put the published numbers beside the runs.")
    ] = False,
    y: Annotated[
        str | None, typer.Option("--y", metavar="COLUMN", help="Column to draw; the runs' first.")
    ] = None,
    out: Out = Path("results/compare"),
    as_json: Json = False,
) -> None:
    """Show the final numbers of runs side by side and draw their curves into one figure."""
    from llm_validation.paper.published import cells
    from rolora.storage.output_folder import OutputFolder
    from rolora.storage.run_folder import read
    from verification.codec import columns_of, csv_text, json_text

    if not folders and not paper:
        raise ValueError("give at least one run folder, or --paper for the published tables alone")
    runs = [read(folder) for folder in folders or []]
    names = _names(runs)
    differ = _difference(runs)
    final = [_final(run, name, paper) for run, name in zip(runs, names, strict=True)]
    if runs:
        column = _column(runs, y)
        curves = _curves(runs, names, column)
        with OutputFolder(out) as folder:
            folder.write("compare.svg", _figure(runs, curves, column))
            folder.write("curves.csv", csv_text(curves))
            folder.write("final.csv", csv_text(columns_of(final, math.nan)))
            folder.publish()
    if as_json:
        published = [asdict(cell) for cell in cells()] if paper else []
        found = {"runs": final, "differ": differ, "published": published}
        typer.echo(json_text(found), nl=False)
        return
    if runs:
        _show(final, runs)
        if differ:
            note = (
                f"These runs differ in more than method, learning rate, seed and machine: {differ}."
            )
            messages().print(note, style="yellow", soft_wrap=True)
        messages().print(f"Figure and tables: {out}", soft_wrap=True)
    if paper:
        _show_published()


def _names(runs: list[StoredRun]) -> list[str]:
    """The runs' names; runs of one name are told apart by their folders."""
    plain = [run.name for run in runs]
    names = [
        name if plain.count(name) == 1 else f"{name} ({run.path.name})"
        for run, name in zip(runs, plain, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name} #{names[: i + 1].count(name)}"
        for i, name in enumerate(names)
    ]


def _difference(runs: list[StoredRun]) -> str:
    """Why language-model runs of one task are no comparison of methods; "" if they are one, or none.

    Raises:
        ValueError: if one of them cannot be trusted.
    """
    from llm_validation.paper import records

    found = []
    for run in runs:
        try:
            found.append(records.record_of(run.path, str(run.path)))
        except records.UnsoundError as error:
            raise ValueError(f"the run in {run.path} {error}") from error
    return records.difference([one[0] for one in found if one])


def _final(run: StoredRun, name: str, paper: bool) -> dict[str, Any]:
    """Last row of a run: every stated quantity with its band."""
    row: dict[str, Any] = {"run": name, "kind": run.manifest["kind"]}
    row[run.x] = run.columns[run.x][-1]
    for quantity in run.manifest["y"]:
        for key in ("column", "low", "high"):
            if quantity.get(key):
                row[quantity[key]] = run.columns[quantity[key]][-1]
    if paper:
        cell = _published_for(run)
        row["published"] = cell.value if cell else math.nan
        row["published_cell"] = cell.named if cell else ""
        row["published_confirmed"] = cell.confirmed if cell else False
    return row


def _published_for(run: StoredRun) -> PublishedNumber | None:
    """The number of the cell that a run is of, where one task's is published."""
    from llm_validation.paper.own_cell import own_cell
    from llm_validation.paper.published import AVERAGE

    if run.manifest["kind"] != "llm":
        return None
    preset = own_cell(run.manifest["configuration"], run.manifest.get("cell"))
    cell = preset.cell if preset else None
    return cell if cell and cell.task != AVERAGE else None


def _column(runs: list[StoredRun], asked: str | None) -> str:
    """The column to draw: the one asked for, or the first that all runs state."""
    common = [
        quantity["column"]
        for quantity in runs[0].manifest["y"]
        if all(quantity["column"] in [q["column"] for q in run.manifest["y"]] for run in runs)
    ]
    if not common:
        raise ValueError("the runs must have a quantity in common to be compared, they have none")
    return common[0] if asked is None else one_of("--y", asked, common)


def _quantity(run: StoredRun, column: str) -> dict[str, Any]:
    return next(q for q in run.manifest["y"] if q["column"] == column)


def _curves(runs: list[StoredRun], names: list[str], column: str) -> dict[str, list[Any]]:
    """Tidy table of all runs' curves: run, x, the column and its band."""
    tidy: dict[str, list[Any]] = {"run": [], "x": [], column: [], "low": [], "high": []}
    for run, name in zip(runs, names, strict=True):
        quantity = _quantity(run, column)
        size = len(run.columns[run.x])
        nothing = [math.nan] * size
        tidy["run"] += [name] * size
        tidy["x"] += run.columns[run.x]
        tidy[column] += run.columns[column]
        tidy["low"] += run.columns[quantity["low"]] if quantity.get("low") else nothing
        tidy["high"] += run.columns[quantity["high"]] if quantity.get("high") else nothing
    return tidy


def _figure(runs: list[StoredRun], curves: dict[str, list[Any]], column: str) -> str:
    from rolora.plotting import claim_plot
    from verification.finding import Plot, Series, Table

    quantities = [_quantity(run, column) for run in runs]
    plot = Plot(
        x="x",
        series=(Series(column, quantities[0]["label"], low="low", high="high"),),
        xlabel=str(runs[0].manifest["x"]["label"]),
        ylabel=str(quantities[0]["label"]),
        caption="",
        group="run",
        ylog=all(q.get("log", False) for q in quantities),
    )
    return claim_plot.standalone(claim_plot.svg("compare", Table(curves), plot))


def _show(final: list[dict[str, Any]], runs: list[StoredRun]) -> None:
    from rich.text import Text

    from rolora.report.numbers import number

    labels = {q["column"]: q for run in runs for q in run.manifest["y"]}
    shown = list(labels)[:MOST_QUANTITIES]
    listed = table("run", overflow="fold")
    listed.add_column(" / ".join(dict.fromkeys(run.x for run in runs)), justify="right")
    for column in shown:
        listed.add_column(str(labels[column]["label"]))
    published = "published" in final[0]
    if published:
        listed.add_column("published (%)")
    for row, run in zip(final, runs, strict=True):
        cells: list[Text | str] = [Text(row["run"]), number(row[run.x])]
        for column in shown:
            value = row.get(column, math.nan)
            cells.append("–" if math.isnan(value) else number(value, 3))
        if published:
            if math.isnan(row["published"]):
                cells.append("–")
            else:
                doubt = "" if row["published_confirmed"] else ", unconfirmed"
                cells.append(f"{row['published']:.2f} ({row['published_cell']}{doubt})")
        listed.add_row(*cells)
    output().print(listed)


def _show_published() -> None:
    from llm_validation.paper.published import tables

    console = output()
    for name, cells in tables().items():
        rows: dict[tuple[Any, ...], dict[str, PublishedNumber]] = {}
        for cell in cells:
            rows.setdefault((cell.clients, cell.setting, cell.method), {})[cell.task] = cell
        tasks = list(dict.fromkeys(cell.task for cell in cells))
        counts = {str(cell.clients) for cell in cells}
        title = TITLES[name] + (f", {counts.copy().pop()} clients" if len(counts) == 1 else "")
        console.print(title, style="bold", soft_wrap=True)
        several, varied = len(counts) > 1, any(cell.setting for cell in cells)
        before = ["clients"] * several + ["setting"] * varied
        shown = table(*before, "method", *tasks, no_wrap=True)
        for (clients, setting, method), found in rows.items():
            of = [str(clients)] * several + [setting] * varied
            shown.add_row(*of, method, *(_cell_text(found.get(task)) for task in tasks))
        console.print(shown)
        notes = [f"{c.method}, {c.clients} clients: {c.note}" for c in cells if c.note]
        notes += [
            f"{c.method}, {c.clients} clients, {c.task}: standard deviation {c.std:g}"
            for c in cells
            if c.std is not None
        ]
        for note in dict.fromkeys(notes):
            console.print(f"  {note}", soft_wrap=True)
        console.print()
    console.print("A question mark stands beside numbers that only a second-hand source gives.")


def _cell_text(cell: PublishedNumber | None) -> str:
    if cell is None:
        return "–"
    return f"{cell.value:.2f}{'' if cell.confirmed else '?'}"

"""The paper's GLUE table as a picture, with this toolkit's own runs beside it."""

from pathlib import Path
from typing import Any

import numpy as np

from llm_validation.paper import published, records
from llm_validation.paper.own_cell import own_cell
from rolora.figures import Budget, Drawing, Table, figure, look, mean, number, select

COLUMNS = (
    "source", "model", "task", "clients", "method", "accuracy", "spread", "n", "confirmed",
)  # fmt: skip
TASKS = ("SST-2", "QNLI", "MNLI", "QQP", "RTE", "avg")
CLIENTS = (3, 20, 50)
METHODS = ("fedavg", "ffa", "flexlora", "rolora")
NAMED = {"sst2": "SST-2", "qnli": "QNLI", "mnli": "MNLI", "qqp": "QQP", "rte": "RTE"}
OURS, PAPER = "ours", "published"
MODEL, RANK = "RoBERTa-Large", 4


def data(budget: Budget) -> Table:
    """Published cells of the rank-4 table, and the mean of our runs over seeds.

    Our runs are those below the budget's results folder, of which there must be some, of one model; without a
    folder, those of the committed study.
    """
    rows = [
        (PAPER, MODEL, c.task, c.clients, published.METHODS[c.method],
         float(c.value), float("nan" if c.std is None else c.std), 0, int(c.confirmed))
        for c in published.cells()
        if c.table == "glue"
    ]  # fmt: skip
    columns = zip(*rows, *_ours(budget.results_dir), strict=True)
    return Table(dict(zip(COLUMNS, map(list, columns), strict=True)))


def _ours(folder: Path | None) -> list[tuple[Any, ...]]:
    """Rows of our runs, if there are any."""
    found, _ = records.from_study() if folder is None else records.from_folders(folder)
    runs = [
        r for r in found if r.task in NAMED and r.method in METHODS and r.settings["rank"] == RANK
    ]
    # Of the published cells the table's own, for others have as many clients too; or runs of none.
    tables = [_table_of(run) for run in runs]
    shown = "glue" if "glue" in tables else ""
    runs = [run for run, name in zip(runs, tables, strict=True) if name == shown]
    models = sorted({str(run.settings["model"]) for run in runs})
    if folder is not None and len(models) != 1:
        raise ValueError(
            f"--results-dir must hold finished GLUE runs of one model at rank {RANK}, {folder} has "
            f"{', '.join(models) or 'none'}"
        )
    cells: dict[tuple[str, int, str], list[float]] = {}
    for run in runs:
        like = [
            r
            for r in runs
            if (r.task, r.settings["clients"]) == (run.task, run.settings["clients"])
        ]
        if said := records.difference(like):
            raise ValueError(
                f"--results-dir must hold runs that differ in nothing but method, seed and machine: {said}"
            )
        cells.setdefault((run.task, run.settings["clients"], run.method), []).append(run.accuracy)
    rows = []
    for (task, clients, method), values in cells.items():
        middle, reach = float(np.mean(values)), float("nan")
        if len(values) > 1:
            reach = mean(np.array(values))["high"] - middle
        cell = (OURS, Path(models[0]).name, NAMED[task], clients, method)
        rows.append((*cell, middle, reach, len(values), 1))
    return rows


def _table_of(run: records.Record) -> str:
    """The published table that a run's cell stands in, "" for none."""
    preset = own_cell(run.settings)
    return preset.cell.table if preset and preset.cell else ""


def _draw_ours(axes: Any, table: Table, task: str, method: str) -> None:
    try:
        rows = select(table, source=OURS, task=task, method=method)
    except ValueError:
        return
    style = look.of_method(method)
    shift = 1.25 ** (METHODS.index(method) - 1.5)
    reach = np.nan_to_num(rows["spread"])
    form: dict[str, Any] = {"color": "0.35", "markerfacecolor": style.colour, "markersize": 5}
    place = rows["clients"] * shift
    axes.errorbar(place, rows["accuracy"], reach, fmt=style.marker, **form, elinewidth=0.8)


def _our_model(table: Table) -> str:
    """The model of our runs, "" if there are none."""
    if OURS not in table.columns["source"]:
        return ""
    return str(select(table, source=OURS)["model"][0])


def _legend(drawing: Any, model: str) -> None:
    from matplotlib.lines import Line2D

    styles = [look.of_method(method) for method in METHODS]
    handles = [Line2D([], [], **style.line(), marker=style.marker) for style in styles]
    other: dict[str, Any] = {"linestyle": "none", "marker": "o"}
    handles.append(Line2D([], [], color="0.4", mfc="white", label="unconfirmed", **other))
    if model:
        label = f"grey rim: ours, {model}"
        handles.append(Line2D([], [], color="0.35", ms=5, mfc="0.85", label=label, **other))
    drawing.legend(handles=handles, loc="outside lower center", ncols=3)


def caption(table: Table) -> str:

    def of(task: str, clients: int, method: str) -> float:
        cell = select(table, source=PAPER, task=task, clients=clients, method=method)
        return float(cell["accuracy"][0])

    lost = {m: of("avg", 3, m) - of("avg", 50, m) for m in ("fedavg", "ffa", "rolora")}
    text = (
        "Published accuracies of RoBERTa-Large at LoRA rank 4 against the number of clients (the "
        "paper's numbers; LoRA there is FedAvg-LoRA here). From 3 to 50 clients the average falls "
        f"by {number(lost['rolora'], 3)} points for RoLoRA, {number(lost['ffa'], 3)} for FFA-LoRA "
        f"and {number(lost['fedavg'], 3)} for FedAvg-LoRA. FlexLoRA is published at 50 clients "
        "only. Open markers are cells that only a second-hand source gives; one of FFA-LoRA's at "
        "3 clients must be wrong, since that row does not average to its published average. "
    )
    if OURS not in set(table.columns["source"]):
        return text + "No run of ours is at hand: none is drawn."
    ours = select(table, source=OURS)
    seeds = " to ".join(str(n) for n in sorted({int(ours["n"].min()), int(ours["n"].max())}))
    return text + (
        f"Markers with a grey rim are this toolkit's own runs of {_our_model(table)} at rank {RANK} "
        f"(mean and 95 % interval over n = {seeds} seeds), set a little apart where they would "
        "cover each other. Model, recipe and length differ from the paper's: what compares is the "
        "order of the methods and how it changes with the clients, not the height."
    )


@figure(
    "glue", "The published GLUE table with our runs beside it",
    data=data, caption=caption, order=130, height=4.2,
)  # fmt: skip
def draw(table: Table, drawing: Drawing) -> None:
    """One panel per task, accuracy against clients."""
    panels = drawing.subplots(2, 3, sharex=True, sharey=True).ravel()
    present = set(table.columns["source"])
    for axes, task in zip(panels, TASKS, strict=True):
        for method in METHODS:
            style = look.of_method(method)
            try:
                rows = select(table, source=PAPER, task=task, method=method)
            except ValueError:
                continue
            order = np.argsort(rows["clients"])
            line = {**style.line(), "label": None}
            axes.plot(rows["clients"][order], rows["accuracy"][order], **line)
            for confirmed, fill in ((1, style.colour), (0, "white")):
                chosen = rows["confirmed"] == confirmed
                form = {**style.points(), "markerfacecolor": fill, "label": None}
                axes.plot(rows["clients"][chosen], rows["accuracy"][chosen], **form)
            if OURS in present:
                _draw_ours(axes, table, task, method)
        axes.set_title("average" if task == "avg" else task)
        axes.set_xscale("log")
        axes.set_xticks(CLIENTS, [str(n) for n in CLIENTS])
        axes.minorticks_off()
        axes.set_xlim(2.0, 72)
    for axes in panels[3:]:
        axes.set_xlabel("clients")
    for axes in panels[::3]:
        axes.set_ylabel("accuracy (%)")
    _legend(drawing, _our_model(table))

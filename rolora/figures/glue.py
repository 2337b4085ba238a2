"""The paper's GLUE table as a picture, with this toolkit's own runs beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llm_validation import published, records
from rolora.figures import look
from rolora.figures.figure import Figure
from rolora.figures.tidy import select
from rolora.numbers import number
from theory.evidence import mean_estimate
from theory.finding import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from theory.budget import Budget

TASKS = ("SST-2", "QNLI", "MNLI", "QQP", "RTE", "avg")
CLIENTS = (3, 20, 50)
METHODS = ("fedavg", "ffa", "flexlora", "rolora")
OURS = "MiniLM, ours"
PAPER = "RoBERTa-Large, published"
LEVEL = 0.05


def data(budget: Budget) -> Table:
    """Published cells of the rank-4 table, and the mean of our committed runs over seeds."""
    rows = [
        _row(PAPER, c.task, c.clients, published.METHODS[c.method], c.value, c.std, 0, c.confirmed)
        for c in published.cells()
        if c.table == "glue"
    ]
    return Table.from_rows([*rows, *_ours()])


def _row(
    source: str,
    task: str,
    clients: int,
    method: str,
    accuracy: float,
    spread: float | None,
    n: int,
    confirmed: bool,
) -> dict[str, Any]:
    return {
        "source": source,
        "task": task,
        "clients": clients,
        "method": method,
        "accuracy": float(accuracy),
        "spread": float("nan") if spread is None else float(spread),
        "n": n,
        "confirmed": int(confirmed),
    }


def _ours() -> list[dict[str, Any]]:
    """Rows of the committed confirmation runs, if there are any."""
    cells: dict[tuple[str, int, str], list[float]] = {}
    for run in records.from_study():
        cells.setdefault((run.task, run.clients, run.method), []).append(run.accuracy)
    names = {"sst2": "SST-2", "rte": "RTE"}
    rows = []
    for (task, clients, method), values in cells.items():
        found = mean_estimate(np.array(values), LEVEL)
        reach = found.interval[1] - found.mean
        rows.append(_row(OURS, names[task], clients, method, found.mean, reach, found.n, True))
    return rows


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
            axes.plot(
                rows["clients"][order],
                rows["accuracy"][order],
                **{**style.line(), "label": None},
            )
            for confirmed, fill in ((1, style.colour), (0, "white")):
                chosen = rows["confirmed"] == confirmed
                axes.plot(
                    rows["clients"][chosen],
                    rows["accuracy"][chosen],
                    **{**style.points(), "markerfacecolor": fill, "label": None},
                )
            if OURS in present:
                _draw_ours(axes, table, task, method)
        axes.set_title("average" if task == "avg" else task)
        axes.set_xscale("log")
        axes.set_xticks(CLIENTS, [str(n) for n in CLIENTS])
        axes.minorticks_off()
        axes.set_xlim(2.4, 64)
    for axes in panels[3:]:
        axes.set_xlabel("clients")
    for axes in panels[::3]:
        axes.set_ylabel("accuracy (%)")
    _legend(drawing, OURS in present)


def _draw_ours(axes: Any, table: Table, task: str, method: str) -> None:
    try:
        rows = select(table, source=OURS, task=task, method=method)
    except ValueError:
        return
    style = look.of_method(method)
    shift = {"fedavg": 0.94, "ffa": 1.0, "rolora": 1.06}.get(method, 1.0)
    axes.errorbar(
        rows["clients"] * shift,
        rows["accuracy"],
        yerr=rows["spread"],
        fmt=style.marker,
        color="0.35",
        markerfacecolor=style.colour,
        markersize=5,
        elinewidth=0.8,
    )


def _legend(drawing: Any, with_ours: bool) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for method in METHODS:
        style = look.of_method(method)
        handles.append(
            Line2D(
                [],
                [],
                color=style.colour,
                linestyle=style.dash,
                marker=style.marker,
                label=style.label,
            )
        )
    handles.append(
        Line2D(
            [],
            [],
            color="0.4",
            linestyle="none",
            marker="o",
            markerfacecolor="white",
            label="unconfirmed",
        )
    )
    if with_ours:
        handles.append(
            Line2D(
                [],
                [],
                color="0.35",
                linestyle="none",
                marker="o",
                markersize=5,
                label="grey rim: ours, MiniLM",
            )
        )
    drawing.legend(handles=handles, loc="outside lower center", ncols=3)


def caption(table: Table) -> str:
    """What is seen, with the numbers of the table."""

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
    return text + (
        "Markers with a grey rim are this toolkit's own runs of a far smaller encoder (MiniLM, "
        f"mean and 95 % interval over n = {int(ours['n'].min())} seeds), which is why they lie "
        "lower; what compares is the order of the methods, not the height."
    )


FIGURE = Figure(
    "glue", "The published GLUE table with our runs beside it", data, draw, caption, height=4.2
)

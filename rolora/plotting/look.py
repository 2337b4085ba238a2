"""What all figures of the paper share in looks: a method keeps its colour, dash and marker throughout."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from rolora.plotting import style

LABELS = {"rolora": "RoLoRA", "fedavg": "FedAvg-LoRA", "ffa": "FFA-LoRA", "flexlora": "FlexLoRA"}
THEORY = "#000000"
"""Exact theory and bounds are drawn in black."""


@dataclass(frozen=True, slots=True)
class Look:
    """How one method is drawn: distinct by colour, by dash and by marker."""

    label: str
    colour: str
    dash: Any
    marker: str

    def line(self) -> dict[str, Any]:
        """Keywords of `Axes.plot` for a line without markers."""
        return {"color": self.colour, "linestyle": self.dash, "label": self.label}

    def marked(self) -> dict[str, Any]:
        """Keywords of `Axes.plot` for open markers, on a line where a linestyle is given."""
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": "white"}

    def points(self) -> dict[str, Any]:
        """Keywords of `Axes.plot` for open markers without a line."""
        form = {"linestyle": "none", "markeredgewidth": 1.0, "label": self.label}
        return {**self.marked(), **form}


def of_method(name: str) -> Look:
    """The look of a federated LoRA method."""
    at = list(LABELS).index(name)
    return Look(LABELS[name], style.COLOURS[at], style.DASHES[at], style.MARKERS[at])


def page(name: str) -> AbstractContextManager[None]:
    """Matplotlib settings of a figure on paper: the report's style, black on white."""
    legend = {"legend.fontsize": 7.5, "legend.handlelength": 2.6}
    more: Any = {**legend, "axes.titlelocation": "left", "pdf.fonttype": 42}
    return style.style(name, "black", "white", **more)


def below(drawing: Any, axes: Sequence[Any], columns: int) -> None:
    """One legend for the whole figure under its panels, from the labelled artists of some of them."""
    handles = [handle for each in axes for handle in each.get_legend_handles_labels()[0]]
    drawing.legend(handles=handles, loc="outside lower center", ncols=columns)


def band(axes: Any, rows: Mapping[str, Any], x: str, style: Look, y: str = "") -> None:
    """A shaded interval around a line: the columns `low` and `high`, or those of a quantity y."""
    low, high = (rows[f"{y}_{end}" if y else end] for end in ("low", "high"))
    axes.fill_between(rows[x], low, high, color=style.colour, alpha=0.2, linewidth=0, zorder=1.5)


def bars(axes: Any, x: Any, y: Any, style: Look, **more: Any) -> Any:
    """Open markers with error bars; `xerr` or `yerr`, and what else `Axes.errorbar` takes."""
    form = {"color": style.colour, "markerfacecolor": "white"}
    return axes.errorbar(x, y, fmt=style.marker, **form, **more)


def measured(axes: Any, rows: Mapping[str, Any], x: str, style: Look, **more: Any) -> Any:
    """The column `measured` with bars from `low` to `high`."""
    y = rows["measured"]
    return bars(axes, rows[x], y, style, yerr=[y - rows["low"], rows["high"] - y], **more)

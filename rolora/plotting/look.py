"""What all figures of the paper share in looks: a method keeps its colour, dash and marker throughout."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rolora.plotting import style

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
    colours, dashes, markers = style.COLOURS, style.DASHES, style.MARKERS
    looks = {
        "rolora": Look("RoLoRA", colours[0], dashes[0], markers[0]),
        "fedavg": Look("FedAvg-LoRA", colours[1], dashes[1], markers[1]),
        "ffa": Look("FFA-LoRA", colours[2], dashes[2], markers[2]),
        "flexlora": Look("FlexLoRA", colours[3], dashes[3], markers[3]),
    }
    return looks[name]


@contextmanager
def page(name: str) -> Iterator[None]:
    """Matplotlib settings of a figure on paper: the report's style, black on white."""
    import matplotlib as mpl

    on_paper: Any = {
        "figure.facecolor": "white",
        "axes.facecolor": "white",
        "savefig.facecolor": "white",
        "axes.edgecolor": "black",
        "axes.labelcolor": "black",
        "text.color": "black",
        "xtick.color": "black",
        "ytick.color": "black",
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "legend.fontsize": 7.5,
        "legend.handlelength": 2.6,
        "pdf.fonttype": 42,
        "savefig.bbox": None,
    }
    with style.style(name), mpl.rc_context(on_paper):
        yield


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

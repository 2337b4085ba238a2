"""What all figures of the paper share in looks: a method keeps its colour, dash and marker throughout."""

from __future__ import annotations

from collections.abc import Iterator
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

    def points(self) -> dict[str, Any]:
        """Keywords of `Axes.plot` for open markers without a line."""
        return {
            "color": self.colour,
            "linestyle": "none",
            "marker": self.marker,
            "markerfacecolor": "white",
            "markeredgewidth": 1.0,
            "label": self.label,
        }


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
    """Matplotlib settings of a figure on paper: the report's style, black on white.

    Args:
        name: of the figure; salts the identifiers inside an SVG.
    """
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


def below(drawing: Any, axes: Any, columns: int) -> None:
    """One legend for the whole figure under its panels, from the first panel's labelled artists."""
    handles, labels = axes.get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=columns)


def band(axes: Any, x: Any, low: Any, high: Any, colour: str) -> None:
    """A shaded interval around a line."""
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0, zorder=1.5)

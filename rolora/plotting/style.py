"""How every figure looks: type, sizes and colours, without touching matplotlib's global state."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WIDTH = 5.5
"""Inches: the text width of a NeurIPS page."""

INK = "#010203"
"""Stands for "the colour of text" until a figure is finished: black on paper, the page's on a page."""
PAPER = "#fefefd"
"""Stands for the background in the same way."""
GRID = "#8a8d91"

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, distinct for colour-blind readers and visible on white and on near-black."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.6, 1.2, 1.6)))
"""Lines differ by dash and points by marker too, so that a grey print can be read."""
SEQUENCE = "viridis"
"""Colour map for many ordered groups and for heat maps; monotone in lightness."""


@contextmanager
def style(name: str, ink: str = INK, paper: str = PAPER, **more: Any) -> Iterator[None]:
    """Matplotlib settings for one figure, whose name salts the identifiers inside its SVG.

    What is not set here is as matplotlib sets it, not as the user's own settings do.
    """
    import matplotlib.style

    inked = "axes.edgecolor axes.labelcolor text.color xtick.color ytick.color"
    settings: Any = {
        **dict.fromkeys(inked.split(), ink),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor"), paper),
        "font.family": ["STIXGeneral", "DejaVu Serif"],  # the second for signs the first lacks
        "mathtext.fontset": "stix",
        "font.size": 9,
        "axes.titlesize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "legend.columnspacing": 1.4,
        "figure.figsize": (WIDTH, 3.3),
        "figure.constrained_layout.use": True,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.formatter.useoffset": False,
        "grid.color": GRID,
        "grid.alpha": 0.28,
        "grid.linewidth": 0.5,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.minor.width": 0.4,
        "ytick.minor.width": 0.4,
        "lines.markersize": 4.2,
        "svg.hashsalt": name,
        **more,
    }
    with matplotlib.style.context(["default", settings]):
        yield

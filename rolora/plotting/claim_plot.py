"""Draws a finding's table as its plot says, as an SVG that is the same bytes every time."""

import io
import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from operator import sub
from typing import Any

from rolora.plotting.style import COLOURS, DASHES, INK, MARKERS, PAPER, SEQUENCE, style
from rolora.report.numbers import number
from verification.finding import Mark, Plot, Series, Table

MANY = len(COLOURS)
"""More groups than this are coloured along a sequence instead of by distinct hues."""

DENSE = 60
"""More points than this are drawn as dots, or every few of them if they lie along a curve."""

LEGEND_ROW = 0.16
"""Inches a further row of the legend adds to a figure, so that the axes keep their size."""

_GREEK = {
    "alpha": "α", "beta": "β", "delta": "δ", "epsilon": "ε", "eta": "η",
    "kappa": "κ", "rho": "ρ", "sigma": "σ", "theta": "θ", "zeta": "ζ",
}  # fmt: skip


def svg(name: str, table: Table, plot: Plot) -> str:
    """The picture as SVG text in the placeholder colours INK and PAPER.

    Raises ValueError if the plot names a column the table does not have, or there is nothing to draw.
    """
    _check(table, plot)
    with style(name):
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure()
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        if plot.heat is not None:
            _heat(figure, axes, table, plot)
        else:
            _curves(figure, axes, table, plot)
        axes.set_xlabel(plot.xlabel)
        axes.set_ylabel(plot.ylabel)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def standalone(drawing: str) -> str:
    """Black on white, for a file of its own."""
    return drawing.replace(INK, "#000000").replace(PAPER, "#ffffff")


def inline(drawing: str, name: str, label: str) -> str:
    """For the body of an HTML page: transparent, in the page's text colour, identifiers prefixed.

    The prefix must be unique on the page.
    """
    text = drawing[drawing.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(xmlns(:\w+)?)="[^"]*"', "", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text).replace("xlink:href", "href")
    text = text.replace("url(#", f"url(#{name}-")
    text = text.replace(INK, "currentColor").replace(PAPER, "none")
    head = f'<svg role="img" aria-label="{escape(label)}" '
    return text.replace("<svg ", head, 1).strip()


def _check(table: Table, plot: Plot) -> None:
    if not plot.series:
        raise ValueError("a plot must have at least one series")
    named = [plot.x, plot.group, plot.heat]
    for series in plot.series:
        named += [series.y, series.low, series.high]
    missing = [name for name in named if name is not None and name not in table.columns]
    if missing:
        raise ValueError(
            f"the plot's columns must be in its table ({', '.join(table.columns)}), "
            f"got {', '.join(missing)}"
        )
    if not table.columns[plot.x]:
        raise ValueError("the plot's table must have at least one row")


def _curves(figure: Any, axes: Any, table: Table, plot: Plot) -> None:
    _scales(axes, plot)
    groups = _groups(table, plot.group)
    colours = _group_colours(len(groups)) if plot.group else []
    for g, (_, rows) in enumerate(groups):
        for s, series in enumerate(plot.series):
            colour = colours[g] if plot.group else COLOURS[s % len(COLOURS)]
            full = series.mark is Mark.LINE
            dash = _group_dash(plot, g, len(groups)) if full else _dash(plot.series, s)
            marker = MARKERS[(g if plot.group else s) % len(MARKERS)]
            _draw(axes, table, plot, series, rows, colour, dash, marker)
    _legend(figure, plot, groups, colours)


def _group_dash(plot: Plot, group: int, count: int) -> Any:
    """Groups of a single full line differ by dash, as long as they are few."""
    lines = [series.mark for series in plot.series if series.mark is not Mark.POINTS]
    return DASHES[group % len(DASHES)] if lines == [Mark.LINE] and 1 < count <= MANY else "-"


def _dash(series: Sequence[Series], index: int) -> Any:
    """Solid for the first full line; the others differ from it and from each other."""
    if series[index].mark is Mark.DASHED:
        earlier = sum(s.mark is Mark.DASHED for s in series[:index])
        return DASHES[1 + earlier % (len(DASHES) - 1)]
    return "-"


def _draw(
    axes: Any,
    table: Table,
    plot: Plot,
    series: Series,
    rows: list[int],
    colour: Any,
    dash: Any,
    marker: str,
) -> None:
    names = (plot.x, series.y, series.low, series.high)
    cells = [
        [_value(table.columns[name][row]) if name else math.nan for name in names] for row in rows
    ]
    points = [c for c in cells if _drawable(c[0], plot.xlog) and _drawable(c[1], plot.ylog)]
    if not points:
        return
    if series.mark is not Mark.POINTS and not isinstance(points[0][0], str):
        points.sort(key=lambda p: p[0])
    xs, ys, lows, highs = (list(column) for column in zip(*points, strict=True))
    banded = series.low is not None and series.high is not None
    if series.mark is not Mark.POINTS:
        if banded:
            axes.fill_between(xs, lows, highs, color=colour, alpha=0.18, linewidth=0, zorder=1.5)
        # A line through one point has no length: a bar stands for it.
        axes.plot(
            xs,
            ys,
            linestyle=dash,
            color=colour,
            zorder=2,
            marker="_" * (len(xs) == 1),
            markersize=11,
        )
        return
    if banded:
        reach = [_reach(map(sub, ys, lows)), _reach(map(sub, highs, ys))]
        form = {"fmt": "none", "ecolor": colour, "elinewidth": 0.9, "capsize": 2.0, "zorder": 3}
        axes.errorbar(xs, ys, yerr=reach, **form)
    trajectory = len(set(xs)) == len(xs)  # one value per x: every few markers show it all
    form = {"marker": marker, "markersize": 4.2, "markerfacecolor": "none", "markeredgewidth": 1.1}
    if len(xs) > DENSE and not trajectory:
        form = {"marker": ".", "markersize": 2.2, "markerfacecolor": colour, "markeredgewidth": 0.0}
    every = -(-len(xs) // DENSE) if trajectory else 1
    axes.plot(xs, ys, linestyle="none", color=colour, markevery=every, zorder=3, **form)


def _reach(lengths: Iterable[float]) -> list[float]:
    return [max(0.0, length) if math.isfinite(length) else 0.0 for length in lengths]


def _heat(figure: Any, axes: Any, table: Table, plot: Plot) -> None:
    import matplotlib as mpl

    assert plot.heat is not None
    first = plot.series[0]
    xs = [_value(v) for v in table.columns[plot.x]]
    ys = [_value(v) for v in table.columns[first.y]]
    values = [_value(v) for v in table.columns[plot.heat]]
    columns, lines = sorted(set(xs)), sorted(set(ys))
    _scales(axes, plot)
    if len(columns) * len(lines) == len(set(zip(xs, ys, strict=True))) > 1:
        cell = {(x, y): v for x, y, v in zip(xs, ys, values, strict=True)}
        grid = [[cell[x, y] for x in columns] for y in lines]
        sides = edges(columns, plot.xlog), edges(lines, plot.ylog)
        drawn = axes.pcolormesh(*sides, grid, cmap=SEQUENCE, edgecolors="face", linewidth=0.3)
        axes.grid(False)
    else:
        drawn = axes.scatter(xs, ys, c=values, cmap=SEQUENCE, marker="s", s=16, linewidths=0)
    bar = figure.colorbar(drawn, ax=axes, label=first.label or pretty(plot.heat), pad=0.02)
    bar.outline.set_visible(False)
    rows = list(range(len(xs)))
    for s, series in enumerate(plot.series[1:]):
        dash = _dash(plot.series, s + 1)
        marker = MARKERS[s % len(MARKERS)]
        with mpl.rc_context({"lines.linewidth": 3.0}):  # a dark rim: white alone is lost on yellow
            _draw(axes, table, plot, series, rows, "#000000", "-", marker)
        _draw(axes, table, plot, series, rows, "#ffffff", dash, marker)
    if len(plot.series) > 1:
        axes.set_xlim(*edges(columns, plot.xlog)[:: len(columns)])
        axes.set_ylim(*edges(lines, plot.ylog)[:: len(lines)])
        drawn_names = "; ".join(f"white: {series.label}" for series in plot.series[1:])
        axes.set_title(drawn_names, loc="left")


def edges(centres: Sequence[float], log: bool) -> list[float]:
    """Cell edges around sorted centres, half-way on the axis' own scale."""
    at = [math.log(c) for c in centres] if log else centres
    inner = [(a + b) / 2 for a, b in pairwise(at)]
    half = math.log(10) / 2 if log else 0.5  # around a centre that stands alone
    first, last = (inner[0], inner[-1]) if inner else (at[0] + half, at[0] - half)
    found = [2 * at[0] - first, *inner, 2 * at[-1] - last]
    return [math.exp(e) for e in found] if log else found


def _scales(axes: Any, plot: Plot) -> None:
    if plot.xlog:
        axes.set_xscale("log")
    if plot.ylog:
        axes.set_yscale("log")


def _groups(table: Table, column: str | None) -> list[tuple[Any, list[int]]]:
    size = len(table.columns[next(iter(table.columns))])
    if column is None:
        return [(None, list(range(size)))]
    rows: dict[Any, list[int]] = {}
    for row, value in enumerate(table.columns[column]):
        key = value.item() if hasattr(value, "item") else value
        rows.setdefault(key, []).append(row)
    return list(rows.items())


def _group_colours(count: int) -> list[Any]:
    if count <= MANY:
        return list(COLOURS[:count])
    import matplotlib as mpl

    colour_map = mpl.colormaps[SEQUENCE]
    return [colour_map(0.08 + 0.84 * i / (count - 1)) for i in range(count)]


def _legend(
    figure: Any, plot: Plot, groups: list[tuple[Any, list[int]]], colours: list[Any]
) -> None:
    handles: list[Any] = []
    if len(plot.series) > 1 or not plot.group:
        for s, series in enumerate(plot.series):
            colour = INK if plot.group else COLOURS[s % len(COLOURS)]
            if series.mark is Mark.POINTS:
                marker = MARKERS[0 if plot.group else s % len(MARKERS)]
                handles.append(_key(colour, "none", marker, series.label))
            else:
                handles.append(_key(colour, _dash(plot.series, s), "none", series.label))
    if plot.group:
        marks = {series.mark is Mark.POINTS for series in plot.series}
        count = len(groups)
        for g in range(0, count, -(-count // MANY)):  # a few along a sequence say enough
            dash = _group_dash(plot, g, count) if False in marks else "none"
            marker = MARKERS[g % len(MARKERS)] if True in marks else "none"
            label = _group_label(plot.group, groups[g][0])
            handles.append(_key(colours[g], dash, marker, label))
    if len(handles) == 1 and not plot.group:
        return  # the axis label says it
    widest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, min(len(handles), 78 // (widest + 7)))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * (rows - 1))


def _key(colour: Any, dash: Any, marker: str, label: str) -> Any:
    from matplotlib.lines import Line2D

    form: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.1, "label": label}
    return Line2D([], [], color=colour, linestyle=dash, marker=marker, **form)


def _group_label(column: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{pretty(column)} = {number(value, 3)}"


def pretty(column: str) -> str:
    """A column name as a reader sees it: Greek letters for their names, spaces for underscores."""
    return _GREEK.get(column, column.replace("_", " "))


def _value(cell: Any) -> Any:
    return cell if isinstance(cell, str) else math.nan if cell is None else float(cell)


def _drawable(value: Any, log: bool) -> bool:
    return isinstance(value, str) or (math.isfinite(value) and (value > 0.0 or not log))

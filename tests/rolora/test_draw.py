import math
import re
from xml.etree import ElementTree

import pytest

from rolora.plotting import claim_plot
from rolora.plotting.style import INK, PAPER
from rolora.report import formulas
from verification.finding import Mark, Plot, Series, Table

SVG = "{http://www.w3.org/2000/svg}"
LINES = Table({"x": [1, 2, 3, 1, 2, 3], "y": [1.0, 2.0, 4.0, 2.0, 3.0, 9.0],
               "low": [0.5, 1.0, 3.0, 1.0, 2.0, 8.0], "high": [2.0, 3.0, 5.0, 3.0, 4.0, 10.0],
               "kappa": [0.5, 0.5, 0.5, 1.5, 1.5, 1.5]})  # fmt: skip
PLOT = Plot("x", (Series("y", "mean", low="low", high="high"),), "round", "error", "why", "kappa")


def paths(drawing: str, colour: str) -> int:
    """Number of shapes drawn in one colour."""
    return len(re.findall(rf"(?:stroke|fill): {colour}", drawing, re.IGNORECASE))


def test_the_same_picture_is_the_same_bytes_and_no_date_is_in_it():
    first, second = claim_plot.svg("a", LINES, PLOT), claim_plot.svg("a", LINES, PLOT)
    assert first == second
    assert "<dc:date>" not in first
    assert claim_plot.svg("b", LINES, PLOT) != first


def test_every_group_has_its_colour_and_the_band_is_drawn():
    drawing = claim_plot.svg("a", LINES, PLOT)
    ElementTree.fromstring(drawing)
    assert paths(drawing, "#0072b2") >= 2
    assert paths(drawing, "#d55e00") >= 2
    assert "FillBetween" in drawing


@pytest.mark.parametrize("mark", list(Mark))
def test_every_mark_draws_something(mark):
    plot = Plot("x", (Series("y", "seen", mark), Series("low", "bound")), "x", "y", "why")
    without = Plot("x", (Series("low", "bound"), Series("low", "bound")), "x", "y", "why")
    assert paths(claim_plot.svg("a", LINES, plot), "#0072b2") >= 2
    assert claim_plot.svg("a", LINES, plot) != claim_plot.svg("a", LINES, without)


def test_values_a_logarithmic_axis_cannot_show_are_left_out():
    table = Table({"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, -1.0, math.nan, 5.0]})
    plot = Plot("x", (Series("y", "seen", Mark.POINTS),), "x", "y", "why", xlog=True, ylog=True)
    one = Table({"x": [3.0], "y": [5.0]})
    assert claim_plot.svg("a", table, plot) == claim_plot.svg("a", one, plot)


def test_names_on_the_horizontal_axis():
    table = Table({"method": ["rolora", "ffa"], "y": [1.0, 2.0], "n": [None, 3.0]})
    plot = Plot("method", (Series("y", "a", Mark.POINTS), Series("n", "b")), "method", "y", "why")
    ElementTree.fromstring(claim_plot.svg("a", table, plot))


def test_a_heat_map_with_a_curve_over_it():
    rows = [{"x": x, "y": y, "z": x * y, "t": x} for x in (1.0, 2.0, 4.0) for y in (1.0, 3.0)]
    plot = Plot("x", (Series("y", "product"), Series("t", "edge")), "x", "y", "why", heat="z")
    whole = claim_plot.svg("a", Table.from_rows(rows), plot)
    assert "QuadMesh" in whole
    assert "#ffffff" in whole
    ragged = claim_plot.svg("a", Table.from_rows(rows[:-1]), plot)
    assert "PathCollection" in ragged


@pytest.mark.parametrize("log", [False, True])
def test_cell_edges_enclose_their_centres(log):
    centres = [1.0, 2.0, 8.0]
    edges = claim_plot.edges(centres, log)
    assert all(a < c < b for a, c, b in zip(edges, centres, edges[1:], strict=False))
    assert len(edges) == 4
    assert len(claim_plot.edges([3.0], log)) == 2


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="got missing, nowhere"):
        claim_plot.svg(
            "a", LINES, Plot("x", (Series("nowhere", "?"),), "x", "y", "why", group="missing")
        )


def test_an_empty_table_or_plot_is_refused():
    with pytest.raises(ValueError, match="at least one row"):
        claim_plot.svg(
            "a", Table({"x": [], "y": []}), Plot("x", (Series("y", "?"),), "x", "y", "why")
        )
    with pytest.raises(ValueError, match="at least one series"):
        claim_plot.svg("a", LINES, Plot("x", (), "x", "y", "why"))


def test_both_finished_forms_have_no_placeholder_left():
    drawing = claim_plot.svg("a", LINES, PLOT)
    assert INK in drawing
    assert PAPER in drawing
    alone, within = (
        claim_plot.standalone(drawing),
        claim_plot.inline(drawing, "here", 'a "label" & <more>'),
    )
    for text in (alone, within):
        assert INK not in text
        assert PAPER not in text
    assert "currentColor" in within
    assert "http" not in within
    assert all(name.startswith("here-") for name in re.findall(r'\bid="([^"]*)"', within))
    ids = set(re.findall(r'\bid="([^"]*)"', within))
    used = re.findall(r'href="#([^"]*)"', within) + re.findall(r"url\(#([^)]*)\)", within)
    assert used
    assert set(used) <= ids
    assert 'aria-label="a &quot;label&quot; &amp; &lt;more&gt;"' in within


def test_more_legend_rows_make_a_taller_figure():
    def height(groups: int) -> float:
        labels = [f"a long name of group {g}, to fill a row of the legend by itself, more or less"
                  for g in range(groups)]  # fmt: skip
        table = Table({"x": [1.0] * groups, "y": [1.0] * groups, "g": labels})
        plot = Plot("x", (Series("y", "s", Mark.POINTS),), "x", "y", "why", group="g")
        root = ElementTree.fromstring(claim_plot.svg("a", table, plot))
        return float(root.get("height").removesuffix("pt"))

    assert height(5) == pytest.approx(height(1) + 4 * 72 * claim_plot.LEGEND_ROW, abs=0.01)


@pytest.mark.parametrize(
    "latex",
    [
        r"\tan\theta^{+}=\tan\theta\,\frac{|1-\kappa\cos^2\theta|}{1+\kappa\sin^2\theta}",
        r"\frac1N\sum_i\frac{a}{b^{*\top}c} \le \tfrac12, \mathbb E\,x, \sqrt m, \sqrt[3]{x}",
        r"\lVert \hat a\rVert_F \implies \Big(1-\frac rd\Big)\|A^*\|_F^2",
        r"\left\{ a \right\} \iff b, \ x^{\frac{1}{2}}",
    ],
)
def test_formulas_become_mathematics_a_browser_sets(latex):
    root = ElementTree.fromstring(formulas.formula_html(latex))
    assert root.get("aria-label") == latex
    assert {child.tag.rpartition("}")[2] for child in root} == {"math"}
    assert "\\" not in "".join(root.itertext())


def test_a_formula_breaks_at_wide_spaces_outside_braces_only():
    assert formulas._parts(r"a=b,\quad c\qquad {d\quad e}\\ f") == ["a=b,", "c", r"{d\quad e}", "f"]
    assert formulas._parts(r"\left(a\quad b\right)") == [r"\left(a\quad b\right)"]
    assert formulas._parts(r"\quaddle") == [r"\quaddle"]


def test_what_cannot_be_read_is_shown_as_source():
    assert formulas.formula_html(r"\nosuchthing <1>") == (
        r'<code class="latex">\nosuchthing &lt;1&gt;</code>'
    )


def test_formulas_are_reproducible_and_differ():
    assert (
        formulas.formula_html("a+b") == formulas.formula_html("a+b") != formulas.formula_html("a+c")
    )

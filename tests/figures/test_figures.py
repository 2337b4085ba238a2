"""Figures: same bytes again, page width, redrawn from their tables, readable in grey, bad input refused."""

import io
import re
import zlib
from dataclasses import replace
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import rolora
import rolora.figures
from llm_validation.claims.planted import write_run
from llm_validation.config import Config
from rolora import cli
from rolora.commands import figures as command
from rolora.plotting import files, look, registry, style, tidy
from rolora.plotting.figure import Drawing, Figure, table_of
from tests.support import rolora_helpers
from tests.support.pages import block
from tests.support.pages import folder as folder
from verification.budget import Budget
from verification.claim import Claim
from verification.codec import csv_text
from verification.discovery import LAST
from verification.finding import Finding, Table
from verification.verdict import Verdict

FAST = ("step-size-phase", "theorem-tightness")
Drawn = dict[str, dict[str, bytes]]
NAMES = [one.name for one in registry.select(())]


@pytest.fixture(scope="module")
def drawn():
    return {name: command.draw_one(name, Budget())[1] for name in FAST}


def test_every_file_holds_the_figure_it_is_named_after_and_states_its_place():
    folder = Path(rolora.figures.__file__).parent
    files = {path.stem for path in folder.rglob("*.py")} - {"__init__"}
    assert files == {name.replace("-", "_") for name in NAMES}
    orders = [one.value.order for one in registry.select(())]
    assert orders == sorted(set(orders))
    assert orders[-1] < LAST


def test_one_file_adds_a_figure_of_a_claims_table(folder, monkeypatch):
    monkeypatch.delenv("ROLORA_DATA_DIR", raising=False)
    for name, figure, claim in (
        ("steps", "my-steps", "plateau"),
        ("absent", "absent", "no-claim"),
        ("taken", "glue", "plateau"),
    ):
        text = block("add-a-figure.md").replace("long-run-angle", figure)
        Path(f"my_{name}.py").write_text(text.replace('"plateau"', f'"{claim}"'), "utf-8")
    place = "my_steps:long_run_angle"
    done = CliRunner().invoke(cli.app, ["figures", place, "--out", "out", "--quiet"])
    assert done.exit_code == 0, done.output
    assert "for 80 step sizes." in Path("out/my-steps.caption.md").read_text("utf-8")
    drawn = tidy.from_csv(Path("out/my-steps.csv").read_text("utf-8"))
    found = rolora.check("plateau").finding.table
    assert {name: list(column) for name, column in found.columns.items()} == drawn.columns
    assert [one.name for one in registry.select(["glue", place])] == ["glue", "my-steps"]
    with pytest.raises(ValueError, match="unknown claim 'no-claim'"):
        registry.load("my_absent:long_run_angle").data(Budget())
    with monkeypatch.context() as patch:
        patch.setattr(Claim, "check", lambda *_: Finding(Verdict.NOT_RUN, "", missing="run it"))
        with pytest.raises(ValueError, match="left no table to draw: run it"):
            table_of("plateau")(Budget())
    with pytest.raises(ValueError, match="names must be unique, got 'glue' from both"):
        registry.select(["my_taken:long_run_angle"])


@pytest.mark.parametrize("name", FAST)
def test_redrawing_from_the_table_gives_the_same_bytes(name, drawn):
    text = drawn[name][f"{name}.csv"].decode()
    assert command.draw_one(name, Budget(seed=99), text)[1] == drawn[name]


def test_another_seed_gives_another_table(drawn):
    name = "theorem-tightness"
    other = command.draw_one(name, Budget(seed=1))[1]
    assert other[f"{name}.csv"] != drawn[name][f"{name}.csv"]


@pytest.mark.parametrize("name", FAST)
def test_pages_are_vectors_exactly_as_wide_as_a_neurips_text_and_say_nothing_of_their_making(
    name, drawn
):
    from matplotlib.image import imread

    content = drawn[name][f"{name}.pdf"]
    width, height = _pdf_size(content)
    assert width == pytest.approx(5.5 * 72, abs=1e-6)
    assert height == pytest.approx(registry.load(name).height * 72, abs=1e-6)
    for word in (b"/CreationDate", b"/Producer", b"/Subtype /Image"):
        assert word not in content
    picture = imread(io.BytesIO(drawn[name][f"{name}.png"]), format="png")
    assert picture.shape[1] == round(style.WIDTH * files.PNG_DPI)


def test_captions_follow_the_table(drawn):
    name = "theorem-tightness"
    figure = registry.load(name)
    table = tidy.from_csv(drawn[name][f"{name}.csv"].decode())
    changed = Table({**table.columns, "ratio": [12345.0] * len(table.columns["ratio"])})
    assert "12345" in figure.caption(changed).replace(",", "")
    assert "12345" not in figure.caption(table).replace(",", "")


def test_methods_differ_in_grey_for_colour_blind_readers_and_in_form():
    looks = [look.of_method(name) for name in ("rolora", "fedavg", "ffa", "flexlora")]
    for one, other in combinations(looks, 2):
        assert one.dash != other.dash
        assert one.marker != other.marker
        for view in VIEWS:
            gap = np.linalg.norm(_seen(one.colour, view) - _seen(other.colour, view))
            assert gap > 0.12, (one.label, other.label, view)


def test_what_flexlora_loses_to_unlike_clients_is_their_unfinished_local_work(monkeypatch):
    name = "heterogeneity-loss"
    module = import_module("rolora.figures.heterogeneity_loss")
    monkeypatch.setattr(module, "METHODS", ("flexlora",))
    monkeypatch.setattr(module, "SHOWN", [60])
    monkeypatch.setattr(module, "ROUNDS", 60)
    ends = []
    for steps in (20, 320):
        monkeypatch.setattr(module, "LOCAL_STEPS", steps)
        columns = registry.load(name).data(Budget()).columns
        assert max(columns["aggregation_error"]) < 1e-9  # nothing is cut off any more
        ends.append(np.array(columns["excess"]))
    assert (ends[1] < 1e-6 * ends[0]).all()
    assert (ends[0] > 1e-4).all()


def test_settings_of_the_process_are_left_alone(drawn):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    name = "step-size-phase"
    command.draw_one(name, Budget(), drawn[name][f"{name}.csv"].decode())
    assert dict(mpl.rcParams) == before


def test_tables_survive_csv_without_losing_a_digit():
    table = Table(
        {"n": [1, 2, 3], "x": [0.1 + 0.2, 1e-300, float("nan")], "s": ["a", "b,c", 'd"e']}
    )
    back = tidy.from_csv(csv_text(table.columns))
    assert list(back.columns["n"]) == [1, 2, 3]
    assert list(back.columns["x"])[:2] == [0.1 + 0.2, 1e-300]
    assert np.isnan(back.columns["x"][2])
    assert list(back.columns["s"]) == ["a", "b,c", 'd"e']


@pytest.mark.parametrize("text", ["", "a,b\n", "a,b\n1\n"])
def test_a_table_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="CSV must have"):
        tidy.from_csv(text)


def test_a_table_of_another_figure_is_refused():
    with pytest.raises(ValueError, match=r"theorem-tightness\.csv must have the columns"):
        files.files(registry.load("theorem-tightness"), "a,b\n1,2\n")


def test_select_keeps_the_rows_asked_for_and_refuses_none():
    table = Table({"m": ["a", "a", "b"], "x": [1, 2, 3]})
    assert tidy.select(table, m="a")["x"].tolist() == [1, 2]
    assert tidy.distinct(table, "m") == ["a", "b"]
    with pytest.raises(ValueError, match="no row"):
        tidy.select(table, m="c")


def test_the_command_draws_then_redraws_the_same(tmp_path):
    out = tmp_path / "figures"
    arguments = ["figures", "step-size-phase", "--out", str(out)]
    assert CliRunner().invoke(cli.app, arguments).exit_code == 0
    first = {p.name: p.read_bytes() for p in out.iterdir()}
    assert set(first) == {f"step-size-phase.{s}" for s in ("csv", "pdf", "png", "caption.md")}
    assert CliRunner().invoke(cli.app, [*arguments, "--reuse-data"]).exit_code == 0
    assert {p.name: p.read_bytes() for p in out.iterdir()} == first


def test_unknown_figures_and_missing_tables_are_refused_and_nothing_is_written(tmp_path, capsys):
    out = tmp_path / "figures"
    for arguments, sentence in (
        (["figures", "step-size-fase", "--out", str(out)], "did you mean 'step-size-phase'"),
        (["figures", "ffa-floor", "--reuse-data", "--out", str(out)], "run once without"),
        (["figures", "ffa-floor", "--profile", "quik", "--out", str(out)], "quick"),
    ):
        assert sentence in rolora_helpers.refused(capsys, *arguments)
    assert not out.exists()


@pytest.mark.fixed_seed
def test_any_number_of_workers_gives_the_same_files():
    alone, together = (
        command._draw(registry.select(FAST), Budget(), {}, jobs, quiet=True) for jobs in (1, 2)
    )
    assert alone == together


def test_a_figure_whose_drawing_fails_writes_nothing(tmp_path, monkeypatch):
    def fail(table: Table, drawing: object) -> None:
        raise ValueError("no picture today")

    broken = replace(registry.load("step-size-phase"), draw=fail)
    monkeypatch.setattr(registry, "load", lambda name: broken)
    with pytest.raises(SystemExit):
        cli.main(["figures", "step-size-phase", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_reaches_beyond_the_page_or_hides_behind_a_legend(name, recwarn):
    from matplotlib.collections import QuadMesh

    figure = registry.load(name)
    stored = Path(registry.__file__).parents[2] / "docs" / "data" / "figures" / f"{name}.csv"
    table = tidy.from_csv(stored.read_text("utf-8"))
    drawing = _laid_out(figure, table)
    box = drawing.get_tightbbox()
    assert [text for axes in drawing.axes for text in _hidden(axes)] == []
    for axes in drawing.axes:
        for mesh in axes.collections:
            if isinstance(mesh, QuadMesh):  # a heat map must be readable in grey
                assert _one_way(mesh.cmap(np.linspace(0, 1, 64))[:, :3] @ (0.299, 0.587, 0.114))
    assert box.x0 >= -0.01
    assert box.y0 >= -0.01
    assert box.x1 <= style.WIDTH + 0.01
    assert box.y1 <= figure.height + 0.01
    assert not [w for w in recwarn if "Glyph" in str(w.message) or "layout" in str(w.message)]
    assert len(figure.caption(table)) > 200


def test_the_rounds_needed_from_both_starts_can_be_told_apart(drawn):
    figure = registry.load("theorem-tightness")
    table = tidy.from_csv(drawn[figure.name][f"{figure.name}.csv"].decode())
    drawing = _laid_out(figure, table)
    left = drawing.axes[0]
    points = [line for line in left.lines if line.get_linestyle() == "None"]
    assert len(points) == 2
    one, other = (left.transData.transform(line.get_xydata()) for line in points)
    gaps = np.linalg.norm(one[:, None] - other, axis=-1) * 72 / drawing.dpi
    assert gaps.min() > points[0].get_markersize()


def _laid_out(figure: Figure, table: Table) -> Drawing:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with look.page(figure.name):
        drawing = Drawing(figsize=(style.WIDTH, figure.height))
        canvas = FigureCanvasAgg(drawing)
        figure.draw(table, drawing)
        canvas.draw()  # the layout is settled now
    return drawing


def _runs(folder: Path, cells: list[tuple[str, int, str, int, float]], model: str) -> None:
    for task, clients, method, seed, accuracy in cells:
        config = Config(model=model, task=task, method=method, clients=clients, seed=seed)
        write_run(folder / f"{task}-{clients}-{method}-{seed}", config, accuracy)


def test_the_glue_figure_shows_the_runs_of_the_folder_it_is_given(tmp_path):
    figure = registry.load("glue")
    _runs(
        tmp_path / "a",
        [
            ("qnli", 5, "rolora", 1, 0.80),
            ("qnli", 5, "rolora", 2, 0.84),
            ("rte", 20, "ffa", 1, 0.6),
        ],
        "models/small-encoder",
    )
    table = figure.data(Budget(results_dir=tmp_path / "a"))
    ours = tidy.select(table, source="ours")
    assert ours["task"].tolist() == ["QNLI", "RTE"]
    assert ours["accuracy"] == pytest.approx([82.0, 60.0])
    assert ours["n"].tolist() == [2, 1]
    written = files.files(figure, csv_text(table.columns))
    caption = written["glue.caption.md"].decode()
    assert "small-encoder" in caption
    assert "n = 1 to 2 seeds" in caption
    _runs(tmp_path / "a" / "other", [("rte", 3, "ffa", 1, 0.6)], "another")
    with pytest.raises(ValueError, match=r"one model at rank 4.*another, models/small-encoder"):
        figure.data(Budget(results_dir=tmp_path / "a"))
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="has none"):
        figure.data(Budget(results_dir=tmp_path / "none"))


def _hidden(axes: Any) -> list[str]:
    """Labels of the lines that pass behind the legend of their own axes."""
    if axes.get_legend() is None:
        return []
    box = axes.get_legend().get_window_extent()
    found = []
    for line in axes.lines:
        if line.get_transform() != axes.transData:  # a guide across the whole panel
            continue
        x, y = axes.transData.transform(line.get_xydata()).T
        if line.get_linestyle() != "None":
            fine = np.linspace(0, len(x) - 1, 20 * len(x))
            x, y = (np.interp(fine, np.arange(len(x)), values) for values in (x, y))
        if box.count_contains(np.column_stack([x, y])):
            found.append(f"{axes.get_title(loc='left')}: {line.get_label()}")
    return found


def _one_way(values: np.ndarray) -> bool:
    return bool(np.all(np.diff(values) > 0) or np.all(np.diff(values) < 0))


def _pdf_size(content: bytes) -> tuple[float, float]:
    streams = [content]
    for start in re.finditer(rb"stream\r?\n", content):
        try:
            streams.append(zlib.decompressobj().decompress(content[start.end() :]))
        except zlib.error:
            continue
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", b"".join(streams))
    assert box is not None
    return float(box.group(1)), float(box.group(2))


# Dichromats' view of linear RGB (Viénot, Brettel and Mollon 1999).
VIEWS = {
    "normal": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "deuteranope": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
    "protanope": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
}


def _seen(colour: str, view: str) -> np.ndarray:
    rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255.0
    return np.clip(np.array(VIEWS[view]) @ rgb**2.2, 0.0, 1.0) ** (1 / 2.2)

"""Notebooks: source and executed half agree, the form holds, and the stored outputs are a real run's."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest

from notebooks import execute

SOURCES = execute.sources()
IDS = [source.stem for source in SOURCES]


def drift(source: Path) -> list[str]:
    """Where the `.py` and the `.ipynb` differ, cell by cell."""
    target = source.with_suffix(".ipynb")
    if not target.exists():
        return [f"{target.name} is missing"]
    ours = [(c.cell_type, c.source) for c in execute.notebook_of(source).cells]
    stored = [(c.cell_type, c.source) for c in nbformat.read(target, 4).cells]
    if len(ours) != len(stored):
        return [f"{len(ours)} cells in the .py, {len(stored)} in the .ipynb"]
    return [f"cell {k}" for k, (a, b) in enumerate(zip(ours, stored, strict=True)) if a != b]


def test_every_notebook_on_disk_has_both_halves():
    folder = execute.FOLDER
    assert SOURCES
    assert {p.stem for p in folder.glob("*.ipynb")} == {p.stem for p in SOURCES}


@pytest.mark.parametrize("source", SOURCES, ids=IDS)
def test_the_two_halves_are_equal(source):
    assert drift(source) == []


@pytest.mark.parametrize("half", [".py", ".ipynb"])
def test_an_edit_to_one_half_is_noticed(half, tmp_path):
    source = SOURCES[0]
    for suffix in (".py", ".ipynb"):
        shutil.copy(source.with_suffix(suffix), tmp_path)
    copy = tmp_path / source.name
    assert drift(copy) == []
    edited = copy.with_suffix(half)
    text = edited.read_text("utf-8")
    assert text.count("**Question 1.**") == 1
    edited.write_text(text.replace("**Question 1.**", "**Question 1?**"), "utf-8")
    assert drift(copy) == ["cell 2"]


@pytest.mark.parametrize("source", SOURCES, ids=IDS)
def test_the_form_of_a_lesson(source):
    cells = execute.notebook_of(source).cells
    words = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    assert 10 <= len(cells) <= 20
    assert cells[0].cell_type == "markdown"
    assert "After this notebook you can" in cells[0].source
    assert re.findall(r"\*\*Exercise (\d)\.\*\*", words) == ["1", "2"]
    questions = re.findall(r"\*\*Question \d", words)
    assert len(questions) >= 4
    assert len(re.findall(r"[Pp]redict", words)) >= len(questions)
    assert "assert " in cells[-1].source


@pytest.mark.parametrize("source", SOURCES, ids=IDS)
def test_the_stored_half_was_executed_to_the_end_without_error(source):
    cells = nbformat.read(source.with_suffix(".ipynb"), 4).cells
    code = [c for c in cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for c in code for output in c.outputs}
    assert "error" not in kinds
    assert source.with_suffix(".ipynb").stat().st_size < 600_000
    text = source.with_suffix(".ipynb").read_text("utf-8")
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)


def test_a_notebook_runs_again_to_the_same_bytes(tmp_path):
    source = execute.FOLDER / "01_averaging_factors.py"
    for name in (source.name, "teaching.py"):
        shutil.copy(execute.FOLDER / name, tmp_path)
    runs = []
    for _ in range(2):
        target, _, error = execute.run(tmp_path / source.name)
        assert error == ""
        runs.append(target.read_bytes())
        target.unlink()
    assert runs[0] == runs[1]


def test_a_cell_that_fails_fails_the_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "01_wrong.py").write_text("# %%\nassert 1 + 1 == 3\n", "utf-8")
    monkeypatch.setattr(execute, "sources", lambda: sorted(tmp_path.glob("*.py")))
    assert execute.main([]) == 1
    assert "0 of 1 notebooks" in capsys.readouterr().out
    assert not (tmp_path / "01_wrong.ipynb").exists()


def test_an_empty_choice_is_refused(capsys):
    assert execute.main(["99"]) == 2
    assert "no notebook is called 99" in capsys.readouterr().err

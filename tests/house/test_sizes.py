"""Small rooms: folders of few files, functions of few lines and branches, no import in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from pathlib import Path

import pytest

from tests.house.test_import_floors import MAY_IMPORT, ROOT, graph

MOST_FILES, MOST_LINES, SHARED_LINES = 14, 80, 12
UNTOLD = ("#", "import ", "from ")
CODE = [*MAY_IMPORT, "tests", "benchmarks", "docs", "notebooks"]


def sources(top: str) -> list[Path]:
    return sorted((ROOT / top).rglob("*.py"))


@pytest.mark.parametrize("top", CODE)
def test_no_folder_is_crowded(top):
    folders = {path.parent for path in sources(top)}
    counts = {str(f.relative_to(ROOT)): len(list(f.glob("*.py"))) for f in folders}
    assert {name: count for name, count in counts.items() if count > MOST_FILES} == {}


@pytest.mark.parametrize("top", CODE)
def test_no_function_is_long(top):
    long = [
        f"{path.relative_to(ROOT)}:{node.name} {node.end_lineno - node.lineno + 1}"
        for path in sources(top)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno + 1 > MOST_LINES
    ]
    assert long == []


def edges() -> dict[str, set[str]]:
    """Which module of the packages imports which, packages' `__init__` included."""
    own = {name: names for top in MAY_IMPORT for name, names in named_graph(top)}
    return {name: {n for n in names if n in own} - {name} for name, names in own.items()}


def named_graph(top: str):
    for path, names in graph(top):
        parts = path.with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), names


def circle(links: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, if any do."""
    try:
        TopologicalSorter(links).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_itself_round_a_corner():
    assert circle(edges()) == []


def test_a_circle_would_be_seen():
    found = circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert set(found) == {"a", "b", "c"}


LABORATORIES = ("linear_model", "nonlinear_model", "llm_validation")


def shared(one: list[str], other: list[str], size: int = SHARED_LINES) -> list[str]:
    """The first lines of `size` in a row that both have, without imports, comments and bare brackets."""

    def runs(lines: list[str]) -> dict[tuple[str, ...], str]:
        told = [line.strip() for line in lines]
        told = [t for t in told if any(c.isalnum() for c in t) and not t.startswith(UNTOLD)]
        return {tuple(told[i : i + size]): told[i] for i in range(len(told) - size + 1)}

    mine, theirs = runs(one), runs(other)
    return [first for run, first in mine.items() if run in theirs]


def test_no_two_laboratories_say_the_same():
    texts = {
        path: path.read_text("utf-8").splitlines() for top in LABORATORIES for path in sources(top)
    }
    found = [
        f"{one.relative_to(ROOT)} ~ {other.relative_to(ROOT)}: {shared(texts[one], texts[other])[0]}"
        for one, other in combinations(texts, 2)
        if one.relative_to(ROOT).parts[0] != other.relative_to(ROOT).parts[0]
        and shared(texts[one], texts[other])
    ]
    assert found == []


def test_lines_said_twice_would_be_seen():
    lines = [f"x{k} = {k}" for k in range(SHARED_LINES)]
    elsewhere = ["# before", "import os", *lines[:4], "", ")", *[f"    {x}" for x in lines[4:]]]
    assert shared(lines, elsewhere) == ["x0 = 0"]
    assert shared(lines[1:], elsewhere) == []

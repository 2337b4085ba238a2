"""Small rooms: folders of few files, functions of few lines and branches, no import in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.house.test_import_floors import MAY_IMPORT, ROOT, graph

MOST_FILES, MOST_LINES = 14, 80
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

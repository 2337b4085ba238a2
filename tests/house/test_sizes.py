"""Small rooms: folders of few files, functions of few lines and branches, no import in a circle."""

from __future__ import annotations

import ast
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


def circles(links: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components of more than one module (Kosaraju)."""
    order, seen = [], set()

    def visit(start, neighbours, into):
        stack = [(start, iter(neighbours[start]))]
        seen.add(start)
        while stack:
            node, rest = stack[-1]
            step = next((n for n in rest if n not in seen), None)
            if step is None:
                into.append(node)
                stack.pop()
            else:
                seen.add(step)
                stack.append((step, iter(neighbours[step])))

    for node in links:
        if node not in seen:
            visit(node, links, order)
    back = {node: {n for n in links if node in links[n]} for node in links}
    seen, found = set(), []
    for node in reversed(order):
        if node not in seen:
            visit(node, back, component := [])
            found.append(set(component))
    return [component for component in found if len(component) > 1]


def test_no_module_imports_itself_round_a_corner():
    assert circles(edges()) == []


def test_a_circle_would_be_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]

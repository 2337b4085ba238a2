"""The file of a sweep: what all cells share, what is varied, and single cells beside the grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, Literal

from pydantic import Field

from verification.codec import json_text
from verification.names import one_of
from verification.settings import Settings, settings
from verification.sweep.cell import Cell, Laboratory, key

Values = Sequence[Any]


@settings
class Specification(Settings):
    """A sweep: the cells of a grid, and others beside it."""

    laboratory: str = Field(
        min_length=1, description="linear, nonlinear, llm, or module:name of one's own."
    )
    rows: Literal["last", "all"] = Field(
        default="last", description="A row of the table for the last round of a cell, or for all."
    )
    fixed: dict[str, Any] = Field(default_factory=dict, description="Parameters of all cells.")
    grid: dict[str, Any] = Field(
        default_factory=dict,
        description="Lists of values by parameter, or { from, count, step } of whole numbers.",
    )
    cells: tuple[dict[str, Any], ...] = Field(
        default=(), description="Further cells; what they give takes the place of what is fixed."
    )

    def __post_init__(self) -> None:
        if not self.grid and not self.cells:
            raise ValueError("a sweep must have a [grid] or [[cells]], got neither")
        for one in self.cells:
            _named(one)
        both = sorted(_named(self.fixed).keys() & _named(self.grid).keys())
        if both:
            raise ValueError(f"a parameter must be fixed or in the grid, got {both[0]} in both")
        self.axes()

    def axes(self) -> dict[str, Values]:
        """The grid's values by parameter."""
        return {name: _values(name, given) for name, given in _named(self.grid).items()}

    @property
    def count(self) -> int:
        """Number of cells."""
        return (prod(map(len, self.axes().values())) if self.grid else 0) + len(self.cells)

    def given(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Of each cell what tells it from the others, and all that is given."""
        fixed = _named(self.fixed)
        axes = self.axes()
        grid = product(*axes.values()) if axes else ()
        own = (dict(zip(axes, values, strict=True)) for values in grid)
        for one in (*own, *map(_named, self.cells)):
            yield one, fixed | one

    def expanded(self, place: str, of: Laboratory) -> list[Cell]:
        """All cells, each checked.

        Raises:
            ValueError: on an unknown parameter, a value that a cell may not have, or a cell that is there
                twice, naming it.
        """
        known = of.settings.__dataclass_fields__
        names = dict.fromkeys(name for _, all in self.given() for name in all)
        for name in names:
            one_of(f"a parameter of laboratory {self.laboratory}", name, known)
        found: dict[str, Cell] = {}
        for own, all in self.given():
            called = ", ".join(f"{name}={_cell_of_table(value)}" for name, value in own.items())
            try:
                configuration = of.settings.read(all)
                of.check(configuration)
                its = key(place, of, configuration)
            except (ValueError, TypeError) as error:  # TypeError: of a date, say
                raise ValueError(f"cell {called}: {error}") from error
            shown = {name: _cell_of_table(getattr(configuration, name)) for name in names}
            cell = Cell(its, called, all, shown)
            if cell.key in found:
                raise ValueError(f"cell {called} is there twice, also as {found[cell.key].name}")
            found[cell.key] = cell
        return list(found.values())


def difference(held: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """The first thing in which two sweeps differ, "" if none."""
    for name in dict.fromkeys((*held, *own)):
        then, now = held.get(name), own.get(name)
        if isinstance(then, Mapping) and isinstance(now, Mapping):
            inner = difference(then, now)
            if inner:
                return f"{name}.{inner}"
        elif json_text(then, by_name=True) != json_text(now, by_name=True):
            return f"{name} {_told(then)} in place of {_told(now)}"
    return ""


def _told(value: Any) -> str:
    return "nothing" if value is None else json_text(value, indent=None).strip()


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        if _plain(name) in found:
            raise ValueError(f"a parameter must be given once, got {_plain(name)} twice")
        found[_plain(name)] = value
    return found


def _values(name: str, given: Any) -> Values:
    """An axis; a span of whole numbers is not written out."""
    if isinstance(given, Mapping):
        for known in given:
            one_of(f"grid.{name}", known, ("from", "count", "step"))
        first, count, step = (
            given.get(n, usual) for n, usual in (("from", 0), ("count", 0), ("step", 1))
        )
        whole = all(
            isinstance(value, int) and not isinstance(value, bool) for value in (first, count, step)
        )
        if not whole or count < 1 or step == 0:
            raise ValueError(
                f"grid.{name} must have whole numbers from, count of at least 1 and step, got {dict(given)}"
            )
        return range(first, first + count * step, step)
    if not isinstance(given, (list, tuple)) or not given:
        raise ValueError(f"grid.{name} must be a list of at least one value, got {given!r}")
    return given


def _cell_of_table(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value

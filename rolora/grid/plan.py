"""What is asked for: the cells of a table, each with the configurations of its seeds, all checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from llm_validation.config import PLACES, Config
from llm_validation.paper.cost import cells_of
from llm_validation.paper.presets import Preset
from llm_validation.paper.recipes import recipe_named
from llm_validation.training.manifest import manifest
from verification.discovery import require_extra

CHOOSING = ("task", "method", "clients")
"""Options that choose cells of the table; all others change what is run."""
TUNING_SEED = 0
"""Whose held-out data the learning rate of a cell is chosen on; no run has it."""


def layered(values: Mapping[str, Any], *layers: Mapping[str, Any]) -> dict[str, Any]:
    """Values with those of nearer layers in their place.

    One rate asked for takes the place of a grid asked for further away.
    """
    found = dict(values)
    for layer in layers:
        if "learning_rate" in layer:
            found.pop("learning_rate_grid", None)
        found |= layer
    return found


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the table: its preset, and what is run for it but for the seed."""

    preset: Preset
    config: Config

    @property
    def name(self) -> str:
        """The preset's."""
        return self.preset.name

    def seeded(self, seed: int) -> Config:
        """The run of one seed."""
        return self.config.changed(seed=seed)


@dataclass(frozen=True, slots=True)
class Plan:
    """A grid: its cells and seeds, and what no run of its folder may differ in."""

    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    about: Mapping[str, Any]


def planned(
    table: str,
    recipe: str,
    seeds: int,
    only: Sequence[str],
    file: Mapping[str, Any],
    told: Mapping[str, Any],
) -> Plan:
    """The grid that options ask for.

    Args:
        only: names of cells, with `*` for anything; all if none is given.
        file, told: values as in a configuration; those of `CHOOSING` choose among the cells.

    Raises:
        ValueError: if no cell is left, a cell cannot be run so, or `seed` is given.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}")
    given = layered({}, file, told)
    if "seed" in given:
        raise ValueError(f"--seed is of one run; a grid has --seeds 1 to N, got {given['seed']}")
    chosen = {name: given.pop(name) for name in CHOOSING if name in given}
    for name in ("data_dir", "model"):  # as workers find them
        if given.get(name) and Path(given[name]).is_dir():
            given[name] = str(Path(given[name]).resolve())
    every = cells_of(table, recipe_named(recipe))
    found = [p for p in every if all(p.options[name] == v for name, v in chosen.items())]
    for pattern in only:
        if not any(fnmatchcase(p.name, pattern) for p in found):
            raise ValueError(
                f"--only must match a cell of table {table}{_among(chosen)}, got {pattern!r};"
                " `rolora llm presets` lists them"
            )
    if not found:
        raise ValueError(f"table {table} has no cell{_among(chosen)}")
    if only:
        found = [p for p in found if any(fnmatchcase(p.name, pattern) for pattern in only)]
    require_extra("llm")
    cells = tuple(Cell(p, Config.read(layered(p.options, given))) for p in found)
    return Plan(cells, tuple(range(1, seeds + 1)), _about(table, recipe, given, cells[0].config))


def _among(chosen: Mapping[str, Any]) -> str:
    said = " and ".join(f"{name} = {value}" for name, value in chosen.items())
    return f" with {said}" if said else ""


def _about(table: str, recipe: str, given: Mapping[str, Any], one: Config) -> dict[str, Any]:
    """What the runs of a folder have in common, without a machine's paths."""
    values = manifest(one, {})["configuration"]
    kept = {name: values[name] for name in sorted(given) if name not in PLACES - {"data_dir"}}
    return {"table": table, "recipe": recipe, "tuning_seed": TUNING_SEED, "options": kept}

"""What the paper does not tell of a run, as named recipes: optimiser, head, and a grid of learning rates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verification.names import one_of

GRID = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1)
"""The paper's learning rates."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A name, where it comes from, and configuration keys as in a TOML file."""

    name: str
    source: str
    options: Mapping[str, Any]


ADAMW = Recipe(
    "adamw",
    "an independent replication learned QNLI with AdamW at 5e-4; the grid reaches a tenth of that",
    {
        "optimiser": "adamw",
        "weight_decay": 0.0,
        "head": "average",
        "learning_rate": 5e-4,
        "learning_rate_grid": [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2],
    },
)
AUTHORS = Recipe(
    "authors",
    "the authors' released configuration, with the grid that the paper names",
    {
        "optimiser": "sgd",
        "weight_decay": 2e-4,
        "head": "frozen",
        "learning_rate": 5e-3,
        "learning_rate_grid": list(GRID),
    },
)
RECIPES = {recipe.name: recipe for recipe in (ADAMW, AUTHORS)}


def recipe_named(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: if there is none.
    """
    return RECIPES[one_of("recipe", name, RECIPES)]

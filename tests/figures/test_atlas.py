"""The atlas's figures: what a row of the floors is drawn as, and captions that follow their tables."""

import math
from pathlib import Path

import numpy as np
import pytest

from rolora.figures.atlas import floors_per_method
from rolora.plotting import registry, tidy
from verification.finding import Table

STORED = Path(registry.__file__).parents[2] / "docs" / "data" / "figures"


@pytest.mark.parametrize(
    ("excess", "halfway", "reach", "kind"),
    [
        (0.01, 0.0105, 0.0, "floor"),
        (0.01, 0.02, 0.0, "moving"),
        (0.01, 0.02, 1e-3, "floor"),  # of a random hardship, whose halfway mean holds the descent
        (1e-7, 1e-3, 0.0, "nothing"),
        (math.inf, math.inf, 0.0, "diverges"),
    ],
)
def test_a_row_is_drawn_as_what_it_is_and_as_nothing_else(excess, halfway, reach, kind):
    row = {"excess": excess, "halfway": halfway, "low": excess - reach, "high": excess + reach}
    rows = {name: np.array([value]) for name, value in row.items()} | {
        "kind": np.array(["measured"])
    }
    assert [name for name, some in floors_per_method.kinds(rows).items() if some[0]] == [kind]


@pytest.mark.parametrize(
    ("name", "column", "said"),
    [
        ("sharp-recovery-tightness", "T_ours", "4321"),
        ("floors-per-method", "excess", "keeps 4321 or more"),
    ],
)
def test_captions_follow_the_table(name, column, said):
    table = tidy.from_csv((STORED / f"{name}.csv").read_text("utf-8"))
    figure = registry.load(name)
    changed = Table({**table.columns, column: [4321.0] * len(table.columns[column])})
    assert said not in figure.caption(table).replace(",", "")
    assert said in figure.caption(changed).replace(",", "")

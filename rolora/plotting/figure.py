"""What a figure is: its data, its drawing and its caption, three functions that meet in one table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib.figure

from verification.budget import Budget
from verification.discovery import LAST
from verification.finding import Table

Drawing = matplotlib.figure.Figure
Data = Callable[[Budget], Table]
Draw = Callable[[Table, Drawing], None]
Caption = Callable[[Table], str]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        name: kebab-case, the key on the command line and the stem of its files.
        data: computes the tidy table; all randomness from the budget.
        draw: draws the table; everything it needs is in the table.
        caption: what a reader sees, with the numbers taken from the table.
        height: inches; the width is the page's.
    """

    name: str
    title: str
    data: Data
    draw: Draw
    caption: Caption
    height: float = 2.6
    order: int = LAST


def figure(
    name: str, title: str, *, data: Data, caption: Caption, height: float = 2.6, order: int = LAST
) -> Callable[[Draw], Figure]:
    """Make a figure of the function that draws it. Arguments as in `Figure`."""
    return lambda draw: Figure(name, title, data, draw, caption, height, order)


def table_of(claim_id: str, **parameters: Any) -> Data:
    """Data of a figure that draws what a claim found: the table of its check.

    Made, it raises ValueError on an unknown claim, and if the check leaves no table.
    """

    def data(budget: Budget) -> Table:
        from rolora.verify import registry

        (entry,) = registry.select([claim_id])
        finding = entry.value.check(budget, **parameters)
        if finding.table is None:
            why = f": {finding.missing}" if finding.missing else ""
            raise ValueError(f"claim {claim_id} left no table to draw{why}")
        return finding.table

    return data

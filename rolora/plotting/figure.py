"""What a figure is: its data, its drawing and its caption, three functions that meet in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from verification.budget import Budget
    from verification.finding import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        name: kebab-case, the key on the command line and the stem of its files.
        title: a few words, for lists.
        data: computes the tidy table; all randomness from the budget.
        draw: draws the table; everything it needs is in the table.
        caption: what a reader sees, with the numbers taken from the table.
        height: inches; the width is the page's.
    """

    name: str
    title: str
    data: Callable[[Budget], Table]
    draw: Callable[[Table, Drawing], None]
    caption: Callable[[Table], str]
    height: float = 2.6

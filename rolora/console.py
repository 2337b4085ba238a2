"""Terminal output: one console for results, one for progress and errors, and the red sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

VERDICT_STYLES = {
    "PROVED": "bold green",
    "CERTIFIED": "bold green",
    "CONSISTENT": "bold cyan",
    "SUPPORTED": "bold cyan",
    "HOLDS_UNDER": "bold yellow",
    "REFUTED": "bold red",
    "NOT_CHECKED": "dim",
    "ERROR": "bold white on red",
}


def output() -> Console:
    """The console for results (standard output)."""
    from rich.console import Console

    return Console(highlight=False)


def messages(quiet: bool = False) -> Console:
    """The console for progress and remarks (standard error)."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, quiet=quiet)


def fail(sentence: str) -> None:
    """Print one red sentence on standard error."""
    from rich.text import Text

    messages().print(Text(f"Error: {sentence}", style="bold red"), soft_wrap=True)


def finite(value: float | None) -> float | None:
    """Option callback: refuse NaN and infinities."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"must be a finite number, got {value}")
    return value

"""Terminal output: one console for results, one for progress and errors, and the red sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


class Shown(NamedTuple):
    """How a verdict is shown: its style in a terminal, a symbol on a page, and in a sentence.

    The symbol stands beside the colour, so that a grey print and a colour-blind reader see the verdict too.
    """

    style: str
    symbol: str
    words: str = ""


VERDICTS = {
    "PROVED": Shown("bold green", "✓", "proved"),
    "DERIVED": Shown("bold green", "✓", "derived"),
    "CERTIFIED": Shown("bold green", "✓", "certified by interval arithmetic"),
    "CONSISTENT": Shown("bold cyan", "≈", "consistent with simulation"),
    "SUPPORTED": Shown("bold cyan", "≈", "supported by experiment"),
    "HOLDS_UNDER": Shown("bold yellow", "◐", "true under an added assumption"),
    "REFUTED": Shown("bold red", "✗", "refuted"),
    "UNDECIDED": Shown("bold", "?"),
    "NOT_RUN": Shown("dim", "–"),
    "ERROR": Shown("bold white on red", "!", "stopped by an error"),
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


def table(*headings: str, title: Any = None, **column: Any) -> Table:
    """An empty table in the one form of all commands; `column` as in rich's `add_column`."""
    from rich import box
    from rich.table import Table

    form: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}
    made = Table(title=title, title_justify="left", **form)
    for heading in headings:
        made.add_column(heading, **column)
    return made


def show_privacy(manifest: Mapping[str, Any]) -> None:
    """Say what clients' clipping and noise come to, if a run has any."""
    if "privacy" in manifest:
        messages().print(manifest["privacy"]["says"], soft_wrap=True)


@contextmanager
def stopped_says(kept: Callable[[], str]) -> Iterator[None]:
    """Where SIGINT, SIGTERM or SIGHUP ends the work inside, say what is kept and exit with its status."""
    import typer

    from verification.sweep.dispatch import stoppable

    try:
        with stoppable():
            yield
    except KeyboardInterrupt as stopped:
        fail(f"stopped by {str(stopped) or 'SIGINT'}: {kept()}")
        raise typer.Exit(getattr(stopped, "status", 130)) from None


@contextmanager
def bar(
    label: str, total: int | None = None, done: int = 0, *, quiet: bool = False
) -> Iterator[Callable[..., None]]:
    """A bar on standard error where that is a terminal.

    Yields:
        What is told of progress: `completed` or `advance`, `total`, `description`.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = messages(quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        yield partial(progress.update, progress.add_task(label, total=total, completed=done))

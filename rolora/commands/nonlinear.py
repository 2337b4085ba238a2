"""`rolora nonlinear`."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="The two-layer network study with label-split clients.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def group() -> None:
    """The two-layer network study with label-split clients."""

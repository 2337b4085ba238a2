"""`rolora llm`."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Federated fine-tuning of language models.", no_args_is_help=True, add_completion=False
)


@app.callback()
def group() -> None:
    """Federated fine-tuning of language models."""

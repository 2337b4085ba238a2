"""`rolora env`: what results of this installation are made with."""

from __future__ import annotations

from typing import Annotated

import typer

from rolora.console import output


def env(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Print versions, platform and commit, as every report and run records them."""
    from rolora.storage.environment import environment
    from verification.codec import json_text

    facts = environment()
    if as_json:
        typer.echo(json_text(facts), nl=False)
        return
    packages = facts.pop("packages")
    console = output()
    for name, value in {**facts, **packages}.items():
        console.print(f"{name:<20} {value}", markup=False)

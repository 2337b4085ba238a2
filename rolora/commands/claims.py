"""`rolora claims`: list the claims, or explain one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rolora.commands.options import Json
from rolora.console import VERDICTS, output, table

if TYPE_CHECKING:
    from verification.claim import Claim


def claims(
    claim_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Claim to explain; all are listed without.")
    ] = None,
    more: Annotated[
        list[str] | None,
        typer.Option("--claims", metavar="MODULE", help="Also the claims of this module."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the claims, or explain one."""
    from rolora.verify import registry
    from verification.codec import json_text

    chosen = [entry.value for entry in registry.select([claim_id] if claim_id else [], more or ())]
    if as_json:
        from rolora.report.content import claim_json
        from rolora.report.readme import committed

        described = [
            claim_json(claim)
            | {
                "expected": str(claim.expected),
                "negative_control": claim.says,
                "positive_control": claim.positive_says,
                "committed": committed(claim.id),
            }
            for claim in chosen
        ]
        typer.echo(json_text(described[0] if claim_id else described), nl=False)
    elif claim_id:
        _explain(chosen[0])
    else:
        _list(chosen)


def _list(chosen: list[Claim]) -> None:
    from rich.text import Text

    shown = table("claim", no_wrap=True)
    shown.add_column("what it says")
    shown.add_column("expected", no_wrap=True)
    for claim in chosen:
        expected = str(claim.expected)
        shown.add_row(claim.id, Text(claim.title), Text(expected, style=VERDICTS[expected].style))
    console = output()
    console.print(shown)
    console.print(
        f"{len(chosen)} claims. `rolora claims ID` explains one, `rolora verify` checks them all.",
        soft_wrap=True,
    )


def _explain(claim: Claim) -> None:
    from rich.markup import escape

    from rolora.report.readme import committed

    console = output()
    last = committed(claim.id)
    console.print(f"[bold]{claim.id}[/bold]  {escape(claim.title)}\n")
    console.print(escape(claim.statement) + "\n")
    lines = [
        ("source", claim.source),
        ("assumptions", "; ".join(claim.assumptions) or "none"),
        ("exact result", claim.exact),
        ("expected", f"{claim.expected} ({claim.expected.meaning})"),
        ("negative control", claim.says),
        ("positive control", claim.positive_says),
        ("committed run", last["verdict"] if last else ""),
        *(
            ("argued", "{statement}, because {because}".format(**step))
            for step in last.get("argued", ())
        ),
        ("LaTeX", claim.latex),
    ]
    for label, text in lines:
        if text:
            console.print(f"[bold]{label}:[/bold] {escape(text)}")
    console.print(f"\nCheck it with [bold]rolora verify --only {claim.id}[/bold]")

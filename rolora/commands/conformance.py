"""`rolora conformance`: put anybody's federated LoRA method to the suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolora.commands.options import Json, Quiet
from rolora.console import output, table
from verification.names import one_of

if TYPE_CHECKING:
    from federated_lora.testing import Report, Subject

STYLES = {
    "passed": "green",
    "failed": "bold red",
    "not promised": "dim",
    "holds unclaimed": "cyan",
    "not applicable": "dim",
}


def conformance(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            help="A method's name, or module:Class; with --function module:function.",
        ),
    ],
    function: Annotated[
        bool,
        typer.Option(
            "--function",
            help="METHOD is a function aggregate(state_dicts, weights) of PEFT state dicts.",
        ),
    ] = False,
    strategy: Annotated[
        bool,
        typer.Option("--strategy", help="METHOD makes a Flower strategy when called."),
    ] = False,
    trains: Annotated[
        str,
        typer.Option(
            metavar="ROUNDS",
            help="Of these: factors that train in turn, round by round, as AB or B,A.",
        ),
    ] = "AB",
    average: Annotated[
        str, typer.Option(help="Of these: what it promises: exact, best or inexact.")
    ] = "inexact",
    conv1d: Annotated[
        bool, typer.Option("--conv1d", help="Of these: base weights are (d_in, d_out).")
    ] = False,
    mixed_ranks: Annotated[
        bool,
        typer.Option("--mixed-ranks", help="With --function: clients may have ranks of their own."),
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write JUnit XML.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Put a method to the cases that public code fails, and to the algebra; exit status 1 if one fails."""
    from federated_lora.testing import check_method
    from verification import files
    from verification.codec import json_text

    one_of("--average", average, PROMISES)
    if function and strategy:
        raise ValueError(
            "METHOD must be a function or make a strategy, got --function and --strategy"
        )
    told = {"average": average, "conv1d": conv1d}
    if function:
        subject = _theirs(method, "from_function", trains, told | {"mixed_ranks": mixed_ranks})
    else:
        subject = _theirs(method, "from_strategy", trains, told) if strategy else _method(method)
    report = check_method(subject)
    if junit is not None:
        files.write(junit, report.junit())
    if as_json:
        typer.echo(json_text(report.json()), nl=False)
    elif not quiet:
        _show(report)
    if not report.conforms:
        raise typer.Exit(1)


PROMISES = {"exact": "EXACT", "best": "BEST", "inexact": "INEXACT"}


def _method(name: str) -> Subject:
    """Ours by name; anybody's class as `module:Class`, whose name may be one of ours."""
    from federated_lora import Method, method_named, method_names
    from federated_lora.testing import OfMethod
    from federated_lora.testing.subject import ROUNDS

    known = {one.partition(":")[0] for one in method_names()}
    module, _, attribute = name.partition(":")
    if not attribute or module in known:
        return OfMethod(method_named(name, ROUNDS))
    attribute, _, parameter = attribute.partition(":")
    found = _at(module, attribute)
    if not (isinstance(found, type) and issubclass(found, Method) and hasattr(found, "name")):
        raise ValueError(f"METHOD must be a federated_lora.Method with a name, got {name!r}")
    return OfMethod(found.made(parameter or None, ROUNDS))


def _at(module: str, attribute: str) -> Any:
    from verification.discovery import outside

    found = getattr(outside(module), attribute, None)
    if found is None:
        raise ValueError(f"METHOD must be module:name, got no {attribute!r} in {module}")
    return found


def _theirs(place: str, adapter: str, trains: str, told: dict[str, Any]) -> Subject:
    """Somebody's function, or maker of a Flower strategy, by the adapter of that name."""
    from federated_lora import Average, Factor, testing

    turns = [frozenset(map(Factor, part)) for part in trains.split(",") if set(part) <= set("AB")]
    if not turns or len(turns) != trains.count(",") + 1 or not all(turns):
        raise ValueError(f"--trains must be factors for each round, as AB or B,A, got {trains!r}")
    module, _, attribute = place.partition(":")
    found = _at(module, attribute)
    if not callable(found):
        raise ValueError(f"METHOD must name something that can be called, got {place!r}")
    told = told | {"average": Average[PROMISES[told["average"]]]}
    return getattr(testing, adapter)(found, name=place, trains=turns, **told)


def _show(report: Report) -> None:
    from rich.text import Text

    shown = table("case", no_wrap=True)
    shown.add_column("what it asks")
    shown.add_column("defect", justify="right")
    shown.add_column("found", no_wrap=True)
    for row in report.rows:
        number = str(row.defect) if row.defect else ""
        found = Text(str(row.status), style=STYLES[str(row.status)])
        shown.add_row(row.case, Text(row.says), number, found)
    console = output()
    console.print(shown)
    for row in report.rows:
        if row.case in report.failed:
            console.print(Text(f"{row.case}: {row.detail}"), soft_wrap=True)
    counts = sum(row.status == "passed" for row in report.rows)
    verdict = "conforms" if report.conforms else f"fails {len(report.failed)} cases"
    console.print(f"{report.method} {verdict}: {counts} of {len(report.rows)} cases passed.")

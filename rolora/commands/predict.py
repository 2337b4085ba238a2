"""`rolora predict`: what the linear model's theory says of a setting, at once."""

from __future__ import annotations

from math import ceil, log10
from pathlib import Path
from typing import Annotated, Any

import typer

from linear_model.prediction.floors import Measured
from linear_model.prediction.passage import Rounds
from linear_model.prediction.result import Prediction, Row
from linear_model.prediction.setting import Setting
from rolora.commands.options import DataDir, Download, Given, Json, Quiet, configured
from rolora.console import messages, output, table
from rolora.prediction import predict as predicted
from rolora.report.numbers import number
from verification.settings import default

app = typer.Typer()
SYMBOLS = {"clients": "N", "samples": "m", "kappa": "κ", "local_steps": "K", "eps": "ε"}
HEADINGS = ("angle ≤ ε", "error ≤ ε", "angle\nfloor", "error\nfloor", "sent")
"""Narrow: rounds of four digits and their range fit into 80 columns."""
UNITS = ("k", "M", "G", "T")
ALWAYS = ("d", "clients", "samples", "kappa", "eps")


@app.command("predict")
@configured(Setting)
def predict(
    given: Given,
    features: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder with an .npz file (X, Y) a client: estimate the model."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="digits or mnist: estimate the model from its images.")
    ] = None,
    split: Annotated[str, typer.Option(help="How the data set is dealt: label or iid.")] = "label",
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Floors, rounds to ε, traffic and winner on the linear model: exact and at once."""
    file, told = given
    source: dict[str, Any] = {"features": features, "dataset": dataset, "split": split}
    source |= {"data_dir": data_dir, "download": download}
    prediction = predicted(**source, **{**file, **told})
    if as_json:
        from verification.codec import json_text

        typer.echo(json_text(prediction.as_dict()), nl=False)
    elif not quiet:
        show(prediction)


def show(prediction: Prediction) -> None:
    """The prediction as a table, and what is to be said of it."""
    from rich.text import Text

    console, notes = output(), messages()
    if prediction.seen is not None:
        _show_seen(prediction.seen)
    shown = table(title=Text(_title(prediction.setting)))
    shown.add_column("method", no_wrap=True)
    for heading in HEADINGS:
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in prediction.rows:
        if row.model_rounds is not None:  # the others' reasons follow
            shown.add_row(f"{row.label} ∞" if row.limit else row.label, *_cells(row))
    console.print(shown)
    said = [f"{bound.name}: {_bound(bound.rounds)}; {bound.says}." for bound in prediction.bounds]
    said += [
        f"Best at {won.at}: {', '.join(prediction.row(name).label for name in won.methods) or 'unknown'}"
        f" ({won.because})."
        for won in prediction.winners
    ]
    for sentence in said:
        console.print(sentence, soft_wrap=True, markup=False)
    for note, labels in _gathered(prediction).items():
        notes.print(f"{', '.join(labels)}: {note}.", soft_wrap=True, markup=False)


def _gathered(prediction: Prediction) -> dict[str, list[str]]:
    """Each note once, with the methods it is about."""
    found: dict[str, list[str]] = {}
    for row in prediction.rows:
        for note in row.notes:
            found.setdefault(note, []).append(row.label)
    return found | {note: ["Note"] for note in prediction.notes}


def _title(setting: Setting) -> str:
    values = {
        name: value
        for name, value in setting.as_dict().items()
        if name in ALWAYS or (value != default(Setting, name) and name not in ("seed", "trials"))
    }
    parts = (
        f"{SYMBOLS.get(name, name.replace('_', ' '))}={value if isinstance(value, str) else number(value)}"
        for name, value in values.items()
    )
    return " ".join(parts)


def _show_seen(seen: dict[str, Any]) -> None:
    console = output()
    shown = table("estimated", "value")
    for name, value in seen.items():
        if name != "warnings":
            shown.add_row(name.replace("_", " "), number(value))
    console.print(shown)
    for warning in seen["warnings"]:
        messages().print(f"Warning: {warning}.", soft_wrap=True, markup=False, style="yellow")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        _rounds(row.rounds),
        _rounds(row.model_rounds),
        _floor(row.angle_floor, row.angle_measured),
        _floor(row.error_floor, row.error_measured),
        "–" if row.sent is None else short(row.sent),
    )


def _bound(rounds: float | None) -> str:
    return "no answer" if rounds is None else f"{number(ceil(rounds))} rounds"


def short(count: float) -> str:
    """A count in about six characters: 99,999, 100 k, 60 M, 1.23 G."""
    if count < 99_999.5:
        return number(round(count))
    power = min(int(log10(count / 0.9995) / 3.0), len(UNITS))  # 999.5 and more is the next unit's
    return f"{number(count / 1e3**power, 3)} {UNITS[power - 1]}"


def _rounds(found: Rounds | None) -> str:
    """Median and 5–95 %, or the round by which most had not got there."""
    if found is None:
        return "–"
    if found.never:
        return "never"
    if found.median is None:
        return f"> {found.horizon}"
    if found.low == found.high:
        return str(found.median)
    return f"{found.median} ({found.low}–{'…' if found.high is None else found.high})"


def _floor(formula: float | None, measured: Measured | None) -> str:
    """By the chain where it was measured, else by formula."""
    value = formula if measured is None else measured.value
    return "–" if value is None else number(value, 3)

"""`rolora predict`: what the linear model's theory says of a setting, at once."""

from __future__ import annotations

import typer

from linear_model.prediction.floors import Measured
from linear_model.prediction.passage import Rounds
from linear_model.prediction.result import Prediction, Row
from linear_model.prediction.setting import Setting
from rolora.commands.options import Given, Json, Quiet, configured
from rolora.console import messages, output, table
from rolora.report.numbers import number

app = typer.Typer()


@app.command("predict")
@configured(Setting)
def predict(given: Given, as_json: Json = False, quiet: Quiet = False) -> None:
    """Floors, rounds to ε, traffic and winner on the linear model: exact and at once."""
    from linear_model.prediction.predict import predict as found

    file, told = given
    prediction = found(Setting.read({**file, **told}))
    if as_json:
        from verification.codec import json_text

        typer.echo(json_text(prediction.as_dict()), nl=False)
    elif not quiet:
        show(prediction)


def show(prediction: Prediction) -> None:
    """The prediction as tables and sentences."""
    from rich.text import Text

    setting, console, notes = prediction.setting, output(), messages()
    symbols = {"d": "d", "clients": "N", "samples": "m", "kappa": "κ", "local_steps": "K", "eps": "ε"}
    values = [f"{sign}={getattr(setting, name):g}" for name, sign in symbols.items()]
    names = ("heterogeneity", "noise", "participation", "privacy_noise")
    changed = [f"{n.replace('_', ' ')}={getattr(setting, n):g}" for n in names if setting.words(*()) and f"--{n.replace('_', '-')}" in setting.words()]
    shown = table(title=Text(" ".join([*values, *changed])))
    shown.add_column("method", no_wrap=True)
    for heading in ("rounds: angle ≤ ε", "rounds: error ≤ ε", "floor: angle", "floor: error", "sent a client"):
        shown.add_column(heading, justify="right")
    for row in prediction.rows:
        shown.add_row(row.label, *_cells(row))
    console.print(shown)
    for bound in prediction.bounds:
        rounds = "–" if bound.rounds is None else number(bound.rounds)
        console.print(f"rounds by the {bound.name}'s theorem: {rounds}; {bound.says}", soft_wrap=True)
    for winner in prediction.winners:
        console.print(f"best at {winner.at}: {', '.join(winner.methods) or '–'} ({winner.because})", soft_wrap=True)
    for row in prediction.rows:
        for note in row.notes:
            notes.print(f"{row.label}: {note}.", soft_wrap=True)
    for note in prediction.notes:
        notes.print(f"Note: {note}.", soft_wrap=True)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        _rounds(row.rounds),
        _rounds(row.model_rounds),
        _floor(row.angle_floor, row.angle_measured),
        _floor(row.error_floor, row.error_measured),
        "–" if row.sent is None else number(row.sent),
    )


def _rounds(found: Rounds | None) -> str:
    """Median and 5–95 %, or how long nobody got there."""
    if found is None:
        return "–"
    if found.median is None:
        return f"> {found.horizon}" if found.reached < 0.5 else "–"
    if found.low == found.high:
        return str(found.median)
    high = "…" if found.high is None else found.high
    return f"{found.median} ({found.low}–{high})"


def _floor(formula: float | None, measured: Measured | None) -> str:
    """By formula, and in brackets by the chain."""
    if formula is None:
        return "–"
    return number(formula, 3) if measured is None else f"{number(formula, 3)} ({number(measured.value, 3)})"

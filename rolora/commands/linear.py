"""`rolora linear`: experiments on the linear model."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from linear_model import Run
from linear_model.experiment import Experiment
from linear_model.summary import CONFIDENCE, QUANTITIES, SENT, summarise
from rolora.commands.options import Given, Json, Out, Quiet, configured
from rolora.console import bar, messages, output, show_privacy, table

app = typer.Typer()

SPARKS = "▁▂▃▄▅▆▇█"


@app.callback()
def group() -> None:
    """Experiments on the linear model."""


@app.command("run")
@configured(Experiment)
def run(
    given: Given,
    out: Out = Path("results/linear"),
    every_trial: Annotated[
        bool,
        typer.Option("--every-trial", help="Also write trials.csv, a row per trial and round."),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run one method on the linear model; write run.csv, manifest.json and figure.svg."""
    from rolora.storage.output_folder import OutputFolder
    from rolora.storage.run_folder import complete, stage
    from verification.codec import csv_text

    file, told = given
    experiment = Experiment.read({**file, **told}).completed()
    with OutputFolder(out) as folder:
        with bar("trial-rounds", quiet=quiet or as_json) as tell:
            done = experiment.run(lambda now, all: tell(completed=now, total=all))
        columns = summarise(done)
        # Options left at None say nothing about the run.
        configuration = {n: v for n, v in experiment.as_dict().items() if v is not None}
        words = ["rolora", "linear", "run", *experiment.words(*configuration)]
        described = _described(_name(done, experiment), configuration)
        described |= experiment.private(experiment.rounds)
        manifest = complete(described, shlex.join(words))
        more: dict[str, str | bytes] = {"figure.svg": _figure(columns, manifest)}
        if every_trial:
            more["trials.csv"] = csv_text(every(done))
        text = stage(folder, columns, manifest, more)
        folder.publish()
    if as_json:
        typer.echo(text, nl=False)
    elif not quiet:
        _show(columns, str(manifest["name"]), out)
        show_privacy(manifest)


def _described(name: str, configuration: dict[str, Any]) -> dict[str, Any]:
    band = [(q, {"low": f"{q}_low", "high": f"{q}_high", "log": True}) for q in QUANTITIES]
    return {
        "kind": "linear",
        "name": name,
        "seed": configuration["seed"],
        "configuration": configuration,
        "x": {"column": "round", "label": "round"},
        "y": [
            *({"column": q, "label": QUANTITIES[q], **ends} for q, ends in band),
            *({"column": q, "label": label} for q, label in SENT.items()),
        ],
        "interval": f"{CONFIDENCE:.0%} Student interval of the mean over trials",
    }


def every(done: Run) -> dict[str, Any]:
    """One row per trial and round."""
    trial, number = np.indices((done.trials, done.rounds + 1)).reshape(2, -1)
    curves = {name: getattr(done, name).ravel() for name in (*QUANTITIES, *SENT)}
    return {"trial": trial, "round": number, **curves}


def _name(done: Run, of: Experiment) -> str:
    parts = [f"d={of.d}", f"N={of.clients}", f"m={of.samples}"]
    parts += [f"r={of.rank}"] * (of.rank > 1)
    parts += [f"{sign}={value:g}" for sign, value in (("κ", of.kappa), ("η", of.eta)) if value]
    parts += [f"K={of.local_steps}"] * ((of.local_steps or 1) > 1)
    parts += [f"q={of.target_rank}"] * ((of.target_rank or 0) > of.rank)
    parts += [of.spectrum] * (of.spectrum != "flat")
    later = (("σ", of.noise), ("heterogeneity", of.heterogeneity), ("shift", of.shift))
    return " ".join([done.method, *parts, *(f"{sign}={value:g}" for sign, value in later if value)])


def _figure(columns: dict[str, Any], manifest: dict[str, Any]) -> str:
    from rolora.plotting import claim_plot
    from verification.finding import Plot, Series, Table

    mean = Series("angle", "mean", low="angle_low", high="angle_high")
    name = str(manifest["name"])
    plot = Plot("round", (mean,), "round", QUANTITIES["angle"], name, ylog=True)
    return claim_plot.standalone(claim_plot.svg("linear-run", Table(columns), plot))


def sparkline(values: Any, width: int = 40) -> str:
    """Values as a row of blocks, on a logarithmic scale where they are positive."""
    usable = np.asarray([v for v in values if np.isfinite(v) and v > 0.0], dtype=np.float64)
    if usable.size == 0:
        return ""
    logs = np.log(usable)[np.linspace(0, usable.size - 1, min(width, usable.size)).astype(int)]
    low, high = logs.min(), logs.max()
    if high - low < 1e-12:
        return SPARKS[0] * logs.size
    return "".join(SPARKS[int(7.999 * (v - low) / (high - low))] for v in logs)


def _show(columns: dict[str, Any], name: str, out: Path) -> None:
    from rich.text import Text

    from rolora.report.numbers import number

    console = output()
    last = columns["round"][-1]
    steps = [s * 10**e for e in range(10) for s in (1, 2, 5)]
    shown = table(title=Text(name))
    shown.add_column("round", justify="right", no_wrap=True)
    interval = f"{CONFIDENCE:.0%} interval"
    for label in ("angle δ", interval, "excess risk", "loss", "averaging error"):
        shown.add_column(label, no_wrap=True)
    for r in [0, *(s for s in steps if s < last), last]:
        angle, low, high, *others = (
            "–" if columns[q][r] != columns[q][r] else number(columns[q][r], 3)
            for q in ("angle", "angle_low", "angle_high", "excess", "loss", "aggregation_error")
        )
        ends = Text("–" if "–" in (low, high) else f"[{low}, {high}]")
        shown.add_row(str(r), angle, ends, *others)
    console.print(shown)
    console.print(f"angle  {sparkline(columns['angle'])}  (log scale, rounds 0 to {last})")
    up, down = (f"{columns[q][-1]:,.0f}" for q in SENT)
    console.print(f"sent   {up} numbers up and {down} down, all clients and rounds", soft_wrap=True)
    messages().print(f"Run: {out}", soft_wrap=True)

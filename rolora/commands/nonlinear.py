"""`rolora nonlinear`: the two-layer network study with label-split clients."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nonlinear_model.configuration import Configuration
from rolora.commands.options import (
    DataDir,
    Download,
    Given,
    Json,
    Out,
    Quiet,
    Resume,
    Scheduler,
    configured,
)
from rolora.console import bar, fail, messages, output, show_privacy, stopped_says, table

if TYPE_CHECKING:
    from nonlinear_model.training.experiment import Result
    from rolora.storage.output_folder import OutputFolder

app = typer.Typer()
CHECKPOINTS = "checkpoint"
Which = Literal["network", "drift"]


@app.command("run")
@configured(Configuration, old=("alpha", "participants"))
def run(
    given: Given,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads of each tensor operation; torch's choice.", min=1),
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(help="Rounds between checkpoints.", min=1)] = 10,
    resume: Resume = False,
    data_dir: DataDir = None,
    download: Download = False,
    out: Out = Path("results/nonlinear"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run one method; write run.csv, runs.csv, timings.csv, manifest.json, weights and pictures."""
    from federation import checkpoint
    from nonlinear_model.data import registry
    from nonlinear_model.training import experiment
    from rolora.storage.output_folder import OutputFolder

    file, told = given
    config = Configuration.read({**file, **told})
    data = registry.load(config.dataset, data_dir, download=download)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    talk = messages(quiet or as_json)
    checkpoints = out / CHECKPOINTS
    if resume and not checkpoint.read(checkpoints, experiment.deciding(config, data)):
        talk.print("No checkpoint there yet: starting from round 1.")
    with OutputFolder(out) as folder:
        if not resume:
            checkpoint.forget(checkpoints)
        with bar("rounds", config.rounds, quiet=quiet or as_json) as tell:

            def progress(number: int, rows: list[dict[str, Any]]) -> None:
                tell(completed=number)
                if rows:
                    mean = sum(row["test_accuracy"] for row in rows) / len(rows)
                    tell(description=f"test accuracy {mean:.3f}")

            result = experiment.run(
                config, data, checkpoints=checkpoints, every=checkpoint_every, progress=progress
            )
        text = staged(folder, config, result, _command(config, out))
        folder.publish()
    if result.warning:
        talk.print(f"Note: {result.warning}.", style="yellow")
    if as_json:
        typer.echo(text, nl=False)
    elif not quiet:
        _show(config, result, out)
        show_privacy(config.private(config.rounds))
    if result.diverged is not None:
        fail(f"{result.diverged}; the record up to there is in {out}/run.csv")
        raise typer.Exit(1)


@app.command("study")
def study(
    which: Annotated[
        Which, typer.Argument(help="The ranking of the methods, or control variates against drift.")
    ] = "network",
    data_dir: DataDir = None,
    jobs: Annotated[int, typer.Option(help="Processes that work on different cells.", min=1)] = 1,
    scheduler: Scheduler = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only tell how long it would take.")
    ] = False,
    out: Out = Path("results/network-study"),
    quiet: Quiet = False,
) -> None:
    """Run a study behind the network claims; goes on where it was stopped. Takes hours."""
    from nonlinear_model.study import design as designed
    from nonlinear_model.study import run as network
    from nonlinear_model.study.drift import DRIFT
    from rolora.storage.environment import environment
    from verification.codec import json_text
    from verification.files import write

    talk = messages(quiet)
    design = DRIFT if which == "drift" else designed.DESIGN
    seconds = network.estimate(data_dir, design=design)
    total = sum(seconds.values())
    talk.print(
        f"About {total / 3600:.1f} hours of one core in all; finished runs are not run again."
    )
    if estimate:
        return
    path = out / design.file
    with bar("seconds of one core", round(total), quiet=quiet) as tell:

        def done(point: tuple[Any, ...], method: str) -> None:
            tell(advance=seconds[point, method], description=f"{method} at {point[1:4]}")

        kept = f"finished runs are kept in {path.with_suffix('')}, and the same command goes on"
        with stopped_says(lambda: kept):
            network.run(path, data_dir, design=design, jobs=jobs, scheduler=scheduler, done=done)
    words = shlex.join(["rolora", "nonlinear", "study", which, "--jobs", str(jobs)])
    facts = network.described(path, words, environment(), design=design)
    write(path.with_suffix(".json"), json_text(facts, by_name=True))
    talk.print(f"Study: {path}")


@app.command("foretell")
def foretell(
    data_dir: DataDir = None,
    out: Out = Path("results/network-study"),
    quiet: Quiet = False,
) -> None:
    """Foretell the network study's winners by the linear model, from the clients' features. Takes minutes."""
    from nonlinear_model.study import foretold
    from rolora.storage.environment import environment
    from verification.codec import columns_of, csv_text, json_text
    from verification.files import write

    rows: list[dict[str, Any]] = []
    with bar("points", len(foretold.POINTS), quiet=quiet) as tell:
        for point in foretold.POINTS:
            rows += foretold.predicted([point], data_dir)
            tell(advance=1)
    path = out / foretold.PATH.name
    write(path, csv_text(columns_of(rows)))
    facts = foretold.described(path, "rolora nonlinear foretell", environment())
    write(path.with_suffix(".json"), json_text(facts, by_name=True))
    messages(quiet).print(f"Predictions: {path}")


def staged(folder: OutputFolder, config: Configuration, result: Result, command: str) -> str:
    """Stage everything a run leaves; the text of its manifest."""
    from nonlinear_model.data import splits
    from nonlinear_model.training import experiment
    from rolora.storage.run_folder import complete, stage
    from verification.codec import columns_of, csv_text

    counts = result.federation.label_counts[0]
    rounds, seconds = ([pair[k] for pair in result.seconds] for k in (0, 1))
    more: dict[str, str | bytes] = {
        "runs.csv": csv_text(columns_of(result.rows)),
        "timings.csv": csv_text({"round": rounds, "seconds": seconds}),
        "split.svg": _svg(splits.figure(counts, f"{config.split} split, seed {config.seed}")),
        "weights.safetensors": experiment.weights_bytes(result),
    }
    manifest = complete(experiment.manifest(config, result), command)
    return stage(folder, experiment.summarise(result.rows), manifest, more)


def _command(config: Configuration, out: Path) -> str:
    return shlex.join(["rolora", "nonlinear", "run", *config.words(), "--out", out.name])


def _svg(picture: Any) -> str:
    import io

    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "rolora", "svg.fonttype": "path"}):
        picture.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _show(config: Configuration, result: Result, out: Path) -> None:
    from nonlinear_model.data import splits
    from nonlinear_model.training import experiment

    console = output()
    console.print(splits.picture(result.federation.label_counts[0]))
    headings = ("round", "test accuracy", "test loss", "clients' accuracy", "numbers sent")
    title = f"{config.method}: {config.clients} clients, {config.dataset}"
    shown = table(*headings, title=title, justify="right")
    last = max(row["round"] for row in result.rows)
    wanted = {round(last * share / 5) for share in range(6)}
    own = [row for row in result.rows if row["seed"] == config.seed]
    for row in own:
        if row["round"] in wanted:
            shown.add_row(
                str(row["round"]),
                f"{row['test_accuracy']:.4f}",
                f"{row['test_loss']:.4f}",
                f"{row['client_accuracy_min']:.2f}–{row['client_accuracy_max']:.2f}",
                f"{row['numbers_up'] + row['numbers_down']:,}",
            )
    console.print(shown)
    for line in _rate_lines(experiment.rates(result.rows)):
        console.print(line)
    console.print(f"Written to {out}: run.csv, manifest.json, weights.safetensors, split.svg")


def _rate_lines(fits: list[dict[str, Any]]) -> list[str]:
    """The loss's rate a round, and the average squared gradient's power beside theory's."""
    lines = []
    for fit in fits:
        rounds = f"over rounds {fit['first_round']:g} to {fit['last_round']:g}"
        if (fit["quantity"], fit["model"]) == ("test_loss", "geometric"):
            band = f"[{fit['low']:.4f}, {fit['high']:.4f}]"
            lines.append(f"Test loss × {fit['rate']:.4f} {band} a round {rounds}.")
        elif fit["theory"] is not None:
            band = f"[{-fit['high']:.2f}, {-fit['low']:.2f}]"
            lines.append(
                f"Mean squared gradient as T^{-fit['rate']:.2f} {band} {rounds}; theory's bound as"
                f" T^{-fit['theory']:.2f} with the step balanced for each T."
            )
    return lines

"""`rolora llm`: federated fine-tuning of language models."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llm_validation.config import Config
from rolora.commands.options import DataDir, Given, Json, Out, Quiet, Resume, configured
from rolora.console import messages, output, show_privacy, table
from rolora.grid.command import grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

app = typer.Typer()
app.command("grid")(grid)
RecipeName = Annotated[
    str, typer.Option("--recipe", help="What a preset trains by: adamw, or authors.")
]


@app.command("run")
@configured(Config)
def run(
    given: Given,
    preset: Annotated[
        str | None, typer.Option(help="A published cell; `rolora llm presets` lists them.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Optimiser, head and learning rates: adamw or authors.")
    ] = None,
    out: Out = Path("results/llm"),
    resume: Resume = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also log to DIR/tensorboard.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune federatedly; write run.csv, manifest.json, checkpoints and a PEFT adapter."""
    from verification.discovery import require_extra

    settings = _settings(*given, preset, recipe)
    if resume and _told_again(settings, out, as_json=as_json, quiet=quiet):
        return
    require_extra("llm")
    from llm_validation.training.loop import DivergedError
    from llm_validation.training.loop import run as train
    from llm_validation.training.sweep import best_rate
    from rolora.storage.llm_run import columns, staged
    from rolora.storage.output_folder import OutputFolder
    from verification.codec import csv_text
    from verification.files import require_writable

    require_writable(out)
    console = messages(quiet or as_json)
    report = _Progress(console, settings.rounds, _board(out) if tensorboard else None)
    trials: list[dict[str, Any]] = []
    if settings.learning_rate_grid:
        settings, trials = best_rate(settings, out / "sweep", resume=resume, on_trial=report.trial)
    with OutputFolder(out) as folder:
        try:
            result = train(settings, folder=out, resume=resume, on_round=report.round)
        except DivergedError as error:
            if error.rows:
                folder.write("run.csv", csv_text(columns(error.rows)))
                # The manifest of an earlier run would pass this table off as a finished one.
                folder.publish(remove=("manifest.json",))
                raise ValueError(f"{error} (metrics up to there: {out}/run.csv)") from error
            raise
        finally:
            report.close()
        more = {"learning_rate_trials": trials} if trials else {}
        full, text = staged(folder, settings, result, more, preset)
        folder.publish()
    if result.warning:
        console.print(f"Note: {result.warning}.", style="yellow", soft_wrap=True)
    if as_json:
        typer.echo(text, nl=False)
    elif not quiet:
        _show(result.rows, str(full["name"]), out)
        show_privacy(full)


def _told_again(settings: Config, out: Path, *, as_json: bool, quiet: bool) -> bool:
    """Whether the run is finished already; then it is shown, without a look at model or data."""
    from llm_validation.paper.records import finished
    from rolora.storage.run_folder import read

    told = finished(out, settings)
    if told is None:
        return False
    if as_json:
        typer.echo((out / "manifest.json").read_text("utf-8"), nl=False)
    elif not quiet:
        columns = read(out).columns
        cells = (
            [None if c != c else c for c in row] for row in zip(*columns.values(), strict=True)
        )
        rows = [dict(zip(columns, row, strict=True)) for row in cells]
        _show(rows, str(told["name"]), out)
        show_privacy(told)
    messages(quiet or as_json).print("The run is finished already.")
    return True


def _settings(
    file: dict[str, Any], told: dict[str, Any], preset: str | None, recipe: str | None
) -> Config:
    from llm_validation.paper.presets import preset_named
    from llm_validation.paper.recipes import recipe_named
    from llm_validation.tasks.registry import task_named
    from rolora.grid.plan import layered

    values = dict(preset_named(preset).options) if preset is not None else {}
    if recipe is not None:
        values |= recipe_named(recipe).options
    values = layered(values, file, told)
    for name in ("model", "task"):
        if not values.get(name):
            raise ValueError(
                f"--{name} must be given, on the command line, in --config or by --preset"
            )
    settings = Config.read(values)
    task_named(settings.task)
    return settings


class _Progress:
    """One line a round on standard error, with tokens per second and the time left."""

    def __init__(
        self, console: Console, rounds: int, new_board: Callable[[int], Any] | None
    ) -> None:
        self.console = console
        self.rounds = rounds
        self.new_board = new_board
        self.board: Any = None
        self.started = time.perf_counter()
        self.first: int | None = None

    def round(self, row: dict[str, Any]) -> None:
        if self.first is None:
            self.first, self.started = row["round"], time.perf_counter()
            if self.new_board is not None:
                self.board = self.new_board(row["round"])
        if self.board is not None:
            for name, value in row.items():
                if isinstance(value, (int, float)):
                    self.board.add_scalar(name, value, row["round"])
        parts = [f"round {row['round']}/{self.rounds}"]
        for name, form in (
            ("trained", "trained {}"), ("train_loss", "train loss {:.4f}"),
            ("accuracy", "accuracy {:.4f}"), ("tokens_per_second", "{:.0f} tokens/s"),
        ):  # fmt: skip
            if row[name] not in (None, ""):
                parts.append(form.format(row[name]))
        done = row["round"] - self.first
        if done > 0:
            left = (time.perf_counter() - self.started) / done * (self.rounds - row["round"])
            parts.append(f"{left:.0f} s left")
        self.console.print(" · ".join(parts), soft_wrap=True)

    def close(self) -> None:
        """Write out what TensorBoard was given."""
        if self.board is not None:
            self.board.close()

    def trial(self, rate: float, accuracy: float | None) -> None:
        """One learning rate of a sweep tried."""
        outcome = "diverged" if accuracy is None else f"held-out accuracy {accuracy:.4f}"
        self.console.print(f"learning rate {rate:g}: {outcome}", soft_wrap=True)


def _board(out: Path) -> Callable[[int], Any]:
    """What opens the TensorBoard log when the first round is there; a resumed run writes over the rest."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "--tensorboard needs the package tensorboard: pip install tensorboard"
        ) from error
    return lambda first: SummaryWriter(str(out / "tensorboard"), purge_step=first)


def _show(rows: list[dict[str, Any]], name: str, out: Path) -> None:
    headings = ("round", "trained", "accuracy", "loss", "train loss", "numbers up")
    shown = table(*headings, title=name, justify="right")
    measured = [row for row in rows if row["accuracy"] is not None]
    for row in measured[: -1 : max(1, len(measured) // 12)] + measured[-1:]:
        shown.add_row(
            f"{row['round']:.0f}",
            row["trained"],
            f"{row['accuracy']:.4f}",
            f"{row['loss']:.4f}",
            "–" if row["train_loss"] is None else f"{row['train_loss']:.4f}",
            f"{row['numbers_up']:,.0f}",
        )
    output().print(shown)
    messages().print(f"Run, checkpoints and PEFT adapter: {out}", soft_wrap=True)


@app.command("presets")
def presets(
    name: Annotated[str | None, typer.Argument(help="One preset, as TOML.")] = None,
    recipe: RecipeName = "adamw",
    as_json: Json = False,
) -> None:
    """List the published cells as runs: paper's number, rounds and an estimate of cost."""
    from llm_validation.paper.presets import TERAFLOPS, preset_named
    from llm_validation.paper.presets import presets as every
    from llm_validation.paper.recipes import recipe_named

    chosen = recipe_named(recipe)
    if name is not None:
        found = preset_named(name, chosen)
        typer.echo(json.dumps(found.record(), indent=2) if as_json else found.toml(), nl=as_json)
        return
    if as_json:
        typer.echo(json.dumps([preset.record() for preset in every(chosen)], indent=2))
        return
    listed = table("preset", no_wrap=True)
    for heading in ("paper %", "rounds", "examples", "PFLOP", "GPU h"):
        listed.add_column(heading, justify="right", no_wrap=True)
    for preset in every(chosen):
        cell = preset.cell
        said = f"{cell.value:.2f}{'' if cell.confirmed else '?'}" if cell else "–"
        listed.add_row(
            preset.name,
            said,
            str(preset.options["rounds"]),
            f"{preset.examples:,}",
            f"{preset.petaflop:,.0f}",
            f"{preset.hours:.1f}",
        )
    console = output()
    console.print(listed)
    console.print(
        f"Cost of one run (one seed, one learning rate) at most, at {TERAFLOPS:g} TFLOP/s; multiply by the"
        " grid and the seeds. A question mark stands beside numbers that only a second-hand source gives."
        f" Optimiser, head and learning rates are of the recipe {chosen.name}, for the paper does not name"
        f" them: {chosen.source}.",
        soft_wrap=True,
    )


@app.command("estimate")
def estimate(
    table_name: Annotated[str, typer.Option("--table", help="glue or commonsense.")] = "glue",
    recipe: RecipeName = "adamw",
    seeds: Annotated[int, typer.Option(help="Seeds of every cell, beside the grid's one.")] = 3,
    model: Annotated[str | None, typer.Option(help="Another base, or its local folder.")] = None,
    data_dir: DataDir = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a few rounds on this device, and tell what a published table would cost on it."""
    from llm_validation.paper.cost import Speed, cells_of, cost_of, trial_of
    from llm_validation.paper.recipes import recipe_named
    from verification.discovery import require_extra

    cells = cells_of(table_name, recipe_named(recipe))
    cost_of(cells, seeds, {}, {1: Speed(1.0, 1.0)})  # refuses what cannot be, before any work
    require_extra("llm")
    from llm_validation.study.speed import size_of, speed_of

    own: dict[str, Any] = {"device": device, "data_dir": str(data_dir) if data_dir else None}
    own |= {"model": model} if model else {}
    console, sizes, speeds, missing = messages(quiet or as_json), {}, {}, {}
    for task in dict.fromkeys(preset.options["task"] for preset in cells):
        try:
            sizes[task] = size_of(Config.read(cells[0].options | own | {"task": task}))
        except ValueError as error:
            missing[task] = str(error)
    if not sizes:
        raise ValueError(f"no task of the table is at hand: {next(iter(missing.values()))}")
    here = {p.options["clients"]: p for p in reversed(cells) if p.options["task"] in sizes}
    for clients, preset in sorted(here.items()):
        speed = speeds[clients] = speed_of(trial_of(preset, **own, method="fedavg"))
        said = (
            f"{speed.tokens:,.0f} tokens/s trained on, {speed.examples:,.0f} examples/s evaluated"
        )
        console.print(f"{clients} clients: {said}", soft_wrap=True)
    found = cost_of(cells, seeds, sizes, speeds)
    total = sum(cell.hours for cell in found)
    if as_json:
        told = [{"cell": c.preset.name, "runs": c.runs, "hours": c.hours} for c in found]
        by_task = {task: asdict(size) for task, size in sizes.items()}
        by_clients = {clients: asdict(speed) for clients, speed in speeds.items()}
        whole = {"cells": told, "hours": total, "sizes": by_task, "speeds": by_clients}
        typer.echo(json.dumps(whole | {"not_at_hand": sorted(missing)}, indent=2))
        return
    listed = table("cell", "runs", "hours", no_wrap=True)
    for cell in found:
        listed.add_row(cell.preset.name, str(cell.runs), f"{cell.hours:.2f}")
    output().print(listed)
    at_most = f" {', '.join(missing)}: not at hand, counted at full length." if missing else ""
    output().print(f"{total:,.1f} hours, one run at a time.{at_most}", soft_wrap=True)

"""`rolora linear`: experiments on the linear model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolora.console import finite, messages, output
from verification.names import one_of

if TYPE_CHECKING:
    import numpy as np

    from linear_model import Problem, Run

app = typer.Typer(
    help="Experiments on the linear model.", no_args_is_help=True, add_completion=False
)

QUANTITIES = {
    "angle": "angle distance δ",
    "excess": "excess risk",
    "loss": "expected global loss",
    "aggregation_error": "aggregation error",
}
CONFIDENCE = 0.95
SPARKS = "▁▂▃▄▅▆▇█"


@app.callback()
def group() -> None:
    """Experiments on the linear model."""


@app.command("run")
def run(
    d: Annotated[int, typer.Option(help="Input width.")] = 50,
    clients: Annotated[int, typer.Option(help="Number of clients N.")] = 5,
    samples: Annotated[int, typer.Option(help="Samples per client and half-step, m.")] = 100,
    rank: Annotated[int, typer.Option(help="LoRA rank r.")] = 1,
    outputs: Annotated[
        int | None, typer.Option(help="Number of outputs p; the rank if not given.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="algorithm2, ffa-ls, ffa-pooled, rolora, fedavg, ffa, a schedule, or module:Class."
        ),
    ] = "algorithm2",
    simulator: Annotated[str, typer.Option(help="data, gram, chain or population.")] = "gram",
    rounds: Annotated[int, typer.Option(help="Number of rounds.")] = 50,
    trials: Annotated[int, typer.Option(help="Independent repetitions.")] = 100,
    seed: Annotated[int, typer.Option(help="Root of all randomness.", min=0)] = 0,
    kappa: Annotated[
        float | None,
        typer.Option(help="Step size 2η‖B̄*‖²; 0.5 if neither is given.", callback=finite),
    ] = None,
    eta: Annotated[
        float | None,
        typer.Option(help="Step size η on the gradient, instead of kappa.", callback=finite),
    ] = None,
    local_steps: Annotated[
        int | None, typer.Option(help="Local steps K of rolora, fedavg and ffa; 1 if not given.")
    ] = None,
    noise: Annotated[float, typer.Option(help="Label noise σ.", callback=finite)] = 0.0,
    heterogeneity: Annotated[
        float,
        typer.Option(
            help="Root mean square distance of the clients' B* from their mean.", callback=finite
        ),
    ] = 0.0,
    data: Annotated[
        str, typer.Option(help="fresh samples in every round, or fixed ones.")
    ] = "fresh",
    batches: Annotated[
        str, typer.Option(help="separate or shared samples in the two half-steps.")
    ] = "separate",
    participants: Annotated[
        int | None, typer.Option(help="Clients drawn in each round; all if not given.")
    ] = None,
    start: Annotated[
        str, typer.Option(help="random, or the angle distance δ⁰ between 0 and 1 (rank 1).")
    ] = "random",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the run.")] = Path(
        "results/linear"
    ),
    every_trial: Annotated[
        bool,
        typer.Option("--every-trial", help="Also write trials.csv, a row per trial and round."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifest, and nothing else.")
    ] = False,
    quiet: Annotated[bool, typer.Option(help="No progress and no table.")] = False,
) -> None:
    """Run one method on the linear model; write run.csv, manifest.json and figure.svg."""
    import linear_model
    from rolora.storage.environment import environment
    from rolora.storage.output_folder import OutputFolder
    from rolora.storage.run_folder import complete, stage

    options = {
        "d": d,
        "clients": clients,
        "samples": samples,
        "rank": rank,
        "outputs": outputs,
        "method": method,
        "simulator": one_of("--simulator", simulator, [s.name for s in linear_model.simulators()]),
        "rounds": rounds,
        "trials": trials,
        "seed": seed,
        "kappa": kappa,
        "eta": eta,
        "local_steps": local_steps,
        "noise": noise,
        "heterogeneity": heterogeneity,
        "data": one_of("--data", data, [d.value for d in linear_model.Data]),
        "batches": one_of("--batches", batches, [b.value for b in linear_model.Batches]),
        "participants": participants,
        "start": start,
    }
    if kappa is None and eta is None and "kappa" in linear_model.options_of(method):
        options["kappa"] = kappa = 0.5
    settings = {"kappa": kappa, "eta": eta, "local_steps": local_steps}
    chosen = linear_model.method_named(
        method,
        rounds,
        argument="--method",
        **{name: value for name, value in settings.items() if value is not None},
    )
    problem = _problem(options)
    with OutputFolder(out) as folder:
        with _Progress(quiet or as_json) as progress:
            done = linear_model.simulate(
                problem,
                chosen,
                simulator=simulator,
                rounds=rounds,
                trials=trials,
                seed=seed,
                start=_start(start),
                axes=("linear run",),
                progress=progress,
            )
        columns = summarise(done)
        # Options left at None say nothing about the run.
        configuration = {name: value for name, value in options.items() if value is not None}
        configuration["outputs"] = problem.outputs
        manifest = complete(
            {
                "kind": "linear",
                "name": _name(done, problem, configuration),
                "seed": seed,
                "configuration": configuration,
                "x": {"column": "round", "label": "round"},
                "y": [
                    {
                        "column": name,
                        "label": label,
                        "low": f"{name}_low",
                        "high": f"{name}_high",
                        "log": True,
                    }
                    for name, label in QUANTITIES.items()
                ],
                "interval": f"{CONFIDENCE:.0%} Student interval of the mean over trials",
            },
            _command(configuration),
            environment(),
        )
        more: dict[str, str | bytes] = {"figure.svg": _figure(columns, manifest)}
        if every_trial:
            from verification.codec import csv_text

            more["trials.csv"] = csv_text(every(done))
        text = stage(folder, columns, manifest, more)
        folder.publish()
    if as_json:
        typer.echo(text, nl=False)
    elif not quiet:
        _show(columns, str(manifest["name"]), out)


def _problem(options: dict[str, Any]) -> Problem:
    import numpy as np

    from linear_model import Problem
    from verification.streams import generator

    rank, clients, spread = options["rank"], options["clients"], options["heterogeneity"]
    outputs = rank if options["outputs"] is None else options["outputs"]
    if outputs < rank:
        raise ValueError(f"--outputs must be at least the rank {rank}, got {outputs}")
    if spread < 0.0:
        raise ValueError(f"--heterogeneity must not be negative, got {spread}")
    if spread > 0.0 and clients < 2:
        raise ValueError(f"--heterogeneity needs at least 2 clients, got {clients}")
    # Everything else is checked by the problem itself; this part only needs sizes that exist.
    B_star = None
    if rank >= 1 and clients >= 1 and (outputs > rank or spread > 0.0):
        B_star = np.broadcast_to(np.eye(rank, outputs), (clients, rank, outputs))
    if spread > 0.0 and B_star is not None:
        apart = generator(options["seed"], "linear run", "heterogeneity").standard_normal(
            B_star.shape
        )
        apart -= apart.mean(axis=0)
        apart /= np.sqrt(np.mean(np.sum(apart**2, axis=(1, 2))))
        B_star = B_star + spread * apart
    return Problem(
        d=options["d"],
        clients=clients,
        samples=options["samples"],
        rank=rank,
        B_star=B_star,
        noise=options["noise"],
        data=options["data"],
        batches=options["batches"],
        participants=options["participants"],
    )


def _start(text: str) -> str | float:
    try:
        value = float(text)
    except ValueError:
        return one_of("--start", text, ["random"]) if text == "random" else _bad_start(text)
    if not 0.0 < value < 1.0:  # NaN fails this too
        return _bad_start(text)
    return value


def _bad_start(text: str) -> str:
    raise ValueError(f"--start must be random or a number between 0 and 1, got {text!r}")


def summarise(done: Run) -> dict[str, Any]:
    """Per-round mean, interval of the mean and quantiles over the trials, one column each."""
    import numpy as np
    from scipy import stats

    columns: dict[str, Any] = {"round": list(range(done.rounds + 1))}
    for name in QUANTITIES:
        values: np.ndarray = getattr(done, name)
        mean = values.mean(axis=0)
        columns[name] = mean
        if done.trials > 1:
            reach = stats.t.ppf(0.5 + CONFIDENCE / 2, done.trials - 1) * values.std(axis=0, ddof=1)
            reach /= np.sqrt(done.trials)
        else:
            reach = np.full_like(mean, np.nan)
        columns[f"{name}_low"], columns[f"{name}_high"] = mean - reach, mean + reach
        for label, level in (("q10", 0.1), ("median", 0.5), ("q90", 0.9)):
            columns[f"{name}_{label}"] = np.quantile(values, level, axis=0)
    return columns


def every(done: Run) -> dict[str, Any]:
    """One row per trial and round."""
    import numpy as np

    shape = (done.trials, done.rounds + 1)
    columns: dict[str, Any] = {
        "trial": np.broadcast_to(np.arange(done.trials)[:, None], shape).ravel(),
        "round": np.broadcast_to(np.arange(done.rounds + 1), shape).ravel(),
    }
    return columns | {name: getattr(done, name).ravel() for name in QUANTITIES}


def _name(done: Run, problem: Problem, configuration: dict[str, Any]) -> str:
    parts = [done.method, f"d={problem.d}", f"N={problem.clients}", f"m={problem.samples}"]
    if problem.rank > 1:
        parts.append(f"r={problem.rank}")
    parts += [f"{short}={configuration[key]:g}" for key, short in (("kappa", "κ"), ("eta", "η"))
              if key in configuration]  # fmt: skip
    if configuration.get("local_steps", 1) > 1:
        parts.append(f"K={configuration['local_steps']}")
    if problem.noise:
        parts.append(f"σ={problem.noise:g}")
    if configuration["heterogeneity"]:
        parts.append(f"heterogeneity={configuration['heterogeneity']:g}")
    return " ".join(parts)


def _command(configuration: dict[str, Any]) -> str:
    words = ["rolora", "linear", "run"]
    for name, value in configuration.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _figure(columns: dict[str, Any], manifest: dict[str, Any]) -> str:
    from rolora.plotting import claim_plot
    from verification.finding import Plot, Series, Table

    plot = Plot(
        x="round",
        series=(Series("angle", "mean", low="angle_low", high="angle_high"),),
        xlabel="round",
        ylabel=QUANTITIES["angle"],
        caption=str(manifest["name"]),
        ylog=True,
    )
    return claim_plot.standalone(claim_plot.svg("linear-run", Table(columns), plot))


def sparkline(values: Any, width: int = 40) -> str:
    """Values as a row of blocks, on a logarithmic scale where they are positive."""
    import numpy as np

    usable = np.asarray([v for v in values if np.isfinite(v) and v > 0.0], dtype=np.float64)
    if usable.size == 0:
        return ""
    logs = np.log(usable)[np.linspace(0, usable.size - 1, min(width, usable.size)).astype(int)]
    low, high = logs.min(), logs.max()
    if high - low < 1e-12:
        return SPARKS[0] * logs.size
    return "".join(SPARKS[int(7.999 * (v - low) / (high - low))] for v in logs)


def _show(columns: dict[str, Any], name: str, out: Path) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from rolora.report.numbers import number

    console = output()
    last = columns["round"][-1]
    steps = [s * 10**e for e in range(10) for s in (1, 2, 5)]
    shown = [0, *(s for s in steps if s < last), last]
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=Text(name),
        title_justify="left",
        padding=(0, 1, 0, 0),
    )
    table.add_column("round", justify="right", no_wrap=True)
    for label in (
        "angle δ",
        f"{CONFIDENCE:.0%} interval",
        "excess risk",
        "loss",
        "averaging error",
    ):
        table.add_column(label, no_wrap=True)
    for r in shown:
        interval = f"[{number(columns['angle_low'][r], 3)}, {number(columns['angle_high'][r], 3)}]"
        table.add_row(
            str(r),
            number(columns["angle"][r], 3),
            Text("–" if "NaN" in interval else interval),
            *(
                "–" if columns[q][r] != columns[q][r] else number(columns[q][r], 3)
                for q in ("excess", "loss", "aggregation_error")
            ),
        )
    console.print(table)
    console.print(f"angle  {sparkline(columns['angle'])}  (log scale, rounds 0 to {last})")
    messages().print(f"Run: {out}", soft_wrap=True)


class _Progress:
    """A bar over trial-rounds on standard error, where that is a terminal."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet or not sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> _Progress:
        from rich.progress import Progress

        self._bar = Progress(console=messages(self._quiet), transient=True, disable=self._quiet)
        self._bar.start()
        self._task = self._bar.add_task("trial-rounds", total=None)
        return self

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

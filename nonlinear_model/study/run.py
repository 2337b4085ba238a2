"""Running the network study by one command: taken up where it stopped, its length foretold."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from federation.learning_rates import Sweep, tuned_until
from federation.participants import how_many
from nonlinear_model.study import table
from nonlinear_model.study.analysis import IMAGES
from nonlinear_model.study.design import DESIGN, NetworkDesign
from nonlinear_model.study.measure import configuration, runs
from verification import paired_study
from verification.paired_study import Point, Runner

TIMED_CLIENTS = 10
Judged = dict[int, Sweep]
"""By number of rounds, a method at the rate that is best for that many."""
Study = dict[Point, dict[str, Judged]]


def search(run: Runner, method: str, design: NetworkDesign) -> Judged:
    """The method at each of its lengths at the design's one point (`Design.at`)."""
    (point,) = design.points
    return tuned_until(run, method, design, design.lengths(point, method))


def run(
    path: Path,
    data_dir: Path | None,
    *,
    design: NetworkDesign = DESIGN,
    jobs: int = 1,
    scheduler: str | None = None,
    progress: Callable[[str], None] = lambda _line: None,
    done: Callable[[Point, str], None] = lambda _point, _method: None,
) -> Study:
    """Run what is not finished beside the CSV yet, and write it.

    Args:
        path: the CSV.
        data_dir: folder with MNIST.
        design: the study, or a part of it.
        jobs: processes that work on different cells.
        scheduler: address of a Dask scheduler whose workers do instead.
        progress: told one line per run, in the process that made it.
        done: told of every point and method that is finished.
    """
    return paired_study.run(
        design,
        partial(runs, design, data_dir),
        search,
        table=path,
        rows=partial(table.rows_of, design),
        progress=progress,
        done=done,
        jobs=jobs,
        scheduler=scheduler,
    )


def estimate(
    data_dir: Path | None, *, design: NetworkDesign = DESIGN
) -> dict[tuple[Point, str], float]:
    """Seconds of one core of every point and method, from a few rounds of each method at a few points.

    Args:
        data_dir: folder with MNIST.
        design: the study, or a part of it.
    """
    cost = {
        (*at, method): _seconds_per_step(design, data_dir, point, method)
        for at, point in _timed(design).items()
        for method in design.methods
    }
    found = {}
    for point in design.points:
        own = design.at(point)
        dataset, local = point[0], point[2]
        most = [at for at in cost if at[0] == dataset][-1][1]
        for method in own.methods:
            like = method if method in design.methods else "rolora"
            own_cost = cost[dataset, local if (dataset, local, like) in cost else most, like]
            found[point, method] = _rounds(own, point, method) * _steps(design, point) * own_cost
    return found


def _timed(design: NetworkDesign) -> dict[tuple[str, str], Point]:
    """By dataset and number of local steps a point of about 10 clients; epochs are steps, too."""
    found: dict[tuple[str, str], Point] = {}
    for point in sorted(design.points, key=lambda p: abs(p[1] - TIMED_CLIENTS)):
        found.setdefault((point[0], point[2]), point)
    short = {at: point for at, point in found.items() if "epoch" not in at[1]}
    alone = {at: found[at] for at in found if at[0] not in {dataset for dataset, _ in short}}
    return dict(sorted((short | alone).items(), key=lambda item: int(item[0][1].split()[0])))


def _rounds(own: NetworkDesign, point: Point, method: str) -> float:
    # A rate above what a method bears diverges at once: about half of the grid, but not for FFA-LoRA.
    rates = len(own.rates) if method == "ffa" else len(own.rates) / 2
    tuning = own.tracked(point, method)[-1] * rates * len(own.tuning_seeds)
    return tuning + sum(own.lengths(point, method)) * len(own.seeds)


def _steps(design: NetworkDesign, point: Point) -> float:
    """Client steps of a round, all participants together."""
    config = configuration(design, point, "rolora", 2)
    each: float = config.local_steps
    if config.local_epochs is not None:
        each = config.local_epochs * IMAGES / config.batch_size / config.clients
    return how_many(config.clients, config.participation) * each


def _seconds_per_step(
    design: NetworkDesign, data_dir: Path | None, point: Point, method: str
) -> float:
    """From the difference of two lengths, so that the start costs nothing."""
    short, *more = design.tracked(point, method)
    long = next(t for t in more if t >= 2 * short)
    seconds = []
    for rounds in (short, short, long):  # the first to warm up
        start = time.process_time()
        list(runs(design, data_dir, point, method, 0.03, (0, 1), rounds=rounds))
        seconds.append(time.process_time() - start)
    return max(seconds[2] - seconds[1], 1e-6) / (2 * (long - short) * _steps(design, point))


def described(
    path: Path, command: str, environment: Mapping[str, Any], *, design: NetworkDesign = DESIGN
) -> dict[str, Any]:
    """What explains a CSV: for its JSON."""
    return {
        "schema_version": 1,
        "kind": "network study",
        "sha256": table.checksum(path),
        "design": asdict(design),
        "command": command,
        "environment": dict(environment),
    }

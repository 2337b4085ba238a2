"""A round across Flower, a SuperLink and two SuperNodes on loopback, against the same round in one process.

    python -m benchmarks.flower --out results/benchmarks/flower.json

In Flower's environment (`make test-flower` makes it). The weights must be the same, or nothing is written.
Flower starts a process for each message; that alone is the floor, timed as an interpreter that imports what a
client needs.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import ratios
from nonlinear_model import Configuration
from nonlinear_model.data import registry
from nonlinear_model.training import experiment
from tests.support.flower.deployment import Deployment
from tests.support.flower.runs import farthest, told

SIDES = 2
RUN = {
    "dtype": "float64", "clients": 10, "rounds": 4, "rank": 16, "hidden": 200, "evaluate_every": 4,
    "probe": 0, "learning_rate": 0.1, "batch_size": 32,
}  # fmt: skip
STEPS = (10, 1000)
"""Local steps of a light and of a heavy round."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/flower.json"))
    out = parser.parse_args(arguments).out
    floor = _floor()
    with tempfile.TemporaryDirectory() as folder, Deployment(Path(folder) / "flower") as flower:
        for place in range(SIDES):
            flower.node(place)
        cases = [_case(flower, Path(folder) / str(K), K, floor) for K in STEPS]
    return ratios.told("A round across Flower on loopback", out, cases)


def _case(flower: Deployment, out: Path, steps: int, floor: float) -> ratios.Case:
    values = {**RUN, "local_steps": steps}
    flower.run(told(values), out=out, seconds=600)
    gap = farthest(out, values)
    if not gap < 1e-6:
        raise SystemExit(f"weights differ by {gap:g} from the run in one process")
    table = np.genfromtxt(out / "wire.csv", delimiter=",", names=True)
    config = Configuration.read(values)
    inside = experiment.run(config, registry.load(config.dataset))
    return ratios.Case(
        f"K = {steps}",
        "round",
        "the engine in one process, all clients at once",
        f"the clients on {SIDES} SuperNodes, one after another on each, by messages",
        min(seconds for _, seconds in inside.seconds),
        float(table["seconds"].min()),
        None,
        "start of an interpreter that imports torch and the client app, without Flower's own part",
        floor,
        at_most=True,
    )


def _floor() -> float:
    took = []
    for _ in range(3):
        began = time.perf_counter()
        words = [sys.executable, "-c", "import rolora.flower.client_app"]
        subprocess.run(words, check=True)
        took.append(time.perf_counter() - began)
    return min(took)


if __name__ == "__main__":
    raise SystemExit(main())

"""What the table of methods says beside traffic: the server's cost, and how each fares in the linear model.

    python -m benchmarks.method_table [--out FILE]

Server's cost: time of a server step on a 768 × 768 matrix at rank 8 with 10 clients, over FedAvg-LoRA's by
turns in the same run, one thread. The rest by the linear laboratory: d = 20, rank 2, 10 clients whose B*
differ, ten local steps, each number at the step of one grid that is best for it. Floor and rounds in the
limit of many samples. Excess risk over the best shared model is told as a share of the start's.

Privacy floor: what clients' noise adds to that after 120 rounds with 100 samples a client and round, per unit
of σ² at clip 1, from two noises small enough for it to be linear; beside it the σ that is private.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.ratios import by_turns
from federated_lora import Adapter, ClientFactors, Method, aggregate, method_named, method_names
from federation.privacy import Policy
from linear_model.experiment import Experiment
from verification.codec import json_text
from verification.files import write

OUT = Path(__file__).parent.parent / "rolora" / "report" / "methods.json"
SHAPE, CLIENTS, REPEATS = (768, 8, 768), 10, 20
GRID = (0.01, 0.03, 0.1, 0.3)
"""Steps κ = 2η‖B̄*‖²; of a method that preconditions, η = κ."""
COMMON: dict[str, Any] = {
    "d": 20, "clients": 10, "rank": 2, "outputs": 4, "heterogeneity": 0.7, "local_steps": 10, "seed": 1,
}  # fmt: skip
ROUNDS, NEAR = 400, 0.01
NOISE: dict[str, Any] = {"dp_clip": 1.0, "samples": 100, "trials": 20, "rounds": 120}
LEVELS = 0.02, 0.05
EPSILON, DELTA = 8.0, 1e-5


def step_of(method: Method) -> Callable[[], object]:
    """The method's server step in its first round."""
    d_in, rank, d_out = SHAPE
    draw = np.random.default_rng(0).standard_normal
    server = Adapter(draw((d_in, rank)), draw((rank, d_out)))
    stacks: dict[str, Any] = {"A": draw((CLIENTS, d_in, rank)), "B": draw((CLIENTS, rank, d_out))}
    sent = {str(f): stacks[str(f)] for f in method.trainable(1) | method.personal}
    return lambda: aggregate(method, server, ClientFactors(**sent), None, 1)


def cost(name: str) -> float:
    """Server's time over FedAvg-LoRA's."""
    sides = [(step_of(method_named(one, 10)), 20) for one in ("fedavg", name)]
    fedavg, own = by_turns(REPEATS, *sides)
    return own / fedavg


def excess(name: str, size: float, **settings: Any) -> np.ndarray | None:
    """Excess risk of every trial after every round at one step, (trials, rounds + 1); None if it diverges."""
    step: dict[str, Any] = (
        {"eta": size} if method_named(name, ROUNDS).preconditions else {"kappa": size}
    )
    run = Experiment(method=name, **{"rounds": ROUNDS} | COMMON | step | settings)
    try:
        return run.run().excess
    except ValueError as error:
        if "NaN or infinite" not in str(error):
            raise
        return None


def privacy_floor(name: str) -> tuple[float, float]:
    """What is left more for every unit of σ², as a share of the start, and its standard error.

    From two noises on the same samples; at the step where two standard errors above it is least.
    """
    few, more = LEVELS
    found = []
    for size in GRID:
        runs = [excess(name, size, dp_noise=level, **NOISE) for level in LEVELS]
        quiet, loud = (
            None if x is None else x[:, -20:].mean(axis=1) / x[:, 0].mean() for x in runs
        )
        if quiet is not None and loud is not None:
            slopes = (loud - quiet) / (more**2 - few**2)
            found.append((float(slopes.mean()), float(slopes.std(ddof=1) / np.sqrt(slopes.size))))
    return min(found, key=lambda one: one[0] + 2.0 * one[1])


def multiplier() -> float:
    """The noise σ at which all that a client sends in such a run is (ε, δ)-private, by bisection."""
    low, high = 0.1, 1000.0
    while high / low > 1.0 + 1e-6:
        middle = float(np.sqrt(low * high))
        enough = Policy(1.0, middle, DELTA).epsilon(NOISE["rounds"]) <= EPSILON
        low, high = (low, middle) if enough else (middle, high)
    return high


def measured(name: str) -> dict[str, float | int | None]:
    """A method's row, without its cost; None where there is no one model, or it never comes near."""
    if method_named(name, ROUNDS).personal:
        return dict.fromkeys(("floor", "rounds", "private", "private_error"))
    found = [excess(name, size, simulator="population", trials=5) for size in GRID]
    curves = np.array([run.mean(axis=0) for run in found if run is not None])
    shares = curves / curves[:, :1]
    near = [int(np.argmax(row <= NEAR)) for row in shares if row.min() <= NEAR]
    slope, error = privacy_floor(name)
    floor = float(shares[:, -1].min())
    return {
        "floor": floor, "rounds": min(near, default=None), "private": slope, "private_error": error
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what the table of methods says.")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file to write")
    options = parser.parse_args()
    with threadpool_limits(limits=1):
        rows = {name: {"cost": cost(name), **measured(name)} for name in method_names()}
    private = {
        "epsilon": EPSILON,
        "delta": DELTA,
        "rounds": NOISE["rounds"],
        "multiplier": multiplier(),
    }
    write(options.out, json_text({"schema": 2, "private": private, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

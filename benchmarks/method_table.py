"""What the table of methods says beside traffic: the server's cost, and how each fares in the linear model.

    python -m benchmarks.method_table [--out FILE]

Server's cost: time of a server step on a 768 × 768 matrix at rank 8 with 10 clients, over FedAvg-LoRA's by
turns in the same run, one thread. The rest by the linear laboratory: d = 20, rank 2, 10 clients whose B*
differ, ten local steps, each number at the step of one grid that is best for it. Floor and rounds in the
limit of many samples; noise, far too little for privacy, with 100 samples a client and round. Excess risk
over the best shared model is told as a share of the start's.
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
NOISE: dict[str, Any] = {
    "dp_clip": 1.0,
    "dp_noise": 0.02,
    "samples": 100,
    "trials": 20,
    "rounds": 120,
}


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


def excess(name: str, **settings: Any) -> np.ndarray:
    """Mean excess risk after every round at every step that does not diverge, (steps, rounds + 1)."""
    curves = []
    for size in GRID:
        step: dict[str, Any] = (
            {"eta": size} if method_named(name, ROUNDS).preconditions else {"kappa": size}
        )
        run = Experiment(method=name, **{"rounds": ROUNDS} | COMMON | step | settings)
        try:
            curves.append(run.run().excess.mean(axis=0))
        except ValueError as error:
            if "NaN or infinite" not in str(error):
                raise
    return np.array(curves)


def measured(name: str) -> dict[str, float | int | None]:
    """A method's row, without its cost; None where there is no one model, or it never comes near."""
    if method_named(name, ROUNDS).personal:
        return {"floor": None, "rounds": None, "private": None}
    curves = excess(name, simulator="population", trials=5)
    shares = curves / curves[:, :1]
    near = [int(np.argmax(row <= NEAR)) for row in shares if row.min() <= NEAR]
    noisy = excess(name, **NOISE)
    tail = (noisy[:, -20:] / noisy[:, :1]).mean(axis=1)
    floor = float(shares[:, -1].min())
    return {"floor": floor, "rounds": min(near, default=None), "private": float(tail.min())}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what the table of methods says.")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file to write")
    options = parser.parse_args()
    with threadpool_limits(limits=1):
        rows = {name: {"cost": cost(name), **measured(name)} for name in method_names()}
    write(options.out, json_text({"schema": 1, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

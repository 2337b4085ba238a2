"""How fast the non-linear study's stacked engine is, as ratios measured in one run.

    python -m benchmarks.nonlinear [--out FILE] [--repeats K] [--flower PYTHON]

The baseline is the literal loop over clients (autograd, torch.optim), on 2 threads like ours. With
`--flower PYTHON`, an interpreter with `flwr[simulation]` and torch, the same round also runs in Flower's
simulation engine on Ray. The data are random numbers of MNIST's shape, so no files are needed. Exit status 1
if a requirement does not hold.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.ratios import Case, by_turns, told
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.dataset import Dataset
from nonlinear_model.training import all_at_once, one_by_one
from nonlinear_model.training.federation import Engine, Federation

DEFAULT_OUT = Path(__file__).parent / "results" / "nonlinear.json"
CLIENTS = (1, 5, 10, 50, 200)
REQUIRED = {1: 0.9, 50: 3.5}
STEPS, BATCH, RANK, HIDDEN = 10, 32, 16, 200
THREADS = 2
FLOWER_ROUNDS = 12


def data() -> Dataset:
    """Random images of MNIST's shape: a step costs the same whatever the pixels say."""
    rng = np.random.default_rng(0)
    x = rng.random((60_000, 784), dtype=np.float32)
    y = np.arange(60_000) % 10
    return Dataset("mnist", x, y, x[:100], y[:100])


def peak() -> float:
    """Multiply–adds a second of a large float32 matrix product, the fastest of five."""
    n = 2048
    a, b = torch.randn(n, n), torch.randn(n, n)
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begin)
    return n**3 / best


def multiplies(clients: int, method: str) -> float:
    """Multiply–adds of one local step of all clients, in the mean over a B-round and an A-round."""
    first, second, third = 784 * RANK, RANK * HIDDEN, HIDDEN * 10
    # Forward, back through W_out, then: B's gradient; back through B and A's gradient.
    forward = first + second + third
    for_A, for_B = second + first, second
    each: dict[str, float] = {"fedavg": forward + third + for_A + for_B}
    each["rolora"] = forward + third + (for_A + for_B) / 2
    return clients * BATCH * each[method]


def rounds(dataset: Dataset, method: str, clients: int, engine: Engine) -> Callable[[], object]:
    """Two rounds of local training, averaging included, nothing tracked."""
    config = Configuration(
        dataset="mnist", method=method, clients=clients, split="iid", equal_sizes=True,
        rounds=10**6, local_steps=STEPS, batch_size=BATCH, probe=0, evaluate_every=10**6,
        learning_rate=0.01,
    )  # fmt: skip
    federation = Federation(config, dataset, engine=engine)

    def two() -> None:
        federation.step()
        federation.step()

    return two


def loop_cases(dataset: Dataset, repeats: int, speed: float) -> list[Case]:
    cases = []
    for method in ("fedavg", "rolora"):
        for clients in CLIENTS:
            sides = (
                (rounds(dataset, method, clients, one_by_one.train), 2 * STEPS),
                (rounds(dataset, method, clients, all_at_once.train), 2 * STEPS),
            )
            slow, fast = by_turns(repeats if clients < 200 else max(1, repeats // 3), *sides)
            cases.append(
                Case(
                    name=f"{method}, N={clients}: stacked against the loop over clients",
                    unit="local step of all clients",
                    baseline=f"loop over clients, autograd, torch.optim.SGD, {THREADS} threads",
                    ours=f"stacked engine, {THREADS} threads; sampling and averaging included in both",
                    baseline_seconds=slow,
                    ours_seconds=fast,
                    required=REQUIRED.get(clients),
                    floor="the step's multiply–adds at the speed of a 2048 × 2048 float32 product",
                    floor_seconds=multiplies(clients, method) / speed,
                )
            )
    return cases


def one_thread_round(dataset: Dataset, clients: int) -> float:
    """Seconds of the fastest FedAvg round on one thread: Flower's actors have one each."""
    torch.set_num_threads(1)
    (seconds,) = by_turns(40, (rounds(dataset, "fedavg", clients, all_at_once.train), 2))
    torch.set_num_threads(THREADS)
    return seconds


def flower_case(dataset: Dataset, python: str, speed: float) -> Case:
    """The same round on the same cores: two one-thread actors there, one thread here."""
    clients = 10
    script = Path(__file__).parent / "flower_round.py"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seconds.json"
        settings: dict[str, object] = {
            "clients": clients, "steps": STEPS, "batch": BATCH, "rank": RANK, "hidden": HIDDEN,
            "rounds": FLOWER_ROUNDS, "actors": THREADS, "out": str(out),
        }  # fmt: skip
        head = np.random.default_rng(1).standard_normal((HIDDEN, 10), dtype=np.float32)
        arrays = {"images": dataset.train_x, "labels": dataset.train_y, "head": head / HIDDEN**0.5}
        for name, value in arrays.items():
            path = Path(folder) / f"{name}.npy"
            np.save(path, value)
            settings[name] = str(path)
        before = one_thread_round(dataset, clients)
        done = subprocess.run([python, str(script), json.dumps(settings)], check=False)
        if done.returncode:
            raise SystemExit(f"Flower's round failed with exit status {done.returncode}")
        found = json.loads(out.read_text())
        ours = min(before, one_thread_round(dataset, clients))
    return Case(
        name=f"fedavg, N={clients}: stacked round against Flower's simulation engine",
        unit="round",
        baseline=f"Flower {found['flwr']} on Ray {found['ray']}: the same clients, images, batch, local"
        f" steps and averaging, {THREADS} actors of one thread on {THREADS} cores; fastest round of"
        f" {FLOWER_ROUNDS - 1}, from one aggregation to the next, so without Ray's start, the first"
        " round and evaluation",
        ours="stacked engine on one thread of the same machine; drawing of batches, checks and averaging"
        " included, evaluation not; fastest round of about a second before and a second after Flower's",
        baseline_seconds=found["seconds"],
        ours_seconds=ours,
        required=10.0,
        floor="the round's multiply–adds at the speed of a 2048 × 2048 float32 product",
        floor_seconds=STEPS * multiplies(clients, "fedavg") / speed,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--flower", help="an interpreter with flwr[simulation] and torch")
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    dataset, speed = data(), peak()
    cases = loop_cases(dataset, given.repeats, speed)
    if given.flower:
        cases.append(flower_case(dataset, given.flower, speed))
    status = told("Non-linear study", given.out, cases, threads=THREADS)
    print(f"Matrix product: {2 * speed / 1e9:.0f} GFLOP/s on {THREADS} threads")
    for case in cases:
        if "N=50:" in case.name:
            share = case.floor_seconds / case.ours_seconds
            print(f"{case.name}: {share:.0%} of the matrix product's speed")
    return status


if __name__ == "__main__":
    sys.exit(main())

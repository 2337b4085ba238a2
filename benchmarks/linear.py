"""How fast the linear model's simulators are, as ratios measured in one run.

    python -m benchmarks.linear [--out FILE] [--repeats K]

Every case times a plain numpy baseline and ours by turns, one thread each, and keeps the fastest of the
repetitions of either. Beside each stands its floor: the time this machine needs for the random numbers or
the bytes alone. Exit status 1 if a requirement does not hold.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.ratios import Case, by_turns, told
from federated_lora import Shape
from linear_model import Algorithm2, GramSimulator, Problem, simulate
from linear_model.methods.algorithm2 import orthonormalised
from linear_model.methods.base import State
from linear_model.simulators.gram import bartlett_root
from linear_model.simulators.moments import GramClients, RootClients

DEFAULT_OUT = Path(__file__).parent / "results" / "linear.json"
KAPPA = 0.5
UNIT, LITERAL = "round and trial", "numpy loop over clients on fresh X, both half-steps"


def literal_round(
    rng: np.random.Generator, a: np.ndarray, a_star: np.ndarray, clients: int, samples: int
) -> np.ndarray:
    """One round of Algorithm 2 with b* = 1, client by client on literal samples, fresh in each half."""
    d = a.size
    fitted = []
    for _ in range(clients):
        X = rng.standard_normal((samples, d))
        y, image = X @ a_star, X @ a
        fitted.append(image @ y / (image @ image))
    b = np.mean(fitted)
    gradients = []
    for _ in range(clients):
        X = rng.standard_normal((samples, d))
        residual = X @ (a * b - a_star)  # X a b − y with one product less: kind to the baseline
        gradients.append(X.T @ residual * (2.0 * b / samples))
    moved = a - KAPPA / 2.0 * np.mean(gradients, axis=0)
    return moved / np.linalg.norm(moved)


def chain_cases(repeats: int) -> list[Case]:
    clients, samples, d, trials, rounds = 10, 2000, 200, 16_384, 20
    rng = np.random.default_rng(0)
    a_star, a = np.eye(d)[0], orthonormalised(rng.standard_normal((d, 1)))[:, 0]
    method, block = Algorithm2(kappa=KAPPA), 4096

    def chain(width: int, many: int) -> Callable[[], object]:
        problem = Problem(d=width, clients=clients, samples=many)
        return lambda: simulate(problem, method, simulator="chain", rounds=rounds, trials=trials)

    def numbers() -> None:
        for _ in range(trials // block):
            rng.standard_gamma(0.5 * samples, (block, clients))
            rng.standard_gamma(0.5 * samples * clients, block)
            rng.standard_gamma(0.5 * d, block)
            rng.standard_normal((block, 2))

    loop, small, large, floor = by_turns(
        repeats,
        (lambda: literal_round(rng, a, a_star, clients, samples), 1),
        (chain(d, samples), trials * rounds),
        (chain(10**6, 10**7), trials * rounds),
        (numbers, trials),
    )
    what = f"{clients} + 2 gamma and 2 normal numbers per trial-round"
    name = f"chain against literal loop, N={clients}, m={samples}, d={d}"
    ours = f"simulate(simulator='chain'), {trials} trials × {rounds} rounds, all included"
    one, other = "chain at d=200, m=2000", "chain at d=10⁶, m=10⁷"
    sizes = (f"{other} against {one}", UNIT, one, other)
    return [
        Case(name, UNIT, LITERAL, ours, loop, small, 10_000.0, what, floor),
        Case(*sizes, small, large, 1.5, what, floor, at_most=True),
    ]


def setup_cases(repeats: int) -> list[Case]:
    samples, d, clients = 2000, 200, 10
    rng = np.random.default_rng(1)
    A_star, B_star = np.eye(d, 1), np.ones((1, 1, 1, 1))

    def samples_then_gram() -> None:
        for _ in range(clients):
            X = rng.standard_normal((samples, d))
            X.T @ X / samples

    def root() -> RootClients:
        drawn = bartlett_root(rng, samples, d, (1, clients))
        drawn /= np.sqrt(samples)
        return RootClients(A_star, B_star, None, drawn)

    literal, rooted, formed, floor = by_turns(
        repeats * 3,
        (samples_then_gram, clients),
        (root, clients),
        (lambda: root().formed(), clients),
        (lambda: rng.standard_normal((clients, d * (d + 1) // 2)), clients),
    )
    words, least = ("client", "draw X, form XᵀX/m"), f"{d * (d + 1) // 2} normal numbers"
    at = f"m={samples}, d={d}"
    return [
        Case(f"gram set-up{kind}, {at}", *words, ours, literal, seconds, 8.0, least, floor)
        for kind, ours, seconds in (
            (" with G formed", "Bartlett root R, then G = RᵀR", formed),
            (", root only", "Bartlett root R with RᵀR = G, as rounds on fresh data use it", rooted),
        )
    ]


class Held:
    """Samples that are at hand: half-steps on fixed data, of a method that asks nobody by name."""

    who = np.empty((0, 0), dtype=np.int64)
    clients = 0

    def __init__(self, batch: GramClients) -> None:
        self._batch = batch
        self.shape = Shape(batch.gram.shape[-1], 1, 1)

    def batch(self) -> GramClients:
        """The samples at hand."""
        return self._batch


def loop_round(gram: np.ndarray, A: np.ndarray, a_star: np.ndarray) -> np.ndarray:
    """The same round as a Python loop over trials and clients, with b* = 1."""
    moved = np.empty_like(A)
    for trial, (matrices, a) in enumerate(zip(gram, A, strict=True)):
        fitted = []
        for G in matrices:
            image = G @ a
            fitted.append((image @ a_star) / (image @ a))
        b = np.mean(fitted)
        gradient = np.zeros_like(a)
        residual = a * b - a_star
        for G in matrices:
            gradient += G @ residual
        step = a - KAPPA * b / len(matrices) * gradient
        moved[trial] = step / np.sqrt(step @ step)
    return moved


def batched_rounds(method: Algorithm2, state: State, batch: GramClients, count: int) -> None:
    """The same round so many times, all trials and clients at once."""
    for _ in range(count):
        method.round(state, Held(batch), 1, KAPPA / 2)


def round_cases(repeats: int) -> list[Case]:
    clients, samples = 100, 2000
    cases = []
    for d, trials, required in ((20, 16, 20.0), (20, 1, None), (10, 16, None), (50, 16, None)):
        rng = np.random.default_rng(d)
        A_star, B_star = np.eye(d, 1), np.ones((1, 1, 1, 1))
        root = bartlett_root(rng, samples, d, (trials, clients)) / np.sqrt(samples)
        batch = RootClients(A_star, B_star, None, root).formed()
        A = orthonormalised(rng.standard_normal((trials, d, 1)))
        method, state = Algorithm2(eta=KAPPA / 2), State(A, np.zeros((trials, 1, 1)), np.zeros(1))
        ours = method.round(state, Held(batch), 1, KAPPA / 2).A[..., 0]
        if not np.allclose(ours, loop_round(batch.gram, A[..., 0], A_star[:, 0]), atol=1e-12):
            raise RuntimeError("the baseline and the batched round differ")
        inner = max(1, 32 // trials)

        loop, many, floor = by_turns(
            repeats * 3,
            (partial(loop_round, batch.gram, A[..., 0], A_star[:, 0]), trials),
            (partial(batched_rounds, method, state, batch, inner), trials * inner),
            (batch.gram.sum, trials),
        )
        name = f"gram rounds, N={clients}, d={d}, {trials} trial{'s' if trials > 1 else ''}"
        slow = "Python loop over clients, G_i at hand"
        fast = "one batched round, G_i at hand (their mean is formed once for all rounds)"
        least = f"read {clients} · {d}² float64 = {8 * clients * d * d} bytes once"
        cases.append(Case(name, UNIT, slow, fast, loop, many, required, least, floor))
    return cases


def fresh_round_case(repeats: int) -> Case:
    """For information: whole rounds of `gram` on fresh data against the literal samples."""
    problem = Problem(d=200, clients=10, samples=2000)
    rng = np.random.default_rng(3)
    a_star, a = np.eye(200)[0], orthonormalised(rng.standard_normal((200, 1)))[:, 0]
    count = 2 * 10 * 200 * 201 // 2
    options: dict[str, Any] = {"simulator": GramSimulator(), "rounds": 5, "trials": 2}
    literal, ours, floor = by_turns(
        repeats,
        (lambda: literal_round(rng, a, a_star, 10, 2000), 1),
        (lambda: simulate(problem, Algorithm2(kappa=KAPPA), **options), 10),
        (lambda: rng.standard_normal(count), 1),
    )
    name = "gram rounds on fresh data against literal loop, N=10, m=2000, d=200"
    words = "simulate(simulator='gram'), 2 trials × 5 rounds, all included"
    least = f"{count} normal numbers"
    return Case(name, UNIT, LITERAL, words, literal, ours, None, least, floor)


def main() -> int:
    parser = argparse.ArgumentParser(description="Time the linear model's simulators.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="JSON file to write")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions of each side")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    with threadpool_limits(limits=1):
        cases = [
            *chain_cases(options.repeats),
            *setup_cases(options.repeats),
            *round_cases(options.repeats),
            fresh_round_case(options.repeats),
        ]
    return told("Linear model, fastest of the repetitions, one thread", options.out, cases)


if __name__ == "__main__":
    sys.exit(main())

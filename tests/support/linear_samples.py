"""The samples of the linear model's `data` simulator, and their gradients, with nothing but numpy."""

from __future__ import annotations

import numpy as np

from linear_model import Batches, Data, Problem
from linear_model.simulators.data import draw_samples
from verification.streams import generator

SEED, ROUNDS, TRIALS = 4, 5, 3


class Samples:
    """The literal samples of each half-step, one list entry a client."""

    def __init__(self, problem: Problem, *axes: str) -> None:
        self.problem = problem
        self.rng = generator(SEED, *axes, "data samples", 0)
        self.who_rng = generator(SEED, *axes, "participants", 0)
        self.fixed = self.draw(problem.clients) if problem.data is Data.FIXED else None

    def draw(self, clients: int) -> tuple[np.ndarray, np.ndarray | None]:
        return draw_samples(self.problem, self.rng, TRIALS, clients)

    def begin(self) -> None:
        problem = self.problem
        self.who = [list(range(problem.clients))] * TRIALS
        if problem.active < problem.clients:
            keys = self.who_rng.random((TRIALS, problem.clients))
            self.who = [sorted(np.argsort(row)[: problem.active].tolist()) for row in keys]
        self.now = None

    def half_step(self) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        problem = self.problem
        if self.now is not None and problem.batches is Batches.SHARED:
            return self.now
        X, E = self.fixed or self.draw(problem.active)
        self.now = []
        for trial in range(TRIALS):
            pairs = []
            for place, client in enumerate(self.who[trial]):
                row = client if self.fixed else place
                x = X[trial, row]
                y = x @ problem.A_star @ problem.B_star[client]
                pairs.append((x, y if E is None else y + E[trial, row]))
            self.now.append(pairs)
        return self.now


def of_A(x, y, A, B):
    return 2 / len(x) * x.T @ (x @ A @ B - y) @ B.T


def of_B(x, y, A, B):
    return 2 / len(x) * (x @ A).T @ (x @ A @ B - y)

"""Runs of every method under one hardship at a time, on clients small enough to run them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from federated_lora import Shape, method_named
from federation.privacy import Policy
from linear_model.clients import ClientBatch
from linear_model.methods.base import State
from linear_model.methods.local_steps import LocalSteps
from linear_model.simulators.moments import GramClients
from linear_model.simulators.samples import SampleClients

WIDTH, CLIENTS, ETA, SINE = 4, 4, 0.25, 0.6
A_STAR = np.eye(WIDTH, 1)
TARGETS = np.array([[1.5, 0.4, 0.0], [0.7, -0.5, 0.3], [1.2, 0.1, -0.6], [0.6, 0.0, 0.3]])[:, None]
"""b_i*, (N, 1, p), of lengths from 0.67 to 1.55 and mean (1, 0, 0)."""
MEAN = TARGETS.mean(axis=0)
START = np.array([np.sqrt(1.0 - SINE**2), SINE, 0.0, 0.0])[:, None]
CLIP = 1e3
"""Of privacy: a bound that no update reaches."""
LONGER = {"la-lora": 2, "flora": 2}
"""Methods of which one local step a round leaves A where it is."""


@dataclass(frozen=True)
class Hardship:
    """What makes it hard.

    Attributes:
        differ: whether the b_i* differ.
        steps: local steps a round; `LONGER` has the least.
        shift: whether the clients' features have covariances of their own.
        samples: fresh ones a client and round; 0 for infinitely many.
        noise: of the labels.
        privacy: standard deviation of the noise on every number sent.
        active: clients that take part in a round.
    """

    differ: bool = True
    steps: int = 1
    shift: bool = False
    samples: int = 0
    noise: float = 0.0
    privacy: float = 0.0
    active: int = CLIENTS

    @property
    def random(self) -> bool:
        """Whether runs differ."""
        return bool(self.samples or self.privacy) or self.active < CLIENTS

    @cached_property
    def targets(self) -> np.ndarray:
        """b_i*, (N, 1, p)."""
        return TARGETS if self.differ else np.broadcast_to(MEAN, TARGETS.shape)

    @cached_property
    def covariances(self) -> np.ndarray:
        """S_i, (N, d, d)."""
        if not self.shift:
            return np.broadcast_to(np.eye(WIDTH), (CLIENTS, WIDTH, WIDTH))
        square = np.cos(np.arange(CLIENTS * WIDTH**2) ** 2)  # of rank 4, where cos k has rank 2
        axes = np.linalg.qr(square.reshape(-1, WIDTH, WIDTH)).Q
        return np.asarray((axes * np.array([1.4, 1.1, 0.8, 0.5])) @ np.swapaxes(axes, 1, 2))


@dataclass
class Samples:
    """The samples of the round at hand, as `linear_model.methods.base.Rounds` and `Noisy`."""

    hardship: Hardship
    rng: np.random.Generator
    trials: int
    clients: int = CLIENTS
    shape: Shape = field(default_factory=lambda: Shape(WIDTH, 1, MEAN.shape[-1]))
    who: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.who = np.tile(np.arange(CLIENTS), (self.trials, 1))

    def begin(self) -> None:
        """Draw who takes part."""
        active = self.hardship.active
        if active < CLIENTS:
            keys = self.rng.random((self.trials, CLIENTS))
            self.who = np.sort(np.argsort(keys, axis=1)[:, :active], axis=1)

    def batch(self) -> ClientBatch:
        """New samples, or infinitely many."""
        hard, B = self.hardship, self.hardship.targets[self.who]
        if not hard.samples:
            return GramClients(A_STAR, B, None, hard.covariances[self.who])
        X = self.rng.standard_normal((*self.who.shape, hard.samples, WIDTH))
        E = self.rng.standard_normal((*self.who.shape, hard.samples, MEAN.shape[-1]))
        return SampleClients(X, X @ A_STAR @ B + hard.noise * E)

    def noise(self, _number: int, _client: int) -> np.random.Generator:
        """The source of a client's own noise."""
        return self.rng


def states(
    name: str,
    hardship: Hardship,
    rng: np.random.Generator,
    trials: int,
    rounds: int,
    eta: float = ETA,
) -> Iterator[State]:
    """The server's state after each round, from the same unit A at angle `SINE` and B = 0."""
    rule = method_named(name, rounds)
    steps = max(hardship.steps, LONGER.get(rule.name, 1))
    privacy = Policy(CLIP, hardship.privacy / CLIP) if hardship.privacy else None
    method = LocalSteps(rule, eta=eta, local_steps=steps, privacy=privacy)
    A = np.broadcast_to(START, (trials, WIDTH, 1))
    state = State(A, np.zeros((trials, 1, MEAN.shape[-1])), np.zeros(trials))
    samples = Samples(hardship, rng, trials)
    for number in range(1, rounds + 1):
        samples.begin()
        state = method.round(state, samples, number, eta)
        yield state


def run(
    name: str, hardship: Hardship, rng: np.random.Generator, trials: int, rounds: int, last: int
) -> np.ndarray:
    """Excess risk, the mean over the last rounds of each trial, and as many before halfway: (2, trials).

    Over the best shared model; for a method with personal factors over the best personal ones. Infinite if it
    diverges.
    """
    excess, found = excess_over_best(hardship), np.zeros((2, trials))
    half = rounds // 2
    before = min(last, half)
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            for number, state in enumerate(states(name, hardship, rng, trials, rounds), 1):
                if number > rounds - last:
                    found[0] += excess(state) / last
                if half - before < number <= half:
                    found[1] += excess(state) / before
        except ValueError as error:
            if "NaN or infinite" not in str(error):
                raise
            return np.full((2, trials), np.inf)
    return found


def excess_over_best(hardship: Hardship) -> Callable[[State], np.ndarray]:
    """The mean risk over the clients of a state's models, less the best there is, (trials,)."""
    truth, S = A_STAR @ hardship.targets, hardship.covariances
    mean = S.mean(axis=0)
    centre = np.linalg.solve(mean, (S @ truth).mean(axis=0))
    root = np.linalg.cholesky(mean).T
    U, sigma, Vt = np.linalg.svd(root @ centre)
    best = np.linalg.solve(root, sigma[0] * U[:, :1] @ Vt[:1])

    def risk(models: np.ndarray) -> np.ndarray:
        gaps = models - truth
        return np.asarray((gaps * (S @ gaps)).sum(axis=(-2, -1)).mean(axis=-1))

    shared = float(risk(best))

    def excess(state: State) -> np.ndarray:
        models = state.every_A @ state.every_B
        if state.W is not None:
            models = models + state.W[:, None]
        personal = state.own_A is not None or state.own_B is not None
        return risk(models) - (0.0 if personal else shared)

    return excess

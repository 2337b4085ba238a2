"""What a method is to the simulators that work on vectors."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from federated_lora import Factor, Shape, Traffic
from federation.controls import Controls
from federation.sent import Exchange, Sent, tensor_name
from linear_model.clients import ClientBatch, solve
from linear_model.problem import Problem

LAYER = "model"
"""Name of the one adapted matrix."""
NAMES = {factor: tensor_name(LAYER, factor) for factor in Factor}


@dataclass(frozen=True, eq=False)
class State:
    """The model in all trials: the server's factors, and what has been set apart from them.

    Attributes:
        A: (T, d, r).
        B: (T, r, p).
        aggregation_error: ||A B − mean_i A_i B_i||_F of the last server step, (T,).
        W: what was merged into the frozen matrix so far, (T, d, p), or None: the model is W + A B.
        own_A: every client's own A, (T, N, d, r), or None if A is shared.
        own_B: every client's own B, (T, N, r, p), or None if B is shared.
        controls: control variates of A and B, stacks (T, N, …), or None if the method has none.
        memory: what the rule remembers between rounds, (T, …), or None.
        exchange: what the last round moved; None at the start.
    """

    A: np.ndarray
    B: np.ndarray
    aggregation_error: np.ndarray
    W: np.ndarray | None = None
    own_A: np.ndarray | None = None
    own_B: np.ndarray | None = None
    controls: Controls | None = None
    memory: np.ndarray | None = None
    exchange: Exchange | None = None

    @property
    def plain(self) -> bool:
        """True if A B is the model of every client."""
        return self.W is None and self.own_A is None and self.own_B is None

    @property
    def every_A(self) -> np.ndarray:
        """The clients' A, (T, N or 1, d, r)."""
        return self.A[:, None] if self.own_A is None else self.own_A

    @property
    def every_B(self) -> np.ndarray:
        """The clients' B, (T, N or 1, r, p)."""
        return self.B[:, None] if self.own_B is None else self.own_B


class Rounds(Protocol):
    """The samples of the round at hand."""

    def batch(self) -> ClientBatch:
        """Samples of the next half-step: new ones, or the same, as the problem says."""

    @property
    def who(self) -> np.ndarray:
        """The clients that take part in each trial, (T, n)."""

    @property
    def clients(self) -> int:
        """Number of clients N."""

    @property
    def shape(self) -> Shape:
        """The problem's d, r and p; a simulator may work in fewer coordinates than are sent."""


@runtime_checkable
class Noisy(Protocol):
    """The rounds of a simulator, in which clients may add noise to what they send."""

    def noise(self, number: int, client: int) -> np.random.Generator:
        """The stream of a client's noise in round `number`, for all trials."""


class LinearMethod(Protocol):
    """A method on the linear model."""

    @property
    def name(self) -> str:
        """Key in results and on the command line."""

    @property
    def orthonormal(self) -> bool:
        """True if A keeps orthonormal columns."""

    def step(self, problem: Problem) -> float:
        """The step size η on this problem (NaN if the method has none); refuses bad options."""

    def first_B(self, problem: Problem) -> np.ndarray:
        """B before the first round, (r, p)."""

    def round(self, state: State, rounds: Rounds, number: int, eta: float) -> State:
        """The server's state after round `number`, counting from 1."""

    def nothing_sent(self, problem: Problem, replicas: int) -> Sent:
        """The count of numbers sent, before the first round."""


def shape_of(problem: Problem) -> Shape:
    """d, r and p."""
    return Shape(problem.d, problem.rank, problem.outputs)


def solved(shape: Shape, *, pooled: bool) -> Exchange:
    """What least squares in B moves: B each way, and pooled the r × r Gram matrix up (theory-2.md E1)."""
    B = shape.numbers(Factor.B)
    return Exchange(Traffic(B + pooled * shape.rank**2, B), frozenset({NAMES[Factor.B]}))


class FromZero:
    """A method that starts from B = 0, as LoRA usually does."""

    def first_B(self, problem: Problem) -> np.ndarray:
        """B before the first round, (r, p)."""
        return np.zeros((problem.rank, problem.outputs))

    def nothing_sent(self, problem: Problem, replicas: int) -> Sent:
        """The count of numbers sent, before the first round, of A and B."""
        sizes = {NAMES[f]: shape_of(problem).numbers(f) for f in Factor}
        return Sent.nothing(sizes, problem.clients, replicas=replicas)


def fitted(batch: ClientBatch, A: np.ndarray, *, pooled: bool) -> np.ndarray:
    """B by least squares for a shared A, (T, r, p): the mean of the clients' own, or one over all samples."""
    if not pooled:
        return batch.fit(A).mean(axis=1)
    square, right = batch.normal(A)
    return solve(square.mean(axis=1), right.mean(axis=1))


def require_fits(problem: Problem, *, pooled: bool) -> None:
    """Refuse least squares on so few samples that the mean of what it fits is infinite.

    Samples (of all clients if pooled) must exceed rank + 1, where E[(ZᵀZ)⁻¹] exists.
    """
    samples, whose = problem.samples, "samples"
    if pooled:
        samples, whose = problem.active * problem.samples, "clients × samples"
    if samples <= problem.rank + 1:
        raise ValueError(
            f"{whose} must exceed rank + 1 = {problem.rank + 1}, or the expected error of least squares"
            f" is infinite, got {samples}"
        )

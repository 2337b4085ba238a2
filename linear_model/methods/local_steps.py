"""The practical methods: K local gradient steps on the factors a federated_lora method trains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import federated_lora
from federated_lora import Adapter, ClientFactors, Factor
from linear_model.clients import ClientBatch
from linear_model.methods.base import Rounds, State, zero_B
from linear_model.problem import Problem, step_size


@dataclass(frozen=True, eq=False)
class LocalSteps:
    """Clients take K gradient steps on their samples of the round; the method's rule combines them.

    Nothing is normalised. RoLoRA's round trains one factor, B in odd rounds, A in even ones.

    Attributes:
        method: a federated_lora method or its name ("rolora", "fedavg", "ffa").
        eta: local step size on the true gradient, factor 2 included; give this or
        kappa: the dimensionless step 2 η ||B̄*||².
        local_steps: K ≥ 1.
        B: first B, (rank, p); None for zeros.

    Raises:
        ValueError: on an unknown method or K < 1.
    """

    method: federated_lora.Method | str = "rolora"
    eta: float | None = None
    kappa: float | None = None
    local_steps: int = 1
    B: np.ndarray | None = None

    def __post_init__(self) -> None:
        if isinstance(self.method, str):
            object.__setattr__(self, "method", federated_lora.method_named(self.method))
        K = self.local_steps
        if isinstance(K, bool) or not isinstance(K, (int, np.integer)) or K < 1:
            raise ValueError(f"local_steps must be an integer of at least 1, got {K!r}")

    @property
    def rule(self) -> federated_lora.Method:
        """The federated_lora method."""
        assert not isinstance(self.method, str)  # resolved by __post_init__
        return self.method

    @property
    def name(self) -> str:
        """The federated_lora method's name."""
        return self.rule.name

    @property
    def orthonormal(self) -> bool:
        """A is not kept orthonormal."""
        return False

    def step(self, problem: Problem) -> float:
        """η. Raises ValueError unless exactly one of eta and kappa is given, finite and positive."""
        return step_size(problem, eta=self.eta, kappa=self.kappa)

    def first_B(self, problem: Problem) -> np.ndarray:
        """The given B, or zero. Raises ValueError on a wrong shape or a non-finite entry."""
        if self.B is None:
            return zero_B(problem)
        B = np.array(self.B, dtype=np.float64)
        if B.shape != (problem.rank, problem.outputs):
            raise ValueError(
                f"B must have shape (rank, p) = {(problem.rank, problem.outputs)}, got {B.shape}"
            )
        if not np.all(np.isfinite(B)):
            raise ValueError("B must be finite, got a NaN or infinite entry")
        return B

    def round(self, state: State, rounds: Rounds, number: int, eta: float) -> State:
        """K local steps from the server's factors on one batch, then the method's rule.

        Raises:
            ValueError: if a client diverges to a NaN or infinite value (it is named).
        """
        trained = self.rule.trainable(number)
        A, B = self._local(state, rounds.batch(), trained, eta)
        clients = ClientFactors(
            A=np.moveaxis(A, 1, 0) if Factor.A in trained else None,
            B=np.moveaxis(B, 1, 0) if Factor.B in trained else None,
        )
        try:
            result = self.rule.aggregate(Adapter(state.A, state.B), clients, None, number)
        except ValueError as error:
            raise ValueError(f"round {number} with step size {eta:g}: {error}") from error
        return State(result.adapter.A, result.adapter.B, np.asarray(result.aggregation_error))

    def _local(
        self, state: State, batch: ClientBatch, trained: frozenset[Factor], eta: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Every client's factors after K steps; a factor that is not trained keeps client axis 1."""
        A, B = state.A[:, None], state.B[:, None]
        if Factor.A not in trained:
            square, right = batch.normal(state.A)
            for _ in range(self.local_steps):
                B = B - 2.0 * eta * (square @ B - right)
            return A, B
        for _ in range(self.local_steps):
            of_A, of_B = batch.gradients(A, B, of_B=Factor.B in trained)
            A = A - eta * of_A
            if of_B is not None:
                B = B - eta * of_B
        return A, B

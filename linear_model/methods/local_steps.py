"""The practical methods: K local gradient steps on the factors a federated_lora method trains."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

import federated_lora
from federated_lora import Adapter, ClientFactors, Factor, Shape, added, aggregate, dense
from federation.controls import Controls
from federation.privacy import Policy
from federation.ranks import cut, require_ranks
from federation.sent import Sent, control_name, exchanged
from linear_model.clients import ClientBatch
from linear_model.methods.base import LAYER, NAMES, FromZero, Noisy, Rounds, State, shape_of
from linear_model.problem import Problem, step_size


@dataclass(frozen=True, eq=False)
class LocalSteps(FromZero):
    """Clients take K gradient steps on their samples of the round; the method's rule combines them.

    A client's model is W + A B: it fits `Y_i − X_i W`, W what the rule has merged into the frozen
    matrix (0 at the start), with its own A or B where the rule says they are personal.
    Nothing is normalised. RoLoRA's round trains one factor, B in odd rounds, A in even ones.

    Attributes:
        method: a federated_lora method or its name ("rolora", "fedavg", "ffa").
        eta: local step size on the true gradient, factor 2 included; give this or
        kappa: the dimensionless step 2 η ||B̄*||².
        local_steps: K ≥ 1.
        B: first B, (rank, p); None for zeros.
        privacy: what clients do to their updates before they send them; None for nothing.
        ranks: LoRA rank of each client; the problem's for all if empty.
    """

    method: federated_lora.Method | str = "rolora"
    eta: float | None = None
    kappa: float | None = None
    local_steps: int = 1
    B: np.ndarray | None = None
    privacy: Policy | None = None
    ranks: tuple[int, ...] = ()
    orthonormal: ClassVar[bool] = False
    """A is not kept orthonormal."""

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

    def step(self, problem: Problem) -> float:
        """η.

        Raises:
            ValueError: unless exactly one of eta and kappa is given, finite and positive; on ranks that
                are not one for each client, or not for the method.
        """
        require_ranks(self.rule, self.ranks, problem.clients, problem.rank)
        return step_size(problem, eta=self.eta, kappa=self.kappa)

    def first_B(self, problem: Problem) -> np.ndarray:
        """The given B, or zero. Raises ValueError on a wrong shape or a non-finite entry."""
        if self.B is None:
            return super().first_B(problem)
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

        Raises ValueError if a client diverges to a NaN or infinite value (it is named).
        """
        trained = self.rule.trainable(number)
        sent = trained | self.rule.personal
        state = self._apart(state, rounds.clients)
        batch = rounds.batch() if state.W is None else rounds.batch().shifted(state.W)
        at = np.arange(len(rounds.who))[:, None], rounds.who
        begun = {
            Factor.A: state.A[:, None] if state.own_A is None else state.own_A[at],
            Factor.B: state.B[:, None] if state.own_B is None else state.own_B[at],
        }
        begun = {f: self._cut(f, x, rounds.who) for f, x in begun.items()}
        controls = self._controls(state, rounds.clients)
        corrections = controls.corrections(rounds.who, map(str, trained))
        A, B = begun[Factor.A], begun[Factor.B]
        shape = self.rule.preconditioner(Adapter(state.A, state.B), number)
        A, B = self._local(A, B, batch, number, eta, corrections, shape)
        made: dict[Factor, Any] = {Factor.A: A, Factor.B: B}
        for f in trained:  # one a client, even of a factor that no step of the round moved
            made[f] = np.broadcast_to(made[f], (*rounds.who.shape, *made[f].shape[2:]))
        if self.privacy is not None:
            assert isinstance(rounds, Noisy)  # as every simulator's are
            leaving = {str(f): made[f] for f in trained - self.rule.personal}
            received = {str(f): x for f, x in begun.items()}
            stream = partial(rounds.noise, number)
            private = self.privacy.sent(leaving, received, rounds.who, stream)
            made |= {f: self._cut(f, private[str(f)], rounds.who) for f in map(Factor, private)}
        moved = {str(f): begun[f] - made[f] for f in Factor if str(f) in corrections}
        everybody = np.full(rounds.clients, 1.0 / rounds.clients)
        controls = controls.after(rounds.who, moved, self.local_steps * eta, everybody)
        clients = ClientFactors(**{str(f): np.moveaxis(made[f], 1, 0) for f in sent})
        try:
            server = Adapter(state.A, state.B)
            result = aggregate(self.rule, server, clients, None, number, state.memory)
        except ValueError as error:
            raise ValueError(f"round {number} with step size {eta:g}: {error}") from error
        W, own = state.W, result.personal
        sizes = self._sizes(rounds.shape, travel=rounds.who.shape[1] < rounds.clients)
        exchange = exchanged(self.rule, {LAYER: result}, {LAYER: rounds.shape}, sizes, number)
        if self.ranks and isinstance(result.merged, Adapter):
            # Columns beyond the clients' ranks are zero, and are not sent.
            filled = np.any(result.merged.A != 0.0, axis=-2).sum(axis=-1)
            d, p = rounds.shape.d_in, rounds.shape.d_out
            exchange = replace(exchange, merged=np.minimum(filled * (d + p), d * p))
        if result.merged is not None:
            W = dense(result.merged) if W is None else added(W, result.merged)
        return State(
            result.adapter.A,
            result.adapter.B,
            np.asarray(result.aggregation_error),
            W,
            _kept(state.own_A, at, None if own is None else own.A),
            _kept(state.own_B, at, None if own is None else own.B),
            controls if self.rule.controls else None,
            result.memory,
            exchange,
        )

    def nothing_sent(self, problem: Problem, replicas: int) -> Sent:
        """The count of numbers sent, before the first round."""
        sizes = self._sizes(shape_of(problem), travel=problem.active < problem.clients)
        shares = np.array([[own, problem.rank] for own in self.ranks]) if self.ranks else None
        whole = problem.d * problem.outputs
        return Sent.nothing(sizes, problem.clients, dense=whole, replicas=replicas, shares=shares)

    def _sizes(self, shape: Shape, *, travel: bool) -> dict[str, int]:
        """Numbers in all that is shared; control variates only travel where clients sit out."""
        sizes = {NAMES[f]: shape.numbers(f) for f in Factor}
        controls = self.rule.controls if travel else ()
        return sizes | {control_name(NAMES[f]): sizes[NAMES[f]] for f in controls}

    def _cut(self, factor: Factor, stack: np.ndarray, who: np.ndarray) -> np.ndarray:
        """The clients' factors (T, n or 1, …) within their ranks."""
        if not self.ranks:
            return stack
        wide = np.broadcast_to(stack, (*who.shape, *stack.shape[2:]))
        return cut(factor, wide, np.array(self.ranks)[who])

    def _controls(self, state: State, clients: int) -> Controls:
        """The control variates so far, zeros before the first round."""
        if state.controls is not None:
            return state.controls
        held = {str(f): state.A if f is Factor.A else state.B for f in sorted(self.rule.controls)}
        return Controls.nothing(held, clients)

    def _apart(self, state: State, clients: int) -> State:
        """Personal factors set apart, one a client; a client begins with the server's."""
        own: dict[str, Any] = {}
        for factor, held, shared in (
            (Factor.A, state.own_A, state.A),
            (Factor.B, state.own_B, state.B),
        ):
            if factor in self.rule.personal and held is None:
                own[f"own_{factor}"] = np.repeat(shared[:, None], clients, axis=1)
        return replace(state, **own)

    def _local(
        self,
        A: np.ndarray,
        B: np.ndarray,
        batch: ClientBatch,
        number: int,
        eta: float,
        corrections: Mapping[str, np.ndarray],
        shape: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Every client's factors after K steps; a factor that is shared and stays so keeps axis 1.

        Args:
            corrections: added to a factor's gradient in every step, (T, n, …).
            shape: what A's gradient is multiplied by from the right, (T, r, r), or None.
        """
        of = {f: corrections.get(str(f), 0.0) for f in Factor}
        if Factor.A not in self.rule.trainable(number) and A.shape[1] == 1:
            square, right = batch.normal(A[:, 0])
            for _ in range(self.local_steps):
                B = B - eta * (2.0 * (square @ B - right) + of[Factor.B])
            return A, B
        for step in range(1, self.local_steps + 1):
            moving = self.rule.moving(number, step)
            of_A, of_B = batch.gradients(A, B, of_B=Factor.B in moving)
            if Factor.A in moving:
                of_A = of_A if shape is None else of_A @ shape[:, None]
                A = A - eta * (of_A + of[Factor.A])
            if of_B is not None:
                B = B - eta * (of_B + of[Factor.B])
        return A, B


def _kept(
    own: np.ndarray | None, at: tuple[np.ndarray, np.ndarray], new: np.ndarray | None
) -> np.ndarray | None:
    """The clients' own factors after those at the given places, (T, n), have new ones (n, T, …)."""
    if own is None or new is None:
        return own
    after = own.copy()
    after[at] = np.moveaxis(new, 0, 1)
    return after

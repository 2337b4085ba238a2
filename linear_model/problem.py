"""The linear model's problem: everything that fixes the distribution of an experiment."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import isfinite
from numbers import Real
from typing import TypeVar

import numpy as np

from linear_model.optimum import Optimum, optimum
from verification.names import one_of

ORTHONORMAL_TOLERANCE = 1e-10
LARGEST_SIZE = 100_000_000
"""Most clients, and largest width: A* alone would fill a gigabyte beyond it."""
LARGEST_SAMPLE = 10**15
"""Most samples per client: the simulators count them in float64."""

_Choice = TypeVar("_Choice", bound=StrEnum)


class Data(StrEnum):
    """Whether clients draw new samples or keep theirs."""

    FRESH = "fresh"
    """New X_i every round."""
    FIXED = "fixed"
    """The same X_i in every round."""


class Batches(StrEnum):
    """Whether the two half-steps of a round see the same samples (fresh data only)."""

    SEPARATE = "separate"
    SHARED = "shared"


@dataclass(frozen=True, eq=False)
class Problem:
    """Clients i = 1…N with `Y_i = X_i A* B_i* + σ E_i`, m rows each.

    Rows of X_i are i.i.d. N(0, S_i), of E_i (m × p) i.i.d. N(0, I). The targets W_i = A* B_i* are of
    any rank q ≥ r: with A* the identity, q = d, any matrices at all.

    Attributes:
        d: input width, ≥ 2.
        clients: number of clients N ≥ 1.
        samples: samples per client and half-step, m ≥ rank; methods that solve least squares on each
            client's samples refuse m ≤ rank + 1, where the fitted B has no finite second moment.
        rank: LoRA rank r, 1 ≤ r ≤ d. Rank 1 is the paper's.
        A_star: true down-projection, (d, q) with orthonormal columns, rank ≤ q ≤ d (q = 1: also (d,));
            None for the first q unit vectors, which by rotational invariance loses nothing.
        B_star: true up-projection: (q, p) shared by all clients, or (N, q, p) one per client
            (q = 1: also (p,)); None for (identity, p = q = rank).
        noise: label noise σ ≥ 0.
        data: fresh samples every round, or fixed ones.
        batches: separate or shared samples in the two half-steps of a round of fresh data.
        participants: clients drawn without replacement in each round; None for all.
        covariances: S_i of the features, symmetric and positive definite: (d, d) shared by all clients, or
            (N, d, d) one per client; None for identities.
    """

    d: int
    clients: int = 1
    samples: int = 100
    rank: int = 1
    A_star: np.ndarray = None  # type: ignore[assignment]  # an array from __post_init__ on
    B_star: np.ndarray = None  # type: ignore[assignment]
    noise: float = 0.0
    data: Data = Data.FRESH
    batches: Batches = Batches.SEPARATE
    participants: int | None = None
    covariances: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("d", self.d, 2, LARGEST_SIZE),
            ("clients", self.clients, 1, LARGEST_SIZE),
            ("samples", self.samples, 1, LARGEST_SAMPLE),
            ("rank", self.rank, 1, LARGEST_SIZE),
        ):
            allowed = f"an integer between {least} and {most:,}"
            _require(_whole(value) and least <= value <= most, name, allowed, value)
        _require(self.rank <= self.d, "rank", f"at most d = {self.d}", int(self.rank))
        allowed = f"at least the rank {self.rank} for least squares"
        _require(self.samples >= self.rank, "samples", allowed, int(self.samples))
        allowed = "finite and non-negative"
        _require(_finite(self.noise) and self.noise >= 0.0, "noise", allowed, self.noise)
        object.__setattr__(self, "data", _choice(Data, "data", self.data))
        object.__setattr__(self, "batches", _choice(Batches, "batches", self.batches))
        object.__setattr__(self, "A_star", self._checked_A())
        object.__setattr__(self, "B_star", self._checked_B())
        object.__setattr__(self, "covariances", self._checked_covariances())
        some = self.participants
        if some is not None and not (_whole(some) and 1 <= some <= self.clients):
            raise ValueError(
                f"participants must lie between 1 and clients = {self.clients} and be whole,"
                f" got {some!r}"
            )

    def _checked_A(self) -> np.ndarray:
        if self.A_star is None:
            rows = np.ndim(self.B_star) > 1 and self.B_star is not None and self.B_star.shape[-2]
            return np.eye(self.d, rows if rows and self.rank <= rows <= self.d else self.rank)
        A = _numbers("A_star", self.A_star)
        if A.ndim == 1:
            A = A[:, None]
        if A.ndim != 2 or len(A) != self.d or not self.rank <= A.shape[1] <= self.d:
            shape = self.d, self.rank
            raise ValueError(
                f"A_star must have shape (d, rank) = {shape}, or more columns up to d, got {A.shape}"
            )
        require_orthonormal("A_star", A)
        return A

    def _checked_B(self) -> np.ndarray:
        rows = self.target_rank
        if self.B_star is None:
            return np.broadcast_to(np.eye(rows), (self.clients, rows, rows))
        B = _numbers("B_star", self.B_star)
        if B.ndim == 1:
            B = B[None, :]
        if B.ndim == 2:
            B = np.broadcast_to(B, (self.clients, *B.shape))
        if B.ndim != 3 or B.shape[:2] != (self.clients, rows) or B.shape[2] < 1:
            raise ValueError(
                f"B_star must have shape (q, p) = ({rows}, p) or (clients, q, p) = ({self.clients},"
                f" {rows}, p) with p ≥ 1, q the columns of A_star, got {np.shape(self.B_star)}"
            )
        if not np.all(np.isfinite(B)):
            raise ValueError("B_star must be finite, got a NaN or infinite entry")
        return B

    def _checked_covariances(self) -> np.ndarray | None:
        if self.covariances is None:
            return None
        S = _numbers("covariances", self.covariances)
        one, shape = (self.d, self.d), (self.clients, self.d, self.d)
        if S.shape not in (one, shape):
            raise ValueError(
                f"covariances must have shape (d, d) = {one} or (clients, d, d) = {shape}, got {S.shape}"
            )
        S = np.broadcast_to(S, shape)
        usable = bool(np.all(np.isfinite(S))) and np.allclose(S, np.swapaxes(S, 1, 2), atol=0.0)
        least = np.linalg.eigvalsh(S).min() if usable else np.nan
        if not least > 0.0:
            raise ValueError(
                "covariances must be symmetric and positive definite, got"
                f" {f'an eigenvalue of {least:.3g}' if usable else 'one that is not symmetric'}"
            )
        return S

    @property
    def target_rank(self) -> int:
        """Columns q of A*: the most that a target's rank can be."""
        return int(self.A_star.shape[1])

    @cached_property
    def optimum(self) -> Optimum:
        """The best shared model of rank r."""
        return optimum(self.rank, self.A_star, self.B_star, self.covariances)

    @cached_property
    def roots(self) -> np.ndarray:
        """L_iᵀ with S_i = L_iL_iᵀ, (N, d, d): standard normal rows times it have covariance S_i."""
        assert self.covariances is not None
        return np.swapaxes(np.linalg.cholesky(self.covariances), 1, 2)

    @property
    def mean_B(self) -> np.ndarray:
        """B̄* = mean_i B_i*, shape (q, p)."""
        return self.B_star.mean(axis=0)

    @property
    def homogeneous(self) -> bool:
        """True if all clients share one B*."""
        return bool(np.all(self.B_star == self.B_star[:1]))

    @property
    def active(self) -> int:
        """Clients that take part in a round."""
        return self.clients if self.participants is None else int(self.participants)

    @property
    def outputs(self) -> int:
        """Number of outputs p."""
        return int(self.B_star.shape[-1])

    @property
    def pooled_samples(self) -> int:
        """M = N·m."""
        return self.clients * self.samples


def step_size(problem: Problem, *, eta: float | None = None, kappa: float | None = None) -> float:
    """The step size η from either itself or the dimensionless κ = 2 η ||B̄*||²: one of them, positive.

    For rank r the norm is the largest singular value of B̄*, which for κ must not be zero. η multiplies the
    true gradient of (1/m)||·||_F², factor 2 included (theory.md §1).
    """
    if (eta is None) == (kappa is None):
        raise ValueError(f"give exactly one of eta and kappa, got eta={eta} and kappa={kappa}")
    name, value = ("eta", eta) if eta is not None else ("kappa", kappa)
    assert value is not None
    _require(_finite(value) and value > 0.0, name, "finite and positive", value)
    if eta is not None:
        return float(eta)
    size = float(np.linalg.norm(problem.mean_B, 2)) ** 2
    if size == 0.0:
        raise ValueError(
            f"kappa = 2 η ||B̄*||² needs a mean of B_star that is not zero, got {value}; give eta"
        )
    return float(value / (2.0 * size))


def require_orthonormal(name: str, columns: np.ndarray) -> None:
    """Refuse matrices (*batch, d, r) whose columns are not finite, of unit length and orthogonal."""
    if not np.all(np.isfinite(columns)):
        raise ValueError(f"{name} must be finite, got a NaN or infinite entry")
    squares = np.swapaxes(columns, -1, -2) @ columns
    gap = float(np.max(np.abs(squares - np.eye(columns.shape[-1]))))
    if gap > ORTHONORMAL_TOLERANCE:
        raise ValueError(
            f"{name} must have orthonormal columns (rank 1: unit length), off by {gap:.3g}"
        )


def _require(holds: bool, name: str, allowed: str, value: object) -> None:
    if not holds:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def _whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _finite(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def _numbers(name: str, given: object) -> np.ndarray:
    """A float64 copy of what was given, refused where that would lose something."""
    array = np.asarray(given)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be an array of real numbers, got {array.dtype.name}")
    return array.astype(np.float64)


def _choice(kind: type[_Choice], name: str, value: str) -> _Choice:
    return kind(one_of(name, value, [str(choice) for choice in kind]))

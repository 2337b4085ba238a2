"""A non-convex problem in two blocks whose smoothness constant is known, and RoLoRA's rounds on it.

Client i has `f_i(A, B) = (1/n) Σ_j φ(u_ijᵀA + v_ijᵀB − c_ij)`, φ(t) = t²/(1 + t²). As |φ''| ≤ 2, each block
gradient is Lipschitz in its own block with constant `2·max(||U_i||₂², ||V_i||₂²)/n`. φ ≥ 0, so f* ≥ 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float


def phi(t: Any) -> Any:
    """φ(t) = t²/(1 + t²), on floats, arrays and SymPy expressions."""
    return t**2 / (1 + t**2)


def phi_slope(t: Any) -> Any:
    """φ'(t) = 2t/(1 + t²)²."""
    return 2 * t / (1 + t**2) ** 2


@dataclass(frozen=True, eq=False)
class SmoothProblem:
    """Sums of φ of affine maps of two blocks of variables.

    Attributes:
        U: maps of block A, float64 array of shape (N, n, p).
        V: maps of block B, (N, n, p).
        c: offsets, (N, n).
    """

    U: Float[np.ndarray, "N n p"]
    V: Float[np.ndarray, "N n p"]
    c: Float[np.ndarray, "N n"]

    @classmethod
    def draw(
        cls,
        clients: int,
        rng: np.random.Generator,
        *,
        heterogeneity: float = 1.0,
        terms: int = 12,
        size: int = 3,
    ) -> SmoothProblem:
        """A random problem; `heterogeneity` 0 gives all clients the same function."""

        def maps(*shape: int) -> np.ndarray:
            shared = rng.standard_normal((1, *shape))
            own = rng.standard_normal((clients, *shape))
            return np.sqrt(1.0 / (1.0 + heterogeneity**2)) * (shared + heterogeneity * own)

        return cls(maps(terms, size), maps(terms, size), maps(terms))

    @property
    def smoothness(self) -> float:
        """L: a Lipschitz constant of every client's gradient in either block."""
        norms = [np.linalg.norm(M, ord=2, axis=(1, 2)).max() for M in (self.U, self.V)]
        return float(2.0 * max(norms) ** 2 / self.c.shape[1])

    def values(
        self, A: Float[np.ndarray, "R p"], B: Float[np.ndarray, "R p"]
    ) -> Float[np.ndarray, " R"]:
        """F at points (R, p): shape (R,)."""
        R, N = A.shape[0], self.c.shape[0]
        A_all, B_all = (np.broadcast_to(x[:, None], (R, N, x.shape[1])) for x in (A, B))
        return phi(self._affine(A_all, B_all)).mean(axis=(1, 2))

    def gradients(
        self, A: Float[np.ndarray, "R N p"], B: Float[np.ndarray, "R N p"], block: str
    ) -> Float[np.ndarray, "R N p"]:
        """∇f_i in one block at every client's own point, A and B of shape (R, N, p): (R, N, p)."""
        slopes = phi_slope(self._affine(A, B)) / self.c.shape[1]
        return np.einsum("rnj,njp->rnp", slopes, self.U if block == "A" else self.V)

    def _affine(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        return np.einsum("rnp,njp->rnj", A, self.U) + np.einsum("rnp,njp->rnj", B, self.V) - self.c


@dataclass(frozen=True, eq=False)
class Trajectories:
    """What R independent runs of T rounds gave.

    Attributes:
        squared_norms: `||∇_B f(Aᵗ, Bᵗ)||² + ||∇_A f(Aᵗ, Bᵗ⁺¹)||²`, (R, T).
        dissimilarity: largest `mean_i ||∇f_i − ∇f||²` at a point a half-round started from, either block.
    """

    squared_norms: Float[np.ndarray, "R T"]
    dissimilarity: float


def alternate(
    problem: SmoothProblem,
    *,
    rounds: int,
    local_steps: int,
    step: float,
    sigma: float,
    trials: int,
    rng: np.random.Generator,
) -> Trajectories:
    """RoLoRA with K local SGD steps a half-round, from the zero point.

    A round is K = `local_steps` steps on B, average, K steps on A, average.

    Args:
        sigma: root of the variance E||noise||² of each client's stochastic gradient, drawn from `rng`.
    """
    N, n, p = problem.U.shape
    A, B = np.zeros((trials, p)), np.zeros((trials, p))
    norms = np.empty((trials, rounds))
    dissimilarity = 0.0
    for t in range(rounds):
        total = np.zeros(trials)
        for block in ("B", "A"):
            maps, others = (problem.V, problem.U) if block == "B" else (problem.U, problem.V)
            start, held = (B, A) if block == "B" else (A, B)
            transposed = maps.transpose(0, 2, 1)
            # Clients first, (N, R, ·): one matrix product each; the frozen block's part does not change.
            frozen = held @ others.transpose(0, 2, 1) - problem.c[:, None]
            moving = np.repeat(start[None], N, axis=0)
            for k in range(local_steps):
                gradient = (phi_slope(moving @ transposed + frozen) / n) @ maps
                if k == 0:
                    mean = gradient.mean(axis=0)
                    total += np.sum(mean**2, axis=1)
                    apart = np.sum((gradient - mean) ** 2, axis=2).mean(axis=0)
                    dissimilarity = max(dissimilarity, float(apart.max()))
                if sigma:
                    gradient += sigma / np.sqrt(p) * rng.standard_normal(gradient.shape)
                moving -= step * gradient
            if block == "B":
                B = moving.mean(axis=0)
            else:
                A = moving.mean(axis=0)
        norms[:, t] = total
    return Trajectories(norms, dissimilarity)

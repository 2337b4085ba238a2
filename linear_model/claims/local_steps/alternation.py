"""Rounds of B and A in turn about a stationary point: the loop over clients beside its stated Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from linear_model.claims.local_steps import literal_local
from theory.local_steps import drift_correction
from verification.evidence import Evidence

SMALL, PAIRS = 1e-5, 12
"""Distance from a stationary point where rounds are linear, and pairs of them."""
DIFFERENCES = "rounding of differences over 2e-5, and their third order"


@dataclass(frozen=True, eq=False)
class Pair:
    """A round of B and then one of A, K local steps each, about a shared model's factors.

    Its state is A, B, and with control variates the clients' of A and of B, one after another.
    """

    A: np.ndarray
    B: np.ndarray
    clients: literal_local.Clients
    eta: float
    steps: int

    @property
    def still(self) -> np.ndarray:
        """The state of a stationary point: control variates are the clients' gradients."""
        off = [2.0 * S @ (self.A @ self.B - W) for S, W in self.clients]
        of_A, of_B = [x @ self.B.T for x in off], [self.A.T @ x for x in off]
        return np.concatenate([self.A.ravel(), self.B.ravel(), np.ravel(of_A), np.ravel(of_B)])

    def corrected(self, state: np.ndarray) -> np.ndarray:
        """What the loop makes of a state, with control variates."""
        N, a, b = len(self.clients), self.A.size, self.B.size
        A, B, of_A, of_B = np.split(state, np.cumsum([a, b, N * a]))
        A, B = A.reshape(self.A.shape), B.reshape(self.B.shape)
        cv = literal_local.Corrected(A, B, self.clients, self.eta, self.steps)
        cv.own = {"A": list(of_A.reshape(N, *A.shape)), "B": list(of_B.reshape(N, *B.shape))}
        cv.round("B")
        cv.round("A")
        own = np.ravel(cv.own["A"]), np.ravel(cv.own["B"])
        return np.concatenate([cv.A.ravel(), cv.B.ravel(), *own])

    def plain(self, state: np.ndarray) -> np.ndarray:
        """The same of A and B, without control variates."""
        A, B = np.split(state, [self.A.size])
        A, B = A.reshape(self.A.shape), B.reshape(self.B.shape)
        B = literal_local.b_round(A, B, self.clients, self.eta, self.steps)
        A = literal_local.a_round(A, B, self.clients, self.eta, self.steps)
        return np.concatenate([A.ravel(), B.ravel()])

    def jacobian(self) -> np.ndarray:
        """The stated one of `corrected` at a stationary point: the product of its two rounds'."""
        (d, r), p, N = self.A.shape, self.B.shape[1], len(self.clients)
        turn = np.eye(d * r).reshape(d, r, -1).swapaxes(0, 1).reshape(d * r, -1)  # A to Aᵀ
        of_A, of_B, cross = [], [], []
        for S, W in self.clients:
            of_A.append(np.kron(2.0 * S, self.B @ self.B.T))
            of_B.append(np.kron(2.0 * self.A.T @ S @ self.A, np.eye(p)))
            rest = np.kron(np.eye(r), 2.0 * (S @ (self.A @ self.B - W)).T) @ turn
            cross.append(np.kron(2.0 * self.A.T @ S, self.B.T) + rest)
        ends = np.cumsum([0, d * r, r * p, N * d * r, N * r * p])
        A, B, c_A, c_B = (np.arange(*ends[i : i + 2]) for i in range(4))
        whole = np.eye(ends[-1])
        for own, other, kept, hessians, crosses in (
            (B, A, c_B, np.array(of_B), np.array(cross)),
            (A, B, c_A, np.array(of_A), np.swapaxes(cross, 1, 2)),
        ):
            half, into = np.eye(ends[-1]), np.concatenate([own, kept])
            half[into] = 0.0
            made = drift_correction.half_jacobian(hessians, crosses, self.eta, self.steps)
            half[np.ix_(into, np.concatenate([own, other, kept]))] = made
            whole = half @ whole
        return whole


def stationary(targets: np.ndarray, S: np.ndarray, rank: int, eta: float, steps: int) -> Pair:
    """The pair of rounds at the best shared model, its factors balanced."""
    root = np.linalg.cholesky(S.mean(axis=0)).T
    u, sizes, v = np.linalg.svd(np.linalg.solve(root.T, (S @ targets).mean(axis=0)))
    half = np.sqrt(sizes[:rank])
    A, B = np.linalg.solve(root, u[:, :rank] * half), half[:, None] * v[:rank]
    return Pair(A, B, literal_local.clients_of(targets, S), eta, steps)


def alternation(
    evidence: Evidence, targets: np.ndarray, S: np.ndarray, rank: int, eta: float, steps: int
) -> None:
    """Jacobian and slowest direction by the loop, for these covariances and for features alike."""
    N, d, p = targets.shape
    label = f"d = {d}, p = {p}, N = {N}, r = {rank}, K = {steps}"
    for name, of in (("", S), (", isotropic features", np.broadcast_to(np.eye(d), S.shape))):
        pair = stationary(targets, of, rank, eta, steps)
        stated, at = pair.jacobian(), pair.still
        words = f"relative gap of the Jacobian of a round of B and one of A{name}, {label}"
        gap = _gap(_differences(pair.corrected, at), stated)
        evidence.equal(words, 0.0, gap, rounding=1e-7, why=DIFFERENCES)
        _slowest(evidence, pair, stated, f"{name}, {label}")
    # Without control variates, features alike: the same block, to which the others only add a memory.
    shared = pair.A.size + pair.B.size
    gap = _gap(_differences(pair.plain, at[:shared]), stated[:shared, :shared])
    words = f"the same without control variates, isotropic features, {label}"
    evidence.equal(words, 0.0, gap, rounding=1e-7, why=DIFFERENCES)
    radii = [_radius(matrix, rank)[0] for matrix in (stated[:shared, :shared], stated)]
    words = (
        f"spectral radius without control variates over that with them, isotropic features, {label}"
    )
    evidence.at_most(words, 1.0, radii[0] / radii[1], rounding=1e-9, why="rounding of eigenvalues")


def _gap(seen: np.ndarray, stated: np.ndarray) -> float:
    return float(np.abs(seen - stated).max() / np.abs(stated).max())


def _differences(f: Callable[[np.ndarray], np.ndarray], at: np.ndarray) -> np.ndarray:
    """The Jacobian of f by central differences."""
    moves = SMALL * np.eye(at.size)
    return np.stack([(f(at + move) - f(at - move)) / (2.0 * SMALL) for move in moves], axis=1)


def _radius(jacobian: np.ndarray, rank: int) -> tuple[float, complex, np.ndarray]:
    """Spectral radius, and the eigenvalue and vector, but for the r² of A G, G⁻¹B, which stay: nearest 1."""
    values, vectors = np.linalg.eig(jacobian)
    left = np.argsort(np.abs(values - 1.0))[rank**2 :]
    slowest = left[np.argmax(np.abs(values[left]))]
    return float(np.abs(values[slowest])), values[slowest], vectors[:, slowest]


def _slowest(evidence: Evidence, pair: Pair, jacobian: np.ndarray, label: str) -> None:
    """The directions that stay, the radius of the rest, and what the loop leaves of the slowest."""
    rank, at = pair.A.shape[1], pair.still
    stay = int(np.count_nonzero(np.abs(np.linalg.eigvals(jacobian) - 1.0) < 1e-6))
    words = f"directions that two rounds leave alone, those of A G and G⁻¹B{label}"
    evidence.equal(words, rank**2, stay)
    radius, value, vector = _radius(jacobian, rank)
    evidence.at_most(f"spectral radius but for them{label}", 1.0, radius)
    ahead, behind = at + SMALL * vector.real, at - SMALL * vector.real
    for _ in range(PAIRS):
        ahead, behind = pair.corrected(ahead), pair.corrected(behind)
    after = np.array([(value**PAIRS * vector).real, (ahead - behind) / (2.0 * SMALL)])
    stated, seen = (np.linalg.norm(after, axis=1) / np.linalg.norm(vector.real)) ** (1.0 / PAIRS)
    words = f"factor of the slowest direction, {PAIRS} pairs of the loop's rounds{label}"
    evidence.equal(words, stated, seen, rounding=1e-6, why=DIFFERENCES)

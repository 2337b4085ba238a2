"""FlexLoRA, FLoRA and FedEx-LoRA with clients trained to their optimum: exact in one round, no further.

Problem: client i has a target matrix W_i (d × p) and infinitely many isotropic samples, and trains a
product of rank r to its optimum, P_r(W_i), the best approximation of rank r (Eckart and Young). W̄ is the
mean target; the excess risk is over the best shared model of rank r, P_r(W̄).
Exact result: the server's
model after one round is `mean P_r(W_i)` where it merges (FLoRA, FedEx-LoRA), and `P_r(mean P_r(W_i))` where
it truncates (FlexLoRA). With the tails `W_i − P_r(W_i)` the first has the excess `‖mean tail‖² − Σ_{j>r}
σ_j(W̄)²`. If every W_i has rank r at most, FlexLoRA's is 0 and the others' −Σ_{j>r} σ_j(W̄)²: they are at
W̄ itself. FlexLoRA stays where it is. FLoRA does not: a round moves its model X by `mean P_r(W_i − X)`, a
step of length 1 along a subgradient of the convex `mean φ(W_i − X)`, φ half the sum of the r largest
squared singular values, whose minimum is W̄ only if the W_i − W̄ cancel after truncation: two clients, or
W_i − W̄ of rank r.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from verification.finding import ProofStep
from verification.proof.identities import follows, identity
from verification.proof.means import average, mean

Matrix = Float[np.ndarray, "d p"]
Targets = Float[np.ndarray, "N d p"]


def best_of_rank(matrix: Float[np.ndarray, "*batch d p"], rank: int) -> np.ndarray:
    """P_r: the first r singular triples, of one matrix or of each in a stack."""
    U, sigma, Vt = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray((U[..., :rank] * sigma[..., None, :rank]) @ Vt[..., :rank, :])


def out_of_reach(matrix: Matrix, rank: int) -> float:
    """`‖M − P_r(M)‖² = Σ_{j>r} σ_j(M)²`: what no product of rank r can say of M."""
    return float(np.square(np.linalg.svd(matrix, compute_uv=False)[rank:]).sum())


def merged_excess(targets: Targets, rank: int) -> float:
    """FLoRA's and FedEx-LoRA's excess risk after one round, `‖mean tail‖² − Σ_{j>r} σ_j(W̄)²`. Ours."""
    tails = targets - best_of_rank(targets, rank)
    return float(np.square(tails.mean(axis=0)).sum()) - out_of_reach(targets.mean(axis=0), rank)


def truncated_excess(targets: Targets, rank: int) -> float:
    """FlexLoRA's excess risk after any round, `‖P_r(mean P_r(W_i)) − W̄‖² − Σ_{j>r} σ_j(W̄)²`. Ours."""
    made = best_of_rank(best_of_rank(targets, rank).mean(axis=0), rank)
    centre = targets.mean(axis=0)
    return float(np.square(made - centre).sum()) - out_of_reach(centre, rank)


def merged_excess_later(targets: Targets, rank: int, rounds: int) -> float:
    """FLoRA's excess risk after so many rounds `X ← X + mean P_r(W_i − X)` from X = 0. Ours."""
    model = np.zeros(targets.shape[1:])
    for _ in range(rounds):
        model = model + best_of_rank(targets - model, rank).mean(axis=0)
    centre = targets.mean(axis=0)
    return float(np.square(model - centre).sum()) - out_of_reach(centre, rank)


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """Any number of clients, one entry of the matrices at a time; then FLoRA's further rounds.

    Args:
        stretch: multiplies the stated ‖mean tail‖²; 1 for the true statement.
    """
    x, fit, tail, a, b = sp.symbols("x fit tail a b", real=True)
    clients = {fit: "fit", tail: "tail"}
    factors = {a: "a", b: "b"}
    target = fit + tail
    centre, typical = mean(target, clients), mean(tail, clients)
    mean_a, mean_b = mean(a, factors), mean(b, factors)
    return (
        identity("any N: mean_i ‖X − W_i‖² = ‖X − W̄‖² + mean_i ‖W_i − W̄‖², entry by entry, so the excess "
            "over P_r(W̄) is ‖X − W̄‖² − ‖W̄ − P_r(W̄)‖²", average((x - target) ** 2, clients),
            (x - centre) ** 2 + average((target - centre) ** 2, clients)),
        identity("any N: the mean of the clients' optima misses W̄ by the mean of their tails (squares)",
            (average(fit, clients) - average(target, clients)) ** 2, stretch * average(tail, clients) ** 2),
        identity("… which is at most the mean of the squared tails, and 0 if every W_i has rank r at most",
            average(tail**2, clients) - typical**2, average((tail - typical) ** 2, clients)),
        identity("FedEx-LoRA, any N: Ā B̄ and the residual are together the mean product, rank by rank",
            mean_a * mean_b + average((a - mean_a) * (b - mean_b), factors), average(a * b, factors)),
        *_derive_further_rounds(),
    )  # fmt: skip


def _derive_further_rounds() -> list[ProofStep]:
    """FLoRA's next rounds as steps along a subgradient."""
    m, z = sp.symbols("m z", real=True)  # one entry of M, and of Z of rank r at most
    after, here, other = sp.symbols("after here other", real=True)  # of M', φ(M) and φ(M')
    return [
        identity("½‖M‖² − ½‖M − Z‖² = ⟨Z, M⟩ − ½‖Z‖²: so φ(M) = ½‖P_r(M)‖² is the largest of these affine "
            "functions of M over all Z of rank r, attained at P_r(M): convex",
            m**2 / 2 - (m - z) ** 2 / 2, z * m - z**2 / 2),
        follows("P_r(M) is a subgradient of φ: φ(M') − φ(M) − ⟨Z, M' − M⟩ ≥ 0 at Z = P_r(M), since φ(M') is "
            "no less than the affine function of that Z, and φ(M) is its value",
            other - here - z * (after - m), (1, other - (z * after - z**2 / 2)),
            (1, z * m - z**2 / 2 - here)),
    ]  # fmt: skip

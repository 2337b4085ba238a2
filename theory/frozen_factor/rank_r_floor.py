"""FFA-LoRA's floor at rank r, exactly (theory.md §8).

`Y_i = X_i A* B*`, A⁰ frozen with orthonormal columns, V = (I − A⁰A⁰ᵀ)A*B* the part it cannot express. Each
client's least squares gives B_i = A⁰ᵀA*B* + R_i with R_i = Z_i⁺ X_i V, Z_i = X_i A⁰; the server averages.
Training loss: ||V||²_F (1 + c̃_r), c̃_r = −2r/M + (r/(N²m))(1 + (N−1) m/(m−r−1)), m > r + 1.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory.frozen_factor import ffa_floor
from theory.samples import moments
from verification.finding import ProofStep
from verification.proof.identities import generic_symmetric, identity


def inverse_wishart_mean(samples: Any, rank: Any) -> Any:
    """E[(ZᵀZ)⁻¹] = I/(m − r − 1) for Z of m × r standard normals, m > r + 1: the factor of I."""
    return moments.chi_squared_moment(samples - rank + 1, -1)


def training_constant(clients: Any, samples: Any, rank: Any) -> Any:
    """c̃_r of the loss on the training samples, per-client least squares then averaging.

    For m > r + 1 samples a client. Source: theory.md §8. Works on numbers and SymPy expressions.
    """
    pooled = clients * samples
    other = (clients - 1) * samples / (samples - rank - 1)
    return -2 * rank / pooled + rank / (clients**2 * samples) * (1 + other)


def pooled_constant(pooled: Any, rank: Any) -> Any:
    """c̃_r with joint least squares on all M samples: −r/M, the least any choice of B can reach."""
    return -rank / pooled


def fresh_constant(clients: Any, samples: Any, rank: Any) -> Any:
    """c̃_r of the expected loss on new samples: r/(N(m − r − 1)), m > r + 1."""
    return rank * inverse_wishart_mean(samples, rank) / clients


def derive() -> tuple[ProofStep, ...]:
    """The constants from the trace of a projection and the mean of an inverse Wishart matrix."""
    return (*moments.derive((-1,)), *_projection(), *_wishart(), *_assembly())


def _projection() -> list[ProofStep]:
    Z = sp.Matrix(3, 2, sp.symbols("z1:7", real=True))
    W = Z.T * Z
    P = Z * W.adjugate() * Z.T / W.det()
    return [
        identity("P = Z(ZᵀZ)⁻¹Zᵀ is idempotent (m = 3, r = 2, symbolic)", (P * P - P).applyfunc(sp.cancel),
            sp.zeros(3)),
        identity("its trace is r, so E tr(R_iᵀ Z_iᵀ X_iV) = E||P_Z X_iV||² = r ||V||²", sp.cancel(P.trace()),
            sp.Integer(2)),
    ]  # fmt: skip


def _wishart() -> list[ProofStep]:
    m, r = sp.symbols("m r", positive=True)
    return [
        *map(_schur_complement, (2, 3)),
        identity(
            "that is χ² with m − (r − 1) degrees of freedom, and flipping a column's sign kills the "
            "off-diagonal: E(ZᵀZ)⁻¹ = I/(m − r − 1)",
            inverse_wishart_mean(m, r),
            1 / (m - r - 1),
        ),
    ]


def _schur_complement(rank: int) -> ProofStep:
    W = generic_symmetric("w", rank)
    rest = W[1:, 1:]
    schur = W[0, 0] - (W[0, 1:] * rest.inv() * W[1:, 0])[0, 0]
    first = rest.det() / W.det()  # Cramer's rule
    words = f"1/(W⁻¹)₁₁ is the Schur complement: |z₁|² off the other r − 1 columns (r = {rank})"
    return identity(words, 1 / first, schur)


def _assembly() -> list[ProofStep]:
    N, m, r, M = sp.symbols("N m r M", positive=True)
    cross = r  # E tr(R_iᵀ Z_iᵀ X_iV) / ||V||²; other clients' R have mean zero given Z_i, X_iV
    same = r  # E ||Z_i R_i||² / ||V||²
    other = m * r * inverse_wishart_mean(m, r)  # E ||Z_j R_i||² / ||V||², Z_j independent of R_i
    loss = 1 - 2 * cross / (N * m) + (N * same + N * (N - 1) * other) / (N**3 * m)
    return [
        identity("E[training loss]/||V||² = 1 − 2r/M + (N·r + N(N−1)·m r/(m−r−1))/(N³m) = 1 + c̃_r", loss,
            1 + training_constant(N, m, r)),
        identity("joint least squares is one client with M samples: c̃_r = −r/M", pooled_constant(M, r),
            training_constant(sp.Integer(1), M, r)),
        identity("on new samples E||R̄||² = (1/N)·E tr(ZᵀZ)⁻¹ ||V||² = r/(N(m−r−1)) ||V||²",
            fresh_constant(N, m, r), r / (N * (m - r - 1))),
        identity("at r = 1 both are the rank-1 constants",
            sp.Matrix([training_constant(N, m, 1), fresh_constant(N, m, 1)]),
            sp.Matrix([ffa_floor.training_constant(N, m), ffa_floor.fresh_constant(N, m)])),
    ]  # fmt: skip

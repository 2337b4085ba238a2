"""FFA-LoRA's floor at rank r, exactly (theory.md §8).

`Y_i = X_i A* B*`, A⁰ frozen with orthonormal columns, V = (I − A⁰A⁰ᵀ)A*B* the part it cannot express. Each
client's least squares gives B_i = A⁰ᵀA*B* + R_i with R_i = Z_i⁺ X_i V, Z_i = X_i A⁰; the server averages.
Training loss: ||V||²_F (1 + c̃_r), c̃_r = −2r/M + (r/(N²m))(1 + (N−1) m/(m−r−1)), m > r + 1.
"""

from functools import partial
from typing import Any

import sympy as sp

from theory.frozen_factor import client_sums, ffa_floor
from theory.samples import moments
from verification.finding import ProofStep
from verification.proof.identities import identity, sized_identity


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


ARGUED = (
    ("Z_i = X_i A⁰ and X_iV are independent normal matrices, E xᵀPx = tr P for a standard normal x and a "
        "fixed P, and given Z_i the mean of R_i is 0; clients are independent",
        "since A⁰ and V are orthogonal, P is fixed given Z_i, and R_i is linear in X_iV"),
    ("|z|² off an independent subspace of dimension r − 1 is χ² with m − (r − 1) degrees of freedom, and "
        "E (ZᵀZ)⁻¹ is a multiple of I",
        "since a normal vector is invariant under rotations, and so is Z under those of its columns "
        "(Muirhead, Aspects of Multivariate Statistical Theory, 3.2.12)"),
)  # fmt: skip
"""What the derivation takes from probability: statement and reason."""


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The constants from the trace of a projection and the mean of an inverse Wishart matrix.

    Args:
        stretch: multiplies both stated constants; 1 for the true statement.
    """
    steps = (*moments.derive((-1,)), *client_sums.derive())
    return (*steps, *_projection(), *_wishart(), *_assembly(stretch))


def _projection() -> list[ProofStep]:
    m, r = sp.symbols("m r", integer=True, positive=True)
    Z, inverse, one = sp.MatrixSymbol("Z", m, r), sp.MatrixSymbol("V", r, r), sp.Identity(r)
    P = Z @ inverse @ Z.T
    # tr(Z V Zᵀ) = tr(V ZᵀZ) = tr I, as a trace is cyclic
    return [
        sized_identity("P = Z(ZᵀZ)⁻¹Zᵀ is a projection, any m and r, of trace tr I = r: P² − P has the "
            "factor ZᵀZ V − I, which is 0 for V = (ZᵀZ)⁻¹",
            P @ Z @ inverse @ Z.T - P, Z @ inverse @ (Z.T @ Z @ inverse - one) @ Z.T),
    ]  # fmt: skip


def _wishart() -> list[ProofStep]:
    m, r, w = sp.symbols("m r w", positive=True)
    size = sp.Symbol("n", integer=True, positive=True)
    rest, inverse = (sp.MatrixSymbol(name, size, size) for name in ("W", "S"))
    y = sp.MatrixSymbol("y", size, 1)
    return [
        sized_identity("any r: (ZᵀZ)(1, −Sy) is (w − yᵀSy, 0) where ZᵀZ has the rows (w, yᵀ) and (y, W) and "
            "S = W⁻¹: so 1/((ZᵀZ)⁻¹)₁₁ is |z₁|² off the other r − 1 columns", y - rest @ inverse @ y,
            (sp.Identity(size) - rest @ inverse) @ y),
        identity("that is χ² with m − (r − 1) degrees of freedom: E (ZᵀZ)⁻¹ = I/(m − r − 1)",
            inverse_wishart_mean(m, r),
            moments.expected(1 / w, {w: partial(moments.chi_squared_moment, m - (r - 1))})),
    ]  # fmt: skip


def _assembly(stretch: Any) -> list[ProofStep]:
    N, m, r, M, R = sp.symbols("N m r M R", positive=True)
    one_client = moments.Symmetric(r * inverse_wishart_mean(m, r))
    own = r  # E tr(R_iᵀ Z_iᵀ X_iV) / ||V||², a projection's trace
    same = r  # E ||Z_i R_i||² / ||V||²
    other = m * r * inverse_wishart_mean(m, r)  # E ||Z_j R_i||² / ||V||², Z_j independent of R_i
    loss = 1 - 2 * client_sums.own_sum(N, own) / (N**2 * m)
    loss += client_sums.pair_sum(N, same, other) / (N**3 * m)
    return [
        identity("E[training loss]/||V||² = 1 − 2r/M + (N·r + N(N−1)·m r/(m−r−1))/(N³m) = 1 + c̃_r", loss,
            1 + stretch * training_constant(N, m, r)),
        identity("joint least squares is one client with M samples: c̃_r = −r/M", pooled_constant(M, r),
            training_constant(N, M, r), where={N: 1}),
        identity("on new samples E||R̄||² = (1/N)·E tr(ZᵀZ)⁻¹ ||V||² = r/(N(m−r−1)) ||V||²",
            stretch * fresh_constant(N, m, r), N * moments.expected((R / N) ** 2, {R: one_client})),
        identity("at r = 1 both are the rank-1 constants",
            sp.Matrix([training_constant(N, m, 1), fresh_constant(N, m, 1)]),
            sp.Matrix([ffa_floor.training_constant(N, m), ffa_floor.fresh_constant(N, m)])),
    ]  # fmt: skip

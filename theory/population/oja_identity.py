"""RoLoRA's round is Oja's subspace rule for the mean target, whatever the clients' targets (theory.md §15).

Problem: `Y_i = X_i W_i`, any d × p matrices W_i, m → ∞, isotropic features, orthonormal A (d × r). A round of
Algorithm 2: client i solves for B_i, the server averages, one averaged gradient step on A, QR.
Exact result, `W̄ = Σ p_iW_i` and `S = W̄W̄ᵀ`: before QR `Â = A + 2η(I − AAᵀ)SA`, the rule of Oja (1982, 1989)
for the principal subspace of S: a step along the Riemannian gradient of `tr AᵀSA` on the Grassmannian.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from verification.finding import ProofStep
from verification.proof.identities import sized_identity


def oja_step(A: Any, S: Any, eta: Any, projected: Any = 1) -> Any:
    """`A + 2η(I − AAᵀ)SA`, before QR. Ours. Works on numpy arrays and SymPy matrix symbols.

    Args:
        A: (d, r).
        S: W̄W̄ᵀ, (d, d).
        eta: step size of the true gradient.
        projected: share of AAᵀSA that is taken off; 1 for the true statement.
    """
    image = S @ A
    return A + (2 * eta) * (image - projected * (A @ (A.T @ image)))


def derive(projected: Any = 1) -> tuple[ProofStep, ...]:
    """Both gradients, both averages, Oja's step, and what it climbs: for every d, p, r, N and weights.

    Args:
        projected: share of AAᵀSA in the stated step; 1 for the true statement.
    """
    return (*_derive_gradients(), *_derive_averages(projected), *_derive_ascent())


def _symbols() -> tuple[Any, ...]:
    """d, r, p and A (d × r), B (r × p), W (d × p)."""
    d, r, p = sp.symbols("d r p", integer=True, positive=True)
    A, B, W = (
        sp.MatrixSymbol(name, *size) for name, size in (("A", (d, r)), ("B", (r, p)), ("W", (d, p)))
    )
    return d, r, p, A, B, W


def _derive_gradients() -> list[ProofStep]:
    d, r, p, A, B, W = _symbols()
    e, y = sp.symbols("epsilon y", real=True)
    f, u, w = (sp.MatrixSymbol(name, size, 1) for name, size in (("f", p), ("u", d), ("w", r)))
    rest = A @ B @ f - W @ f  # one column of the residual, f a column of the identity
    return [
        sized_identity("every d, r, p: along A + ε u vᵀ a column's loss ‖(AB − W_i)f‖² has the slope "
            "2 uᵀ(AB − W_i)f·y, y = vᵀBf: client i's gradient in A is 2(AB − W_i)Bᵀ",
            (rest + e * y * u).T @ (rest + e * y * u) - rest.T @ rest,
            e * y * (u.T @ rest + rest.T @ u) + e**2 * y**2 * u.T @ u),
        sized_identity("along B + ε w fᵀ it is 2 wᵀAᵀ(AB − W_i)f: its gradient in B is 2Aᵀ(AB − W_i)",
            (rest + e * A @ w).T @ (rest + e * A @ w) - rest.T @ rest,
            e * (w.T @ A.T @ rest + rest.T @ A @ w) + e**2 * w.T @ A.T @ A @ w),
        sized_identity("which is 0 at B_i = AᵀW_i: it has the factor AᵀA − I", A.T @ (A @ A.T @ W - W),
            (A.T @ A - sp.Identity(r)) @ A.T @ W),
    ]  # fmt: skip


def _derive_averages(projected: Any) -> list[ProofStep]:
    d, _, p, A, B, W = _symbols()
    n = sp.Symbol("n", integer=True, positive=True)  # N·p
    eta = sp.Symbol("eta", positive=True)
    # The W_i side by side, and the matrices w ⊗ I and 1ᵀ ⊗ I that average and repeat a p-column block.
    H, E, F = (
        sp.MatrixSymbol(name, *size) for name, size in (("H", (d, n)), ("E", (n, p)), ("F", (p, n)))
    )
    fits = sp.MatrixSymbol("K", A.shape[1], n)
    stepped = A - (2 * eta) * ((A @ B - W) @ B.T)
    return [
        sized_identity("every N and weights: the mean of the AᵀW_i is AᵀW̄", fits @ E, A.T @ W,
            where={fits: A.T * H, W: H * E}),
        sized_identity("every N and weights: the mean gradient is 2(AB̄ − W̄)B̄ᵀ, up to a factor that weights "
            "of sum one make 0", (A @ B @ F - H) @ E @ B.T,
            (A @ B - H @ E) @ B.T + A @ B @ (F @ E - sp.Identity(p)) @ B.T),
        sized_identity("every d, r, p: at B̄ = AᵀW̄ the step A − 2η(AB̄ − W̄)B̄ᵀ is A + 2η(I − AAᵀ)SA, S = W̄W̄ᵀ",
            stepped, oja_step(A, W @ W.T, eta, projected), where={B: A.T * W}),
    ]  # fmt: skip


def _derive_ascent() -> list[ProofStep]:
    d, r, p, A, _, W = _symbols()
    e, eta, y = sp.symbols("epsilon eta y", real=True)
    f, g, u = (sp.MatrixSymbol(name, size, 1) for name, size in (("f", p), ("g", r), ("u", d)))
    S, one = sp.MatrixSymbol("S", d, d), sp.Identity(r)
    moved = A @ g + e * y * u
    missed = A @ A.T @ W @ f - W @ f
    return [
        sized_identity("the best B leaves ‖W̄‖² − tr AᵀSA: a column of (AAᵀ − I)W̄ has the square "
            "fᵀW̄ᵀW̄f − fᵀW̄ᵀAAᵀW̄f, up to a factor AᵀA − I", missed.T @ missed,
            f.T @ W.T @ W @ f - f.T @ W.T @ A @ A.T @ W @ f
            + f.T @ W.T @ A @ (A.T @ A - one) @ A.T @ W @ f),
        sized_identity("tr AᵀSA climbs along A + ε u vᵀ by 2ε uᵀSAv: its gradient is 2SA",
            moved.T @ S @ moved - g.T @ A.T @ S @ A @ g,
            e * y * (u.T @ S @ A @ g + g.T @ A.T @ S @ u) + e**2 * y**2 * u.T @ S @ u),
        sized_identity("Oja's step takes its part across A: Aᵀ(I − AAᵀ)SA = 0, by the factor I − AᵀA",
            A.T @ (S @ A - A @ A.T @ S @ A), (one - A.T @ A) @ A.T @ S @ A),
        sized_identity("it is 2ηSA + A(I − 2ηAᵀSA): power iteration where 2ηAᵀSA = I, for r = 1 where "
            "2η‖W̄ᵀa‖² = 1", oja_step(A, S, eta), (2 * eta) * S @ A + A @ (one - (2 * eta) * A.T @ S @ A)),
    ]  # fmt: skip

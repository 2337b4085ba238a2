"""Rank r in the population limit: one RoLoRA round as an exact map of the tangent matrix (theory.md §12).

Problem: `Y_i = X_i A* B*`, A* (d × r) with orthonormal columns, m → ∞, one round of Algorithm 2: exact
b-step, gradient step on A, QR. With `Mx = AᵀA*`, `Σ = B*B*ᵀ` and P = I − A*A*ᵀ,
`P Â = P A (I − 2η Mx Σ Mxᵀ)` and `A*ᵀÂ = Mxᵀ(I − 2η Mx Σ Mxᵀ) + 2η Σ Mxᵀ`.
Exact result: the tangent matrix `T = P A (A*ᵀA)⁻¹` obeys `T⁺ = T (I − 2ηKΣ)(I + 2η(I − K)Σ)⁻¹` with
`K = (I + TᵀT)⁻¹`; its singular values are the tangents of the principal angles. Local rate
`max_j |1 − 2ησ_j(B*)²|`, at best `(cond² − 1)/(cond² + 1)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from theory.population import population_map
from verification.claim import OURS, claim
from verification.evidence import Evidence, at_least, exactly
from verification.finding import Mark, Plot, ProofStep, Series
from verification.proof.identities import identity, nonnegative_on_box, sized_identity
from verification.verdict import Verdict

ROUNDS = 30
WINDOW = 6
SETTINGS: tuple[tuple[int, tuple[float, ...], float | None], ...] = (
    (6, (1.0, 0.5), 0.5),
    (20, (2.0, 1.5, 1.2, 1.0), None),
    (12, (1.0, 0.6), None),
)
"""d, singular values of B*, and the step η (None for the best step), beside the user's."""


def moved_parts(perp: Any, mx: Any, sigma: Any, eta: Any) -> tuple[Any, Any]:
    """The two parts of Â, before QR: across A* and along A*.

    Args:
        perp: P A, shape (d, r), or its coordinates (d − r, r).
        mx: AᵀA*, shape (r, r).
        sigma: B*B*ᵀ, shape (r, r).
        eta: step size of the true gradient.

    Returns:
        (P Â, A*ᵀÂ). Works on numpy arrays, SymPy matrices and SymPy matrix symbols.

    Source: theory.md §12.
    """
    kick = (2 * eta) * (sigma @ mx.T)
    inner = mx @ kick
    return perp - perp @ inner, mx.T - mx.T @ inner + kick


def next_tangents(tangents: Any, sigma: Any, eta: Any) -> Any:
    """The tangent matrix T after one round, shape (d − r, r) like `tangents`.

    Source: theory.md §12 with the square roots cancelled. For r = 1 it is the map of theory.md §2.
    Works on numpy arrays, SymPy matrices and SymPy matrix symbols.

    Raises:
        numpy.linalg.LinAlgError: if Â has a direction orthogonal to A* (a right principal angle).
    """
    one, inverse = _algebra(sigma)
    kernel = inverse(one + tangents.T @ tangents)
    return (
        tangents
        @ (one - (2 * eta) * (kernel @ sigma))
        @ inverse(one + (2 * eta) * ((one - kernel) @ sigma))
    )


def local_rate(singular_values: Float[np.ndarray, " r"], eta: float) -> float:
    """`max_j |1 − 2ησ_j(B*)²|`, the factor by which small angles shrink per round. Source: theory.md §12."""
    values = np.asarray(singular_values, dtype=np.float64)
    return float(np.max(np.abs(1.0 - 2.0 * eta * values**2)))


def best_step(largest: Any, smallest: Any) -> Any:
    """The step `1/(σ_1² + σ_r²)` with the smallest local rate. Ours."""
    return 1 / (largest**2 + smallest**2)


def best_rate(largest: Any, smallest: Any) -> Any:
    """The smallest local rate `(cond² − 1)/(cond² + 1)`, cond = σ_1/σ_r. Ours."""
    return (largest**2 - smallest**2) / (largest**2 + smallest**2)


def round_by_matrices(
    A: Float[np.ndarray, "d r"],
    A_star: Float[np.ndarray, "d r"],
    B_star: Float[np.ndarray, "r p"],
    eta: float,
) -> Float[np.ndarray, "d r"]:
    """The literal population round: least squares for B, a step on the gradient of ||A B − A*B*||_F², QR.

    A, A_star and the A returned have orthonormal columns.
    """
    target = A_star @ B_star
    B = np.linalg.lstsq(A, target, rcond=None)[0]
    gradient = 2.0 * (A @ B - target) @ B.T
    return np.linalg.qr(A - eta * gradient)[0]


def tangents_of(
    A: Float[np.ndarray, "d r"], A_star: Float[np.ndarray, "d r"]
) -> Float[np.ndarray, "d r"]:
    """`P A (A*ᵀA)⁻¹`: singular values are the tangents of the principal angles."""
    along = A_star.T @ A
    return (A - A_star @ along) @ np.linalg.inv(along)


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """b-step, the two parts of Â for every d and r, the tangent map, its derivative, the best step.

    Args:
        stretch: multiplies the singular values in the stated local rate; 1 for the true statement.
    """
    return (*_derive_parts(), *_derive_map(), *_derive_slope(stretch), *_derive_best_step())


def _derive_parts() -> list[ProofStep]:
    """§12's identities from the loss, for every d, r and number of outputs."""
    d, r, p = sp.symbols("d r p", integer=True, positive=True)
    e, eta, share = sp.symbols("epsilon eta y", real=True)
    A, A_star = (sp.MatrixSymbol(name, d, r) for name in ("A", "A*"))
    B, B_star = (sp.MatrixSymbol(name, r, p) for name in ("B", "B*"))
    f, u, w = (sp.MatrixSymbol(name, size, 1) for name, size in (("f", p), ("u", d), ("w", r)))
    rest = A @ B @ f - A_star @ B_star @ f  # one column of the residual, f a column of the identity
    one, whole, mx = sp.Identity(r), sp.Identity(d), A.T @ A_star
    normal = A.T @ (A @ (mx @ B_star) - A_star @ B_star)
    fit = mx @ B_star
    stepped = A - 2 * eta * (A @ fit - A_star @ B_star) @ fit.T
    perp = (whole - A_star @ A_star.T) @ A
    across, along = moved_parts(perp, mx, B_star @ B_star.T, eta)
    kick = 2 * eta * B_star @ B_star.T @ mx.T  # beside a factor A*ᵀA* − I, which is 0
    square = A_star.T @ A_star - one
    return [
        sized_identity("every d, r and p: along A + ε u vᵀ a column's loss ‖(AB − A*B*)f‖² has the slope "
            "2 uᵀ(AB − A*B*)f·y, y = vᵀBf: over the columns of I = Σ ffᵀ, uᵀ2(AB − A*B*)Bᵀv",
            (rest + e * share * u).T @ (rest + e * share * u) - rest.T @ rest,
            e * share * (u.T @ rest + rest.T @ u) + e**2 * share**2 * u.T @ u),
        sized_identity("along B + ε w fᵀ the slope is 2 wᵀAᵀ(AB − A*B*)f",
            (rest + e * A @ w).T @ (rest + e * A @ w) - rest.T @ rest,
            e * (w.T @ A.T @ rest + rest.T @ A @ w) + e**2 * w.T @ A.T @ A @ w),
        sized_identity("so B's gradient is 0 at B̄ = Mx B*, Mx = AᵀA*: it has the factor AᵀA − I",
            normal, (A.T @ A - one) @ mx @ B_star),
        sized_identity("every d, r and p: PÂ, P = I − A*A*ᵀ", (whole - A_star @ A_star.T) @ stepped,
            across - A_star @ square @ kick),
        sized_identity("every d, r and p: A*ᵀÂ", A_star.T @ stepped, along + square @ kick),
    ]  # fmt: skip


def _derive_map() -> list[ProofStep]:
    """From the two parts to T⁺, and the case r = 1."""
    eta = sp.Symbol("eta", positive=True)
    r, k = sp.symbols("r k", integer=True, positive=True)
    C, T, R, inverse, K, over = (
        sp.MatrixSymbol(n, k if n == "T" else r, r) for n in ("C", "T", "R", "S", "K", "Q")
    )
    Sig, one = sp.MatrixSymbol("Sigma", r, r), sp.Identity(r)
    # A = (A* + T)C with C = A*ᵀA, invertible as no principal angle is a right one: PA = TC and Mx = Cᵀ.
    across, along = moved_parts(T @ C, C.T, Sig, eta)
    gram = one + T.T @ T
    up, below = T @ (one - 2 * eta * K @ Sig), one + 2 * eta * (one - K) @ Sig
    # The function itself, with names K and Q for its two inverses.
    stated = (
        next_tangents(T, Sig, eta)
        .xreplace({sp.Inverse(gram): K})
        .xreplace({sp.Inverse(below): over})
    )
    t, kappa = sp.symbols("t kappa", positive=True)
    rank_one = next_tangents(sp.Matrix([[t]]), sp.Matrix([[1]]), kappa / 2)[0, 0]
    return [
        sized_identity("every d and r: PÂ = T (I − 2ηKΣ) C", across, T @ (one - 2 * eta * C @ C.T @ Sig) @ C),
        sized_identity("every d and r: A*ᵀÂ = (I + 2η(I − K)Σ) C, so T⁺ = PÂ(A*ᵀÂ)⁻¹ is free of C", along,
            (one + 2 * eta * (one - C @ C.T) @ Sig) @ C),
        sized_identity("and of QR: Â R has the tangents PÂ R R⁻¹(A*ᵀÂ)⁻¹, with S = R⁻¹", T @ R @ inverse @ C,
            T @ C + T @ (R @ inverse - one) @ C),
        sized_identity("every d and r: I = AᵀA is (PA)ᵀPA + CᵀC = Cᵀ(I + TᵀT)C …",
            (T @ C).T @ T @ C + C.T @ C, C.T @ gram @ C),
        sized_identity("… so CCᵀ(I + TᵀT)C = C, and as C is invertible CCᵀ = (I + TᵀT)⁻¹ = K",
            C @ C.T @ gram @ C - C, C @ (C.T @ gram @ C - one)),
        sized_identity("every d and r: the stated T⁺, Q the inverse of I + 2η(I − K)Σ, times A*ᵀÂ is PÂ",
            stated @ below @ C - up @ C, up @ (over @ below - one) @ C),
        identity("r = 1: the square of the map is that of theory.md §2", rank_one**2,
            population_map.signed_tangent(t, kappa) ** 2),
    ]  # fmt: skip


def _derive_slope(stretch: Any) -> list[ProofStep]:
    """The derivative at T = 0 for every size, with what it leaves out, exactly."""
    eta, size = sp.symbols("eta sigma_j", positive=True)
    t = sp.Symbol("t", nonnegative=True)  # a squared tangent
    r, k = sp.symbols("r k", integer=True, positive=True)
    T, w, v = sp.MatrixSymbol("T", k, r), sp.MatrixSymbol("w", k, 1), sp.MatrixSymbol("v", r, 1)
    K, Sig, one = sp.MatrixSymbol("K", r, r), sp.MatrixSymbol("Sigma", r, r), sp.Identity(r)
    below = one + 2 * eta * (one - K) @ Sig
    slope = T @ (one - 2 * eta * Sig)
    row = sp.MatrixSymbol("row", 1, r)  # vᵀΣ
    image = w @ v.T - 2 * eta * w @ row
    return [
        sized_identity("every d and r: T⁺ − T(I − 2ηΣ) is 4η² T Σ(I − K)Σ over I + 2η(I − K)Σ, exactly …",
            T @ (one - 2 * eta * K @ Sig) - slope @ below, 4 * eta**2 * T @ Sig @ (one - K) @ Sig),
        sized_identity("… and I − K = K TᵀT for K = (I + TᵀT)⁻¹, of second order in T …", one - K,
            K @ T.T @ T - (K @ (one + T.T @ T) - one)),
        nonnegative_on_box("… as its eigenvalues t²/(1 + t²) ≤ t² say: the derivative at T = 0 is "
            "T ↦ T(I − 2ηΣ)", t - t / (1 + t), {t: (0, sp.oo)}),
        sized_identity("which has the eigenvalue 1 − 2ησ_j² on every w v_jᵀ, v_j an eigenvector of Σ = B*B*ᵀ",
            image, (1 - 2 * eta * (stretch * size) ** 2) * w @ v.T, where={row: size**2 * v.T}),
    ]  # fmt: skip


def _derive_best_step() -> list[ProofStep]:
    """The largest of the |1 − 2ησ_j²| is the larger of the two ends, and they cross at the best step."""
    low, gap, eta = sp.symbols("sigma_r gap eta", positive=True)
    high = low + gap
    step, sizes = best_step(high, low), {low: (0, sp.oo), gap: (0, sp.oo)}
    falling, rising = 1 - 2 * eta * low**2, 2 * eta * high**2 - 1
    return [
        identity("at η = 1/(σ_1² + σ_r²): 1 − 2ησ_r² is the stated rate", falling.subs(eta, step),
            best_rate(high, low)),
        identity("and so is 2ησ_1² − 1", rising.subs(eta, step), best_rate(high, low)),
        nonnegative_on_box("the first falls with η …", -sp.Derivative(falling, eta), sizes),
        nonnegative_on_box("… and the second rises: their maximum is least where they cross",
            sp.Derivative(rising, eta), sizes),
    ]  # fmt: skip


@claim(
    "rank-r-map",
    "Rank r: the condition number of B* sets the rate",
    statement="With infinitely many samples PÂ = PA(I − 2ηMxΣMxᵀ) and A*ᵀÂ = Mxᵀ(I − 2ηMxΣMxᵀ) + "
    "2ηΣMxᵀ; a small angle's tangents T become T(I − 2ηΣ), so the slowest shrink by "
    "max_j |1 − 2ησ_j(B*)²| per round.",
    latex=r"P\hat A=PA(I-2\eta M\Sigma M^{\top}),\quad A^{*\top}\hat A=M^{\top}(I-2\eta M\Sigma "
    r"M^{\top})+2\eta\Sigma M^{\top},\quad \text{rate}=\max_j|1-2\eta\sigma_j(B^*)^2|",
    source=OURS,
    assumptions=(
        "rank r with orthonormal A* and A",
        "population limit m → ∞",
        "homogeneous clients",
        "no label noise",
        "no principal angle is a right angle (for the tangent map)",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    says="a local rate with B*'s singular values 2 % larger",
    exact="T⁺ = T(I − 2ηKΣ)(I + 2η(I − K)Σ)⁻¹ with K = (I + TᵀT)⁻¹ for the tangents T of the principal "
    "angles; the best step 1/(σ_1² + σ_r²) has rate (cond² − 1)/(cond² + 1)",
    order=80,
)
def check(
    evidence: Evidence,
    *,
    d: int = 8,
    values: tuple[float, ...] = (1.5, 1.0, 0.75),
    eta: float = 0.3,
    stretch: float = 1.0,
) -> None:
    """Derive the map, then compare it and its local rate with literal rounds.

    Args:
        d, values, eta: dimension, singular values of B* and step of the first comparison.
        stretch: multiplies the singular values in the stated local rate; 1 for the true statement.
    """
    if not values or not min(values) > 0.0:
        raise ValueError(f"values must be positive singular values, got {values}")
    at_least(len(values) + 1, d=d)
    values = tuple(sorted(values, reverse=True))
    if not 0.1 <= local_rate(np.array(values), eta) < 1.0:
        raise ValueError(f"eta must give values {values} a local rate in [0.1, 1), got {eta}")
    rows, gaps = [], []
    for place, setting in enumerate(((d, values, eta), *SETTINGS)):
        seen, found = _local_rates(evidence, place, *setting, stretch)
        rows += seen
        gaps += found
    gap_map, gap_parts = map(max, zip(*gaps, strict=True))
    compared = (
        ("largest relative gap between the tangent map and a literal round, 12 starts", 0.0, gap_map,
            1e-10, "rounding; tangents of 1e-3 lose three digits"),
        ("largest gap between PÂ, A*ᵀÂ by formula and by the literal gradient, 12 starts", 0.0, gap_parts,
            1e-12, "rounding"),
    )  # fmt: skip
    for quantity, theory, measured, rounding, why in compared:
        evidence.equal(quantity, theory, measured, rounding=rounding, why=why)
    evidence.steps(*derive(exactly(stretch)))
    evidence.argued(
        "near T = 0 the matrix I + 2η(I − K)Σ is invertible, its inverse bounded",
        because="it is I plus at most 2η‖Σ‖‖T‖² in norm, and so within a half of I for small T",
    )
    evidence.argued(
        "T ↦ T(I − 2ηΣ) has no other eigenvalues than the 1 − 2ησ_j², and the largest is the rate",
        because="Σ is symmetric, so that its eigenvectors v_j span, and with them the w v_jᵀ",
    )
    evidence.method(
        "SymPy: matrix symbols of any size; literal population rounds (least squares, gradient, QR) in "
        "float64 beside it"
    )
    evidence.table(rows, PLOT)


PLOT = Plot(
    "round", (Series("measured", "literal population rounds", Mark.POINTS),
        Series("theory", "local rate max |1 − 2ησ²|", Mark.LINE)),
    "round", "largest principal tangent",
    "Rank-r RoLoRA with infinitely many samples, started at tangent 1e-3; lines have the "
    "stated slope. In the first rounds the faster singular directions of B* still fall away, so "
    "the points start below their line and then run parallel to it. A badly conditioned B* is "
    "slow even at the best step.", group="cell", ylog=True,
)  # fmt: skip


def _local_rates(
    evidence: Evidence,
    place: int,
    d: int,
    values: tuple[float, ...],
    eta: float | None,
    stretch: float,
) -> tuple[list[dict[str, Any]], list[tuple[float, float]]]:
    """Literal rounds from tangent 1e-3 beside the local rate.

    Returns:
        A row a round, and of three more starts what `_one_round_gaps` finds.
    """
    rng = evidence.rng(place)
    r = len(values)
    step = float(best_step(max(values), min(values))) if eta is None else eta
    A_star = np.linalg.qr(rng.standard_normal((d, r)))[0]
    left = np.linalg.qr(rng.standard_normal((r, r)))[0]
    right = np.linalg.qr(rng.standard_normal((r + 1, r)))[0]
    B_star = left @ np.diag(values) @ right.T
    gaps = [_one_round_gaps(rng, A_star, B_star, step, size) for size in (1e-3, 0.3, 3.0)]
    A = _start(rng, A_star, 1e-3)
    modes = tangents_of(A, A_star) @ left  # a column a singular value of B*
    norms = [float(np.linalg.norm(modes, 2))]
    while norms[-1] >= 1e-9 and len(norms) <= ROUNDS:
        A = round_by_matrices(A, A_star, B_star, step)
        norms.append(float(np.linalg.norm(tangents_of(A, A_star), 2)))
    window = min(WINDOW, len(norms) - 1)
    measured = (norms[-1] / norms[-1 - window]) ** (1.0 / window)
    # The tangents lie between the slow modes alone and all of them, each at its own factor.
    factors = np.abs(1.0 - 2.0 * step * np.square(values))
    slow = factors > (1.0 - 1e-9) * factors.max()
    faster = np.max(factors[~slow], initial=0.0) / factors.max()
    share = np.linalg.norm(modes) / np.linalg.norm(modes[:, slow])
    left_over = (share * faster ** (len(norms) - 1 - window)) ** 2 / (2 * window)
    slack = max(2e-4, float(left_over))
    label = f"d = {d}, σ(B*) = {values}, η = {step:.4g}" + (" (best)" if eta is None else "")
    stated = local_rate(stretch * np.array(values), step)
    why = "the faster modes have not quite died out after 30 rounds"
    evidence.equal(f"local rate, {label}", stated, measured, rounding=slack * stated, why=why)
    if eta is None:
        best = best_rate(max(values), min(values))
        closed = f"best local rate by its closed form, {label}"
        evidence.equal(closed, best, measured, rounding=slack * best, why=why)
    rows = [
        {"cell": label, "round": k, "measured": norm, "theory": norms[0] * stated**k}
        for k, norm in enumerate(norms)
    ]
    return rows, gaps


def _start(rng: np.random.Generator, A_star: np.ndarray, size: float) -> np.ndarray:
    """An orthonormal A whose largest principal tangent is `size`."""
    d, r = A_star.shape
    across = rng.standard_normal((d, r))
    across -= A_star @ (A_star.T @ across)
    across *= size / np.linalg.norm(across, 2)
    return np.linalg.qr(A_star + across)[0]


def _one_round_gaps(
    rng: np.random.Generator,
    A_star: np.ndarray,
    B_star: np.ndarray,
    eta: float,
    size: float,
) -> tuple[float, float]:
    """Relative gap of the tangent map and absolute gap of the two parts against one literal round."""
    gram = B_star @ B_star.T
    A = _start(rng, A_star, size)
    tangents = tangents_of(A, A_star)
    literal = tangents_of(round_by_matrices(A, A_star, B_star, eta), A_star)
    stated = next_tangents(tangents, gram, eta)
    gap_map = float(np.linalg.norm(literal - stated, 2)) / max(
        float(np.linalg.norm(stated, 2)), size
    )
    B = np.linalg.lstsq(A, A_star @ B_star, rcond=None)[0]
    stepped = A - eta * 2.0 * (A @ B - A_star @ B_star) @ B.T
    perp = A - A_star @ (A_star.T @ A)
    across, along = moved_parts(perp, A.T @ A_star, gram, eta)
    literal_across = stepped - A_star @ (A_star.T @ stepped)
    gap_parts = max(
        float(np.max(np.abs(across - literal_across))),
        float(np.max(np.abs(along - A_star.T @ stepped))),
    )
    return gap_map, gap_parts


def _algebra(like: Any) -> tuple[Any, Any]:
    """Identity of the size of `like` and the matrix inverse, for numpy and SymPy."""
    if isinstance(like, sp.MatrixExpr):
        return sp.Identity(like.shape[0]), sp.Inverse
    if isinstance(like, np.ndarray):
        return np.eye(like.shape[0]), np.linalg.inv
    return sp.eye(like.shape[0]), lambda matrix: matrix.inv()

"""Rank r on fresh samples: each singular direction has its own exact rate and floor (theory.md §12).

Problem: `Y_i = X_i A* B* + σE_i`, A* (d × r) orthonormal, Algorithm 2 with new samples in each half-step,
M = N·m, σ_j the singular values of B*, `κ_j = 2ησ_j²`. T_j is column j of the tangents `PA(A*ᵀA)⁻¹` in the
eigenbasis of B*B*ᵀ.
Exact result, m > r + 1: near A* the columns do not mix. As T → 0, `E‖T_j⁺‖²/‖T_j‖² → (1 − κ_j)² + κ_j² q_r`,
`q_r = (d − r + 1 + (d − r)w)/M`, `w = r/(N(m − r − 1))`, and as σ → 0 label noise leaves
`E‖T_j‖²_∞ → (d − r)κ_j²σ²(1 + w)/(σ_j²M) / (1 − (1 − κ_j)² − κ_j²q_r)`.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory.frozen_factor import rank_r_floor
from theory.samples import mean_square_rate as rate
from theory.samples import noise
from theory.samples.moments import Law, Symmetric, expected
from verification.finding import ProofStep
from verification.proof.identities import (
    generic_symmetric,
    identity,
    positive,
    sized_identity,
)


def fit_variance(clients: Any, samples: Any, rank: Any) -> Any:
    """`w = r/(N(m − r − 1))`: mean square of the averaged b-step's answer to a unit tangent column.

    Raises:
        ValueError: if numbers are given with m ≤ r + 1, where it is infinite.
    """
    if all(not isinstance(x, sp.Basic) for x in (samples, rank)) and samples <= rank + 1:
        raise ValueError(
            f"samples must exceed rank + 1 = {rank + 1} for a finite mean square, got {samples}"
        )
    return rank_r_floor.fresh_constant(clients, samples, rank)


def noise_ratio(d: Any, rank: Any, clients: Any, samples: Any) -> Any:
    """`q_r = (d − r + 1 + (d − r)w)/M`; at r = 1 the q of theory.md §6. Refuses as `fit_variance`."""
    across = d - rank
    return (across + 1 + across * fit_variance(clients, samples, rank)) / (clients * samples)


def round_noise(
    kappa: Any, label: Any, size: Any, d: Any, rank: Any, clients: Any, samples: Any
) -> Any:
    """What label noise σ = `label` adds to E‖T_j‖² in a round, at first order in σ².

    Args:
        kappa, size: κ_j and the singular value σ_j.
    """
    extra = 1 + fit_variance(clients, samples, rank)
    return (d - rank) * kappa**2 * label**2 * extra / (size**2 * clients * samples)


def floor(kappa: Any, label: Any, size: Any, d: Any, rank: Any, clients: Any, samples: Any) -> Any:
    """Stationary E‖T_j‖² at first order in σ². Arguments as for `round_noise`.

    Raises:
        ValueError: if numbers are given with m ≤ r + 1, or κ_j ≥ 2/(1 + q_r).
    """
    q = noise_ratio(d, rank, clients, samples)
    kept = rate.stable_rate_squared(kappa, q)
    return round_noise(kappa, label, size, d, rank, clients, samples) / (1 - kept)


def best_step(largest: Any, smallest: Any, q: Any) -> Any:
    """The η whose slowest column shrinks fastest: `1/((1 + q)(σ_1² + σ_r²))`."""
    return 1 / ((1 + q) * (largest**2 + smallest**2))


def best_rate_squared(largest: Any, smallest: Any, q: Any) -> Any:
    """Its mean-square rate: `1 − (1 − ((σ_1² − σ_r²)/(σ_1² + σ_r²))²)/(1 + q)`."""
    ratio = (largest**2 - smallest**2) / (largest**2 + smallest**2)
    return 1 - (1 - ratio**2) / (1 + q)


ARGUED = (
    ("Z_i = X_i A*, the X_i t of a unit t across A* and the labels' X-free noise are independent and normal, "
        "so R̄_j and the b-step's noise are symmetric, and the a-step's samples are apart from both",
        "since A* and t are orthogonal, a normal law is invariant under rotations and signs, and each "
        "half-step draws its own samples"),
    ("A* R̄_j is |R̄_j| times a unit vector across t, and PḠ times it has the law of one column of PḠA*",
        "since the law of Ḡ is invariant under rotations of the span of A*, and Ḡ is independent of R̄_j"),
    ("QR does not move the column space, nor the tangents; the limit passes under the expectation",
        "since T is a function of the column space, and by the bound of claim mean-square-rate"),
)  # fmt: skip
"""What the derivation takes from probability and analysis: statement and reason."""


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The linearised round for every size, its columns, their second moments, floor and best step.

    Args:
        stretch: multiplies the stated noise ratio and floor; 1 for the true statement.
    """
    return (
        *_derive_round(),
        *_derive_columns(),
        *_derive_second_moment(stretch),
        *_derive_floor(stretch),
        *_derive_best_step(),
    )


def _derive_round() -> list[ProofStep]:
    """From the normal equation and the averaged gradient, A = A* + εT and labels' noise of size ε."""
    d, r, p = sp.symbols("d r p", integer=True, positive=True)
    e, eta = sp.symbols("epsilon eta", real=True)
    A, T, N = (sp.MatrixSymbol(name, d, r) for name in ("A", "T", "N"))
    B, C = (sp.MatrixSymbol(name, r, p) for name in ("B", "C"))  # B_i = B* + εC
    G, U = sp.MatrixSymbol("G", d, d), sp.MatrixSymbol("U", d, p)  # U = XᵀE/m
    S = sp.MatrixSymbol("S", r, r)
    off = T * B + A * C
    pull = G * ((A + e * T) * (B + e * C) - A * B) - e * U
    first = G * off - U
    rest = G * T * C
    return [
        sized_identity("every d, r and p: the normal equation (A* + εT)ᵀ[G((A* + εT)(B* + εC) − A*B*) − εU] "
            "is ε[A*ᵀG(TB* + A*C) − A*ᵀU] + O(ε²): so C_i = −R_iB* + Z_i⁺E_i, R_i = Z_i⁺X_iT",
            (A + e * T).T * pull,
            e * A.T * first + e**2 * (T.T * first + A.T * rest) + e**3 * T.T * rest),
        sized_identity("and Â = A* + ε(T − 2η(Ḡ(TB* + A*C̄) − Ū)B*ᵀ) + O(ε²), exactly",
            A + e * T - 2 * eta * pull * (B + e * C).T,
            A + e * (T - 2 * eta * first * B.T)
            - 2 * eta * e**2 * (first * C.T + rest * B.T + e * rest * C.T)),
        sized_identity("tangents: PN(I + εA*ᵀN)⁻¹ is PN up to ε, S the inverse",
            N * S - N + e * N * S * (A.T * N), N * (S * (sp.Identity(r) + e * A.T * N) - sp.Identity(r))),
    ]  # fmt: skip


def _derive_columns() -> list[ProofStep]:
    """Column j: v an eigenvector of B*B*ᵀ, s = B*ᵀv, R v = Z⁺X(T v)."""
    d, r, m, p = sp.symbols("d r m p", integer=True, positive=True)
    eta, size = sp.symbols("eta sigma_j", positive=True)
    T, A = sp.MatrixSymbol("T", d, r), sp.MatrixSymbol("A", d, r)
    G, U = sp.MatrixSymbol("G", d, d), sp.MatrixSymbol("U", d, p)
    X, plus, E = sp.MatrixSymbol("X", m, d), sp.MatrixSymbol("Q", r, m), sp.MatrixSymbol("E", m, p)
    v, s, image = (sp.MatrixSymbol(n, k, 1) for n, k in (("v", r), ("s", p), ("i", r)))
    moved = T * v - 2 * eta * (G * (T * image + A * (-plus * X * T * image + plus * E * s)) - U * s)
    label, fit = U * s, plus * (E * s / size**2 - X * (T * v))
    stated = T * v - 2 * eta * size**2 * G * (T * v + A * fit) + 2 * eta * label
    return [
        sized_identity("every d, r and p: column j of the moved tangents depends on column j alone, being "
            "T_j − κ_jḠ(T_j + A*ρ) + κ_jŪs/σ_j², ρ = mean Z_i⁺(E_is/σ_j² − X_iT_j), s = B*ᵀv_j: the round "
            "of rank 1 with B = σ_j", moved, stated, where={image: size**2 * v}),
    ]  # fmt: skip


def _derive_second_moment(stretch: Any) -> list[ProofStep]:
    """E‖T_j⁺‖² by Wishart moments; the axes are A*ρ's, T_j's and one for all d − r − 1 others."""
    kappa, size, N, m, d, r, xi, sigma = sp.symbols("kappa sigma_j N m d r xi sigma", positive=True)
    w, M = sp.Symbol("w", positive=True), N * m
    rho = sp.Symbol("rho", real=True)
    gram = generic_symmetric("g", 3)
    label = sp.Matrix(sp.symbols("y0:3", real=True))
    x, axis = sp.Matrix([0, xi, 0]), sp.Matrix([1, 0, 0])
    _, inside, beside = noise.tangent_change(x, rho, gram, label, kappa, size, axis)
    laws: dict[Any, Law] = {rho: Symmetric((xi**2 + sigma**2 / size**2) * w)}
    laws |= dict.fromkeys(label, Symmetric(size**2 * sigma**2 / M))
    laws |= dict.fromkeys(gram, Symmetric(1 / M))
    laws |= dict.fromkeys(gram.diagonal(), {1: 1, 2: 1 + 2 / M}.__getitem__)
    found = expected(inside**2 + (d - r - 1) * beside**2, laws)
    q = stretch * noise_ratio(d, r, N, m)
    stated = rate.rate_squared(kappa, q) * xi**2 + round_noise(kappa, sigma, size, d, r, N, m)
    by_client = r * rank_r_floor.inverse_wishart_mean(m, r)
    c, one = sp.symbols("c one", real=True)
    return [
        identity("E‖ρ‖² = (‖T_j‖² + σ²/σ_j²) w: the mean of N independent ones, each of mean square "
            "E tr (Z_iᵀZ_i)⁻¹ = r/(m − r − 1)", N * expected((c / N) ** 2, {c: Symmetric(by_client)}),
            fit_variance(N, m, r)),
        identity("any N, m > r + 1, r and d: E‖T_j⁺‖² = ((1 − κ_j)² + κ_j²q_r)‖T_j‖² + what noise adds",
            found, stated, where={w: by_client / N}),
        identity("at r = 1 the noise ratio is q, and what noise adds is theory.md §9's",
            sp.Matrix([noise_ratio(d, 1, N, m) - 1 / M, round_noise(kappa, sigma, size, d, 1, N, m)]),
            (d - 1) * sp.Matrix([(1 + one) / M, (kappa * sigma / size) ** 2 * (1 + one) / M]),
            where={one: rate.noise_ratio(d, N, m) * M / (d - 1) - d / (d - 1)}),
    ]  # fmt: skip


def _derive_floor(stretch: Any) -> list[ProofStep]:
    kappa, sigma, size, d, r, N, m = sp.symbols("kappa sigma sigma_j d r N m", positive=True)
    added = round_noise(kappa, sigma, size, d, r, N, m)
    stated = stretch * floor(kappa, sigma, size, d, r, N, m)
    return rate.derive_recursion(kappa, noise_ratio(d, r, N, m), added, stated)


def _derive_best_step() -> list[ProofStep]:
    """The rate is convex in κ: its maximum is at σ_1's column or σ_r's, and they cross at the best step."""
    low, gap, q, eta = sp.symbols("sigma_r gap q eta", positive=True)
    high = low + gap
    step = best_step(high, low, q)
    ends = [rate.rate_squared(2 * eta * size**2, q) for size in (high, low)]
    slopes = [sp.diff(end, eta).subs(eta, step) for end in ends]
    kappa = sp.Symbol("kappa", positive=True)
    return [
        identity("at the best step σ_1's column and σ_r's have the stated rate",
            sp.Matrix(ends), sp.Matrix([best_rate_squared(high, low, q)] * 2), where={eta: step}),
        identity("the rate is a convex parabola in κ: its second derivative is 2(1 + q)",
            sp.Derivative(rate.rate_squared(kappa, q), kappa, 2), 2 * (1 + q)),
        positive("there σ_1's rises with η and σ_r's falls: no other step has a smaller maximum",
            sp.factor(slopes[0]), sp.factor(-slopes[1])),
    ]  # fmt: skip

"""Label noise: the floor of RoLoRA's angle on fresh data, exact to first order in σ² (theory.md §9).

Problem: `Y_i = X_i a* b*ᵀ + σE_i` with p outputs, Algorithm 2 with new samples in each half-step, B = ‖b*‖,
κ = 2ηB², M = N·m, `v = 1/(N(m − 2))`, q of theory.md §6.
Exact result: as σ → 0 with s/σ kept, one round obeys
`E s⁺² = ((1 − κ)² + κ²q) s² + (d − 1)κ²σ²(1 + v)/(B²M)`, hence
`E s²_∞ → (d − 1)κ²σ²(1 + v)/(B²M) / (1 − (1 − κ)² − κ²q)`.
The factor 1 + v is the noise the b-step puts along b*. What remains is of relative order σ²: the
inflation `p σ² v/B²` of ‖b̄‖² by the noise across b*, and the normalised round's own second-order terms.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import sympy as sp

from theory.samples import mean_square_rate as rate
from theory.samples.bstep import mean_variance
from theory.samples.moments import (
    Law,
    Symmetric,
    chi_squared_moment,
    expectation,
    expected,
    normal_moment,
)
from verification.finding import ProofStep
from verification.proof.identities import (
    generic_symmetric,
    identity,
    induction,
    sized_identity,
)


def round_noise(kappa: Any, noise: Any, length: Any, d: Any, clients: Any, samples: Any) -> Any:
    """What one round adds to E s²: `(d − 1)κ²σ²(1 + v)/(B²M)`, at first order in σ².

    With σ = `noise` ≥ 0, B = `length` and m > 2 samples per client and half-step. Works on numbers and
    SymPy expressions. Source: theory.md §9 with the factor 1 + v added.
    """
    extra = 1 + mean_variance(clients, samples)
    return (d - 1) * kappa**2 * noise**2 * extra / (length**2 * clients * samples)


def floor(kappa: Any, noise: Any, length: Any, d: Any, clients: Any, samples: Any) -> Any:
    """Stationary E s² at first order in σ². Arguments as for `round_noise`.

    Raises:
        ValueError: if numbers are given for which the mean square is not stable, κ ≥ 2/(1 + q).
    """
    kept = rate.stable_rate_squared(kappa, rate.noise_ratio(d, clients, samples))
    return round_noise(kappa, noise, length, d, clients, samples) / (1 - kept)


def fit_inflation(noise: Any, outputs: Any, clients: Any, samples: Any) -> Any:
    """`p σ² v`: what label noise adds to E‖b̄‖², for p outputs. Source: theory.md §9."""
    return outputs * noise**2 * mean_variance(clients, samples)


def tangent_change(
    x: Any, r: Any, gram: Any, label: Any, kappa: Any, length: Any, a_star: Any
) -> Any:
    """What a round makes of the tangent vector x (a* + σx before it) at σ → 0, up to a multiple of a*.

    `x − κ Ḡ(x + r a*) + κ Zb*/B²`.

    Args:
        x: tangent vector of a over σ, orthogonal to a*, a column of length d.
        r: first-order relative error of b̄ along b*, over σ: `−gᵀx + ν/B`.
        gram: Ḡ of the a-step's samples, d × d.
        label: Zb* = mean_i X_iᵀE_i b*/m, column of length d.
        kappa, length: κ and B.
        a_star: the truth, a column of length d.
    """
    return x - kappa * gram @ (x + r * a_star) + kappa / length**2 * label


ARGUED = (
    ("products of Ḡ's and Zb*'s entries that are odd in one coordinate have mean 0, the d − 2 directions "
        "across a* and x have one law, and r is symmetric and independent of both",
        "since a normal law changes neither with signs nor rotations, and the b-step's samples are its own"),
    ("given the ‖X_i a‖², −gᵀx and the noise along b* are normal, of variance ξ²/‖X_i a‖² and 1/(B²‖X_i a‖²)",
        "since each is linear in normal numbers that are independent of X_i a"),
)  # fmt: skip
"""What the derivation takes from analysis and probability: statement and reason."""


def derive(spread: bool = True) -> tuple[ProofStep, ...]:
    """The linearised round from the loss, its second moment, the fixed point, the inflation.

    Args:
        spread: whether the stated floor has its factor 1 + v.
    """
    return (
        *derive_gradient(),
        _derive_linearisation(),
        *_derive_second_moment(),
        *_derive_floor(spread),
    )


def derive_gradient() -> list[ProofStep]:
    """A client's gradient in a from its loss, one output at a time, for every d, m and p."""
    m, d, p = sp.symbols("m d p", integer=True, positive=True)
    e, y, goal, sigma = sp.symbols("epsilon y goal sigma", real=True)  # y, goal: b, b* at output j
    X, noise = sp.MatrixSymbol("X", m, d), sp.MatrixSymbol("E", m, 1)
    a, a_star, u = (sp.MatrixSymbol(name, d, 1) for name in ("a", "A", "u"))
    rest = X @ (y * a - goal * a_star) - sigma * noise
    moved = rest + e * y * X @ u
    b, b_star, E, one = (
        *(sp.MatrixSymbol(n, p, 1) for n in "bB"),
        sp.MatrixSymbol("N", m, p),
        sp.Identity(1),
    )
    summed = X.T @ X @ (a @ b.T - a_star @ b_star.T) @ b - sigma * X.T @ E @ b
    return [
        sized_identity(
            "every d and m: along a + εu the loss ‖Xa b_j − Xa* b_j* − σE_j‖² has the slope 2uᵀXᵀ(…) b_j",
            moved.T @ moved - rest.T @ rest,
            e * y * (u.T @ X.T @ rest + rest.T @ X @ u) + e**2 * y**2 * u.T @ X.T @ X @ u,
        ),
        sized_identity(
            "every d, m and p: one output j more adds Xᵀ(…) b_j to XᵀX(a‖b‖² − a* b*ᵀb) − σXᵀEb, which is 0 "
            "without any: by 2/m, the gradient is 2G(a‖b‖² − a* b*ᵀb) − 2σXᵀEb/m",
            X.T @ X @ (a @ (b.T @ b + y**2 * one) - a_star @ (b_star.T @ b + goal * y * one))
            - sigma * X.T @ (E @ b + y * noise),
            summed + y * X.T @ rest,
        ),
    ]


def _derive_linearisation() -> ProofStep:
    """The moved factor as a polynomial in σ, for any d and p."""
    sigma, r, across, kappa = sp.symbols("sigma r nn kappa", real=True)
    B = sp.Symbol("B", positive=True)
    d = sp.Symbol("d", integer=True, positive=True)
    G = sp.MatrixSymbol("G", d, d)
    # Z b* and Z n, where b = (1 + σr) b* + σn, n across b*; nn = ‖n‖², Z = mean_i X_iᵀE_i/m
    a_star, x, along, beside = (sp.MatrixSymbol(name, d, 1) for name in ("a*", "x", "z", "zn"))
    size = B**2 * (1 + sigma * r) ** 2 + sigma**2 * across  # b·b
    shared = B**2 * (1 + sigma * r)  # b·b*
    label = (1 + sigma * r) * along + sigma * beside
    a = a_star + sigma * x
    moved = a - kappa / B**2 * (G @ (size * a - shared * a_star) - sigma * label)
    stated = tangent_change(x, r, G, along, kappa, B, a_star)
    square = B**2 * r**2 + across
    rest = G @ (square * a_star + (2 * B**2 * r + sigma * square) * x) - r * along - beside
    return sized_identity(
        "any d and p: the moved factor is a* + σ(x − κḠ(x + r a*) + κZb*/B²) + σ²(…), exactly: noise across "
        "b* drops out at first order",
        moved,
        a_star + sigma * stated - sigma**2 * kappa / B**2 * rest,
    )


def _derive_second_moment() -> list[ProofStep]:
    """E‖x⁺‖² by Wishart moments: x = ξu; the axes are a*, u and one for all d − 2 others.

    Ḡ ~ Wishart_d(M)/M, given which Zb* has the second moments B²/M.
    """
    kappa, length, v, xi, M, d = sp.symbols("kappa B v xi M d", positive=True)
    r, count = sp.Symbol("r", real=True), sp.Symbol("k", integer=True, nonnegative=True)
    gram = generic_symmetric("g", 3)
    label = sp.Matrix(sp.symbols("y0:3", real=True))
    x, a_star = sp.Matrix([0, xi, 0]), sp.Matrix([1, 0, 0])
    _, inside, beside = tangent_change(x, r, gram, label, kappa, length, a_star)
    laws: dict[Any, Law] = {r: Symmetric(xi**2 * v + v / length**2)}
    laws |= dict.fromkeys(label, Symmetric(length**2 / M)) | dict.fromkeys(gram, Symmetric(1 / M))
    laws |= dict.fromkeys(gram.diagonal(), {1: 1, 2: 1 + 2 / M}.__getitem__)
    noise_ratio = (d + (d - 1) * v) / M  # q's own formula needs N and m
    stated = rate.rate_squared(kappa, noise_ratio) * xi**2
    stated += (d - 1) * kappa**2 * (1 + v) / (length**2 * M)
    found = expectation(inside**2, laws) + (d - 2) * expectation(beside**2, laws)
    square = normal_moment(2)
    return [
        identity("E g_ii² = 1 + 2/M: M g_ii is χ²_M", chi_squared_moment(M, 2) / M**2, 1 + 2 / M),
        induction("E g_ij² = 1/M, E (Zb*)_k² = B²/M: M products of independent normal numbers over M add up "
            "in mean square", count * square**2 / M**2, count, square**2 / M**2),
        identity("any d: E‖x⁺‖² = E(x⁺·u)² + (d − 2) E(x⁺·w)² at first order", found, stated),
    ]  # fmt: skip


def _derive_floor(spread: bool) -> list[ProofStep]:
    kappa, noise, length, d, N = sp.symbols("kappa sigma B d N", positive=True)
    m, p = sp.symbols("m p", positive=True)
    v, M = 1 / (N * (m - 2)), N * m
    q = (d + (d - 1) * v) / M
    added = (d - 1) * kappa**2 * noise**2 * (1 + v) / (length**2 * M)
    xi, x, y, z, of_mean = sp.symbols("xi x y z of_mean", positive=True)
    laws: dict[Any, Law] = {y: normal_moment, z: normal_moment, x: partial(chi_squared_moment, m)}
    stated = floor(kappa, noise, length, d, N, m) / (1 if spread else 1 + mean_variance(N, m))
    return [
        identity("E r² = (ξ² + 1/B²) v: given ‖X_i a‖², −gᵀx and the noise along b* are normal of variance "
            "ξ²/‖X_i a‖² and 1/(B²‖X_i a‖²)",
            N * expected(((xi * y + z / length) / N) ** 2 / x, laws),
            (xi**2 + 1 / length**2) * mean_variance(N, m)),
        identity(
            "what a round adds, from the moments above", round_noise(kappa, noise, length, d, N, m),
            (d - 1) * kappa**2 * noise**2 * (1 + of_mean) / (length**2 * M),
            where={of_mean: N * expected((z / N) ** 2 / x, laws)}),
        *rate.derive_recursion(kappa, q, added, stated),
        identity(
            "b_i's noise has variance σ²/‖X_i a‖² per output, E 1/χ²_m = 1/(m − 2): E‖b̄‖² grows by pσ²v",
            fit_inflation(noise, p, N, m), p * N * expected((noise * z / N) ** 2 / x, laws)),
    ]  # fmt: skip

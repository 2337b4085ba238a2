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

from typing import Any

import sympy as sp

from theory.samples import mean_square_rate as rate
from theory.samples.bstep import mean_variance
from theory.samples.moments import Law, Symmetric, chi_squared_moment, expectation
from verification.finding import ProofStep
from verification.proof.identities import generic_symmetric, identity


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
    kept = rate.rate_squared(kappa, rate.noise_ratio(d, clients, samples))
    if not isinstance(kept, sp.Basic) and kept >= 1:
        raise ValueError(
            f"kappa must be below 2/(1 + q) for a mean square to exist, got {kappa} with"
            f" mean-square rate {kept:.6g}"
        )
    return round_noise(kappa, noise, length, d, clients, samples) / (1 - kept)


def fit_inflation(noise: Any, outputs: Any, clients: Any, samples: Any) -> Any:
    """`p σ² v`: what label noise adds to E‖b̄‖², for p outputs. Source: theory.md §9."""
    return outputs * noise**2 * mean_variance(clients, samples)


def next_tangent_vector(x: Any, r: Any, gram: Any, label: Any, kappa: Any, length: Any) -> Any:
    """One round of the tangent vector (in units of σ) at σ → 0: `P(x − κ Ḡ(x + r a*) + κ Zb*/B²)`.

    Coordinates with a* the first axis.

    Args:
        x: tangent vector of a over σ, first entry 0, SymPy column of length d.
        r: first-order relative error of b̄ along b*, over σ: `−gᵀx + ν/B`.
        gram: Ḡ of the a-step's samples, d × d.
        label: Zb* = mean_i X_iᵀE_i b*/m, column of length d.
        kappa, length: κ and B.
    """
    a_star = sp.Matrix([1] + [0] * (x.rows - 1))
    moved = x - kappa * gram @ (x + r * a_star) + kappa / length**2 * label
    return sp.Matrix([0, *moved[1:]])


def derive() -> tuple[ProofStep, ...]:
    """The linearised round from the loss, its second moment, the fixed point, the inflation."""
    return (_derive_linearisation(), *_derive_second_moment(), *_derive_floor())


def _derive_linearisation() -> ProofStep:
    """Derivative in σ of the normalised round at d = 3, p = 2 with generic statistics."""
    e, r, across, kappa = sp.symbols("sigma r n kappa", real=True)
    length = sp.Symbol("B", positive=True)
    x = sp.Matrix([0, *sp.symbols("x1:3", real=True)])
    gram = generic_symmetric("g", 3)
    Z = sp.Matrix(3, 2, sp.symbols("z0:6", real=True))  # mean_i X_iᵀE_i/m
    a_star, b_star = sp.Matrix([1, 0, 0]), sp.Matrix([length, 0])
    a = a_star + e * x
    b = b_star * (1 + e * r) + e * sp.Matrix([0, across])  # noise along b* is in r, across it in n
    gradient = 2 * (gram @ (a * b.T - a_star * b_star.T) - e * Z) @ b
    moved = sp.expand(a - kappa / (2 * length**2) * gradient)
    here, change = moved.subs(e, 0), sp.diff(moved, e).subs(e, 0)
    # d(moved/moved_0) where moved_0 = here_0 at σ = 0.
    slope = (change * here[0] - here * change[0]) / here[0] ** 2
    stated = next_tangent_vector(x, r, gram, Z @ b_star, kappa, length)
    return identity(
        "σ → 0: the tangent vector over σ moves by P(x − κḠ(x + r a*) + κZb*/B²); noise across b* "
        "drops out (d = 3, p = 2, generic statistics)",
        slope,
        stated,
    )


def _derive_second_moment() -> list[ProofStep]:
    """E‖x⁺‖² by Wishart moments, for d = 3 and 4 (further coordinates repeat the last).

    Ḡ ~ Wishart_d(M)/M: E g_ii = 1, E g_ij = 0, E g_ii² = 1 + 2/M, E g_ij² = 1/M, other products of
    different entries that occur here have mean 0. Given Ḡ, Zb* is symmetric about 0 (a sign change of the
    noise), with E(Zb*)_k² = B²/M. r is symmetric about 0 and independent of both, with
    E r² = ξ²v + v/B²: from the previous samples' ρ̄ and noise.
    """
    kappa, length, v, xi, M = sp.symbols("kappa B v xi M", positive=True)
    r = sp.Symbol("r", real=True)
    steps = []
    for d in (3, 4):
        x = sp.Matrix([0, xi] + [0] * (d - 2))  # x = ξu, u the second axis
        gram = generic_symmetric("g", d)
        label = sp.Matrix(sp.symbols(f"y0:{d}", real=True))
        moved = next_tangent_vector(x, r, gram, label, kappa, length)
        laws: dict[Any, Law] = {r: Symmetric(xi**2 * v + v / length**2)}
        laws |= dict.fromkeys(label, Symmetric(length**2 / M)) | dict.fromkeys(
            gram, Symmetric(1 / M)
        )
        laws |= dict.fromkeys(gram.diagonal(), {1: 1, 2: 1 + 2 / M}.__getitem__)
        noise_ratio = (d + (d - 1) * v) / M  # q's own formula needs N and m
        stated = rate.rate_squared(kappa, noise_ratio) * xi**2
        stated += (d - 1) * kappa**2 * (1 + v) / (length**2 * M)
        found = expectation(moved.dot(moved), laws)
        steps.append(identity(f"E‖x⁺‖² at first order, d = {d}", found, stated))
    return steps


def _derive_floor() -> list[ProofStep]:
    kappa, noise, length, d, N = sp.symbols("kappa sigma B d N", positive=True)
    m, p = sp.symbols("m p", positive=True)
    v, M, s2 = 1 / (N * (m - 2)), N * m, sp.Symbol("s2")
    q = (d + (d - 1) * v) / M
    added = (d - 1) * kappa**2 * noise**2 * (1 + v) / (length**2 * M)
    balance = sp.solve(sp.Eq(s2, ((1 - kappa) ** 2 + kappa**2 * q) * s2 + added), s2)[0]
    xi = sp.Symbol("xi", positive=True)
    return [
        identity("E r² = (ξ² + 1/B²) v: given ‖X_i a‖², −gᵀx and the noise along b* are normal of variance "
            "ξ²/‖X_i a‖² and 1/(B²‖X_i a‖²)", (xi**2 + 1 / length**2) * chi_squared_moment(m, -1) / N,
            (xi**2 + 1 / length**2) * mean_variance(N, m)),
        identity(
            "what a round adds, from the moments above", round_noise(kappa, noise, length, d, N, m), added),
        identity("its fixed point", sp.cancel(floor(kappa, noise, length, d, N, m) - balance), sp.Integer(0)),
        identity(
            "b_i's noise has variance σ²/‖X_i a‖² per output, E 1/χ²_m = 1/(m − 2): E‖b̄‖² grows by pσ²v",
            fit_inflation(noise, p, N, m), p * noise**2 * chi_squared_moment(m, -1) / N),
    ]  # fmt: skip

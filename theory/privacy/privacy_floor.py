"""Gaussian noise for privacy: RoLoRA's floor, FFA-LoRA's, and FedAvg-LoRA's product of noises (theory.md §9).

Problem: rank 1, homogeneous clients, `Y_i = X_i a* b*ᵀ` with p outputs, no clipping; σ_b is the standard
deviation of the noise in an entry of b̄, σ_a of that in an entry of the moved a. With σ on each of N uploads
both are σ/√N; noise σ_g on the averaged gradient is `σ_a = κσ_g/(2B²)`. B, κ, M, v, q as in theory.md §9.
Exact result, m > 2, as the noise tends to 0:
`E s²_∞ → (d − 1)(κ²σ_b²/(B²M) + σ_a²) / (1 − (1 − κ)² − κ²q)`. At any angle the excess risk after a b-step is
`B²(1 + v)s² + pσ_b²`, RoLoRA's and FFA-LoRA's alike: RoLoRA is ahead in the long run exactly if E s²_∞ is
below FFA-LoRA's s₀². FedAvg-LoRA sends both factors, and exactly
`E‖(A + ξ_A)(B + ξ_B) − AB‖² = σ²(d_in‖B‖² + d_out‖A‖²) + σ⁴ r d_in d_out`.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory.samples import mean_square_rate as rate
from theory.samples import noise
from theory.samples.bstep import mean_variance
from theory.samples.moments import Law, Symmetric, expectation, expected
from verification.finding import ProofStep
from verification.proof.identities import (
    generic_symmetric,
    identity,
    rational_identity,
    sized_identity,
)
from verification.proof.means import average, moment_of


def averaged_variance(sigma: Any, clients: Any) -> Any:
    """`σ²/N`: variance that σ on each of N uploads leaves on their average."""
    return sigma**2 / clients


def gradient_noise(kappa: Any, sigma: Any, length: Any) -> Any:
    """`σ_a = κσ_g/(2B²)` for noise σ_g on the averaged gradient: η times it."""
    return kappa * sigma / (2 * length**2)


def round_noise(
    kappa: Any, noise_b: Any, noise_a: Any, length: Any, d: Any, clients: Any, samples: Any
) -> Any:
    """What one round adds to E s², `(d − 1)(κ²σ_b²/(B²M) + σ_a²)`; `samples` may be sp.oo for M → ∞."""
    return (d - 1) * (kappa**2 * noise_b**2 / (length**2 * clients * samples) + noise_a**2)


def floor(
    kappa: Any, noise_b: Any, noise_a: Any, length: Any, d: Any, clients: Any, samples: Any
) -> Any:
    """Stationary E s² at first order in the noise's variance. Arguments as for `round_noise`.

    Raises:
        ValueError: if numbers are given with m ≤ 2, or κ ≥ 2/(1 + q).
    """
    kept = rate.stable_rate_squared(kappa, rate.noise_ratio(d, clients, samples))
    return round_noise(kappa, noise_b, noise_a, length, d, clients, samples) / (1 - kept)


def population_floor(kappa: Any, noise_a: Any, d: Any) -> Any:
    """The same for m → ∞, `(d − 1)σ_a²/(1 − (1 − κ)²)`: least at κ = 1, for noise on the moved a.

    Raises:
        ValueError: if a numeric κ is not between 0 and 2.
    """
    return (d - 1) * noise_a**2 / (1 - rate.stable_rate_squared(kappa, 0))


def excess(square: Any, noise_b: Any, length: Any, outputs: Any, clients: Any, samples: Any) -> Any:
    """Excess risk `B²(1 + v)s² + pσ_b²` after a b-step, s² = `square`: FFA-LoRA's s₀², RoLoRA's E s²_∞."""
    return length**2 * (1 + mean_variance(clients, samples)) * square + outputs * noise_b**2


def largest_noise(sine: Any, kappa: Any, length: Any, d: Any, clients: Any, samples: Any) -> Any:
    """σ² on every upload up to which RoLoRA's floor is below FFA-LoRA's excess at s₀ = `sine`.

    Raises:
        ValueError: if numbers are given with m ≤ 2, or κ ≥ 2/(1 + q).
    """
    return clients * sine**2 / floor(kappa, 1, 1, length, d, clients, samples)


def product_noise(sigma: Any, of_A: Any, of_B: Any, d_in: Any, d_out: Any, rank: Any) -> Any:
    """`σ²(d_in‖B‖² + d_out‖A‖²) + σ⁴ r d_in d_out`: noise σ on both factors, in their product. Exact.

    With `of_A` = ‖A‖² and `of_B` = ‖B‖² (Frobenius).
    """
    both = sigma**4 * rank * d_in * d_out
    return sigma**2 * (d_in * of_B + d_out * of_A) + both


ARGUED = (
    ("a stationary law exists, and t → ∞ may be exchanged with the noise's limit; the linearised round's "
        "second moment decides", "as in claim noise-floor"),
    ("noise across b* and on b̄ of every angle is independent of the samples, of mean 0",
        "clients draw it after they have fitted"),
)  # fmt: skip
"""What the derivation takes from probability and analysis: statement and reason."""


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The noisy round for every size, its second moment, floor, excess, the crossing, the product.

    Args:
        stretch: multiplies the stated floor, excess and product; 1 for the true statement.
    """
    return (
        _derive_round(),
        *_derive_second_moment(stretch),
        *_derive_excess(stretch),
        *_derive_product(stretch),
    )


def _derive_round() -> ProofStep:
    """The moved factor with b̄ = (1 + εr)b* + εn, n across b*, nn = ‖n‖², and εz added to it."""
    e, r, across, kappa = sp.symbols("epsilon r nn kappa", real=True)
    B = sp.Symbol("B", positive=True)
    d = sp.Symbol("d", integer=True, positive=True)
    G = sp.MatrixSymbol("G", d, d)
    a_star, x, z = (sp.MatrixSymbol(name, d, 1) for name in ("a*", "x", "z"))
    size, shared = B**2 * (1 + e * r) ** 2 + e**2 * across, B**2 * (1 + e * r)
    a = a_star + e * x
    moved = a - kappa / B**2 * G @ (size * a - shared * a_star) + e * z
    stated = noise.tangent_change(x, r, G, B**2 / kappa * z, kappa, B, a_star)
    square = B**2 * r**2 + across
    rest = G @ (square * a_star + (2 * B**2 * r + e * square) * x)
    return sized_identity(
        "any d and p: the moved factor is a* + ε(x − κḠ(x + r a*) + z) + O(ε²): noise across b* drops out at "
        "first order, and without sampling noise that along b* too, as Ḡa* = a*",
        moved,
        a_star + e * stated - e**2 * kappa / B**2 * rest,
    )


def _derive_second_moment(stretch: Any) -> list[ProofStep]:
    """E‖x⁺‖² by Wishart moments, axes a*, u and one for all others, as in claim noise-floor."""
    kappa, B, d, N, m, xi = sp.symbols("kappa B d N m xi", positive=True)
    sb, sa, sigma, sg = sp.symbols("sigma_b sigma_a sigma sigma_g", positive=True)
    r, M, v = sp.Symbol("r", real=True), N * m, mean_variance(N, m)
    gram, label = generic_symmetric("g", 3), sp.Matrix(sp.symbols("y0:3", real=True))
    x, a_star = sp.Matrix([0, xi, 0]), sp.Matrix([1, 0, 0])
    _, inside, beside = noise.tangent_change(x, r, gram, label, kappa, B, a_star)
    laws: dict[Any, Law] = {r: Symmetric(xi**2 * v + sb**2 / B**2)}
    laws |= dict.fromkeys(label, Symmetric(sa**2 * B**4 / kappa**2))
    laws |= dict.fromkeys(gram, Symmetric(1 / M))
    laws |= dict.fromkeys(gram.diagonal(), {1: 1, 2: 1 + 2 / M}.__getitem__)
    found = expectation(inside**2, laws) + (d - 2) * expectation(beside**2, laws)
    q, arguments = rate.noise_ratio(d, N, m), (kappa, sb, sa, B, d, N, m)
    added = round_noise(*arguments)
    large, eta = sp.Symbol("large", positive=True), sp.Symbol("eta", positive=True)
    one, few = sp.Symbol("one", real=True), sp.Symbol("x", positive=True)
    large_m = sp.cancel(sp.together(floor(*arguments).subs(m, 1 / few)))
    return [
        identity("any N, m > 2 and d: E‖x⁺‖² = ((1 − κ)² + κ²q)‖x‖² + (d − 1)(κ²σ_b²/(B²M) + σ_a²), r of "
            "variance v‖x‖² + σ_b²/B²", found, rate.rate_squared(kappa, q) * xi**2 + added),
        *rate.derive_recursion(kappa, q, added, stretch * floor(*arguments)),
        identity("m = 1/x → ∞: the floor of a's noise alone", large_m,
            stretch * population_floor(kappa, sa, d), where={few: 0}),
        identity("σ on each of N uploads: the mean of N independent ones", averaged_variance(sigma, N),
            N * expected((one / N) ** 2, {one: Symmetric(sigma**2)})),
        identity("σ_g on the gradient reaches a as η σ_g, κ = 2ηB²", gradient_noise(kappa, sg, B), eta * sg,
            where={kappa: 2 * eta * B**2}),
        rational_identity("σ on every upload: the floor is N s₀² times the variance over the stated σ²",
            largest_noise(large, kappa, B, d, N, m) * floor(kappa, sa, sa, B, d, N, m),
            N * (large * sa) ** 2),
    ]  # fmt: skip


def _derive_excess(stretch: Any) -> list[ProofStep]:
    """One output j: a b̄_j − a* b*_j = a(n_j + sρ̄ b*_j) − u s b*_j with a ⟂ u unit vectors."""
    s, v, B, p, sb, N, m = sp.symbols("s v B p sigma_b N m", positive=True)
    n, rho, b = sp.symbols("n rho b", real=True)
    other, square = sp.symbols("other square", positive=True)
    laws: dict[sp.Symbol, Law] = {n: Symmetric(sb**2), rho: Symmetric(v)}
    one = expected((n + s * rho * b) ** 2 + (s * b) ** 2, laws)
    stated = excess(s**2, sb, B, p, N, m)
    return [
        identity("any angle and p: the excess after a b-step is B²(1 + v)s² + pσ_b²",
            p * average(one, {b: "b"}), stretch * stated,
            where={v: mean_variance(N, m), moment_of({b: "b"}, (2,)): B**2 / p}),
        identity("so two methods with the same noise on b̄ differ by B²(1 + v) times their squared angles",
            excess(square, sb, B, p, N, m) - excess(other, sb, B, p, N, m),
            B**2 * (1 + mean_variance(N, m)) * (square - other)),
    ]  # fmt: skip


def _derive_product(stretch: Any) -> list[ProofStep]:
    """Of one entry Σ_k ((A + ξ)(B + ζ) − AB): the terms of different k are uncorrelated."""
    sigma, d_in, d_out, r, of_A, of_B = sp.symbols("sigma d_in d_out r of_A of_B", positive=True)
    a, b, x, y, a2, b2, x2, y2 = sp.symbols("a b x y a2 b2 x2 y2", real=True)
    laws: dict[sp.Symbol, Law] = dict.fromkeys((x, y, x2, y2), Symmetric(sigma**2))
    term, other = (a + x) * (b + y) - a * b, (a2 + x2) * (b2 + y2) - a2 * b2
    names = {a: "a", b: "b"}
    known = {
        moment_of(names, (2, 0)): of_A / (d_in * r),
        moment_of(names, (0, 2)): of_B / (d_out * r),
    }
    return [
        identity("terms of different k are uncorrelated", expected(term * other, laws), 0),
        identity("summed over all entries and k: σ²(d_in‖B‖² + d_out‖A‖²) + σ⁴ r d_in d_out",
            d_in * d_out * r * average(expected(term**2, laws), names),
            stretch * product_noise(sigma, of_A, of_B, d_in, d_out, r), where=known),
    ]  # fmt: skip

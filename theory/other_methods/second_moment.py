"""FedSA-LoRA, whose clients keep their own B: Oja's rule for the mean of the targets' squares.

Problem: client i has a target W_i (d × p); A is orthonormal and shared, B_i its own, by least squares; the
server steps A along the mean gradient, of length η, and orthonormalises.
Exact result: with infinitely many samples `Â = A + 2η(I − AAᵀ) C A`, `C = mean_i W_i W_iᵀ`: Oja's subspace
rule, or a Riemannian gradient step, for the second moment C, where RoLoRA's is for the square W̄W̄ᵀ of the
mean. It ends at C's first r eigenvectors with local rate `max_{i≤r<j} |1 + 2η(λ_j − λ_i)|` and the clients'
mean risk Σ_{j>r} λ_j, the least that one A allows. Rank 1, W_i = a* b_i*ᵀ with lengths B_i = ‖b_i*‖: the
map of theory.md §2 with `κ = 2η mean B_i²`. With m fresh samples a client and half-step every client's
gradient is proportional to the angle, so there is no floor, and `E s⁺²/s² → (1 − κ)² + κ² q`, `q = (mean
B_i⁴/(mean B_i²)²)(d + (d − 1)/(m − 2))/M`, M = N·m, m > 2.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from theory.population import population_map
from theory.samples import mean_square_rate as rate
from theory.samples.moments import Law, Symmetric, chi_squared_moment, expected, normal_moment
from verification.finding import ProofStep
from verification.proof.identities import identity, nonnegative_on_box, sized_identity
from verification.proof.means import average, moment_of

Targets = Float[np.ndarray, "N d p"]


def second_moment(targets: Targets) -> Float[np.ndarray, "d d"]:
    """`C = mean_i W_i W_iᵀ`."""
    return np.asarray((targets @ np.swapaxes(targets, 1, 2)).mean(axis=0))


def moved(A: Any, moment: Any, eta: Any) -> Any:
    """`A + 2η(I − AAᵀ) C A`, before orthonormalising; numpy arrays or SymPy matrices. Ours."""
    image = moment @ A
    return A + (2 * eta) * (image - A @ (A.T @ image))


def least_risk(targets: Targets, rank: int) -> float:
    """The clients' mean risk with one A and the best B_i, Σ_{j>r} λ_j(C)."""
    return float(np.linalg.eigvalsh(second_moment(targets))[::-1][rank:].sum())


def local_rate(targets: Targets, rank: int, eta: float) -> float:
    """`max_{i≤r<j} |1 + 2η(λ_j − λ_i)|`, λ the eigenvalues of C."""
    values = np.linalg.eigvalsh(second_moment(targets))[::-1]
    gaps = values[None, rank:] - values[:rank, None]
    return float(np.abs(1.0 + 2.0 * eta * gaps).max())


def effective_kappa(eta: Any, mean_square: Any) -> Any:
    """The dimensionless step `κ = 2η mean B_i²`."""
    return 2 * eta * mean_square


def concentration(lengths: Float[np.ndarray, " N"]) -> float:
    """`mean B_i⁴/(mean B_i²)²` ≥ 1, of the lengths ‖b_i*‖: 1 if all are equal."""
    squares = np.square(lengths)
    return float(np.mean(squares**2) / np.mean(squares) ** 2)


def noise_ratio(concentrated: Any, d: Any, clients: Any, samples: Any) -> Any:
    """`q` of the mean-square rate, from `concentration`; m > 2 samples. Ours."""
    return concentrated * (d + (d - 1) / (samples - 2)) / (clients * samples)


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """Both half-steps for every size and any targets; the local rate; rank 1 and its mean square.

    Args:
        stretch: multiplies the stated q; 1 for the true statement.
    """
    return (*_derive_round(), *_derive_rate(), *_derive_map(), *_derive_samples(stretch))


def _derive_round() -> list[ProofStep]:
    d, p, r = sp.symbols("d p r", integer=True, positive=True)
    A, W = sp.MatrixSymbol("A", d, r), sp.MatrixSymbol("W", d, p)
    C, D = sp.MatrixSymbol("C", d, d), sp.MatrixSymbol("D", d, d)
    B, H = sp.MatrixSymbol("B", r, p), sp.MatrixSymbol("H", r, p)
    eta, e = sp.symbols("eta epsilon", real=True)
    gap = A * B - W
    moved_gap = A * (B + e * H) - W
    return [
        sized_identity("every size: along B + εH client i's risk ‖AB − W_i‖² has the slope 2⟨H, Aᵀ(AB − "
            "W_i)⟩",
            moved_gap.T * moved_gap - gap.T * gap,
            e * (H.T * (A.T * gap) + (A.T * gap).T * H) + e**2 * H.T * A.T * A * H),
        sized_identity("which is 0 at B_i = AᵀW_i, for AᵀA = I: what is left has the factor AᵀA − I",
            A.T * (A * (A.T * W) - W), (A.T * A - sp.Identity(r)) * (A.T * W)),
        sized_identity("every size: client i then pulls A by −(AB_i − W_i)B_iᵀ = (I − AAᵀ)W_iW_iᵀA",
            A - 2 * eta * (A * (A.T * W) - W) * (A.T * W).T, moved(A, W * W.T, eta)),
        sized_identity("any N: one more client adds its own W_iW_iᵀ to C",
            moved(A, C + D, eta) - A, (moved(A, C, eta) - A) + (moved(A, D, eta) - A)),
    ]  # fmt: skip


def _derive_rate() -> list[ProofStep]:
    """Near C's first r eigenvectors, in its eigenbasis: A = (I, εT), C = diag(L, K)."""
    r, k = sp.symbols("r k", integer=True, positive=True)
    L, K, T = sp.MatrixSymbol("L", r, r), sp.MatrixSymbol("K", k, k), sp.MatrixSymbol("T", k, r)
    e, eta, t, low, high = sp.symbols("epsilon eta t low high", real=True)
    square, S = L + e**2 * T.T * K * T, sp.MatrixSymbol("S", r, r)  # AᵀCA
    return [
        sized_identity("every size: the part across moves to εT + 2η(KεT − εT·AᵀCA) = ε(T + 2η(KT − TL)) + "
            "O(ε³)",
            e * T + 2 * eta * (K * (e * T) - e * T * square),
            e * (T + 2 * eta * (K * T - T * L)) - 2 * eta * e**3 * T * T.T * K * T),
        sized_identity("… and the part along stays at I up to ε²: it moves by 2η(L − AᵀCA)",
            2 * eta * (L - S), -2 * eta * e**2 * T.T * K * T, where={S: square}),
        identity("an entry of T + 2η(KT − TL), K and L diagonal: T_ji is multiplied by 1 + 2η(λ_j − λ_i)",
            t + 2 * eta * (low * t - t * high), t * (1 + 2 * eta * (low - high))),
    ]  # fmt: skip


def _derive_map() -> list[ProofStep]:
    c, s, eta, t, mean_square = sp.symbols("c s eta t mean_square", positive=True)
    a, truth = sp.Matrix([c, s]), sp.Matrix([1, 0])  # in the frame of a*
    after = moved(a, mean_square * truth @ truth.T, eta)
    stated = population_map.signed_tangent(t, effective_kappa(eta, mean_square)) ** 2
    onto = {c: 1 / sp.sqrt(1 + t**2), s: t / sp.sqrt(1 + t**2)}
    return [
        identity("rank 1, W_i = a* b_i*ᵀ: C = mean B_i² a*a*ᵀ, and the angle moves by the map of theory.md "
            "§2 with κ = 2η mean B_i² (squares)", (after[1] / after[0]) ** 2, stated, where=onto),
    ]  # fmt: skip


def _derive_samples(stretch: Any) -> list[ProofStep]:
    """E‖x − κ mean_i w_i P G_i(x − ρ_i ξ a*)‖², x = ξu, w_i = B_i²/mean B_i², in the axes a*, u, others.

    G_i ~ Wishart_d(m)/m: E g_uu = 1, E g_uu² = 1 + 2/m, E g_uk² = E g_u1² = E g_k1² = 1/m, mean 0 off the
    diagonal; ρ_i comes from the b-step's samples, independent of mean 0 and variance 1/(m − 2).
    """
    N, m, d, kappa, xi, many = sp.symbols("N m d kappa xi concentration", positive=True)
    weight, rho, g_uu, g_uk, g_u1, g_k1 = sp.symbols("w rho g_uu g_uk g_u1 g_k1", real=True)
    x, z = sp.symbols("x z", positive=True)
    fitted = expected(z**2 / x, {z: normal_moment, x: partial(chi_squared_moment, m)})
    laws: dict[sp.Symbol, Law] = {rho: Symmetric(1 / (m - 2))}
    laws |= dict.fromkeys((g_uk, g_u1, g_k1), Symmetric(1 / m))
    laws |= {g_uu: {1: 1, 2: 1 + 2 / m}.__getitem__}
    lengths = {weight: "w"}
    known = {moment_of(lengths, (1,)): 1, moment_of(lengths, (2,)): many}
    second = sp.Integer(0)
    for pull, here, axes in ((g_uu - rho * g_u1, 1, 1), (g_uk - rho * g_k1, 0, d - 2)):
        centre = expected(pull, laws)
        spread = average(weight**2 * (expected(pull**2, laws) - centre**2), lengths)
        second += axes * (
            (here - kappa * average(weight, lengths) * centre) ** 2 + kappa**2 * spread / N
        )
    q = noise_ratio(many, d, N, m)
    n = sp.Symbol("n", integer=True, positive=True)
    a, u, G = sp.MatrixSymbol("a", n, 1), sp.MatrixSymbol("u", n, 1), sp.MatrixSymbol("G", n, n)
    c, s = sp.symbols("c s", real=True)
    beta = c + s * rho
    equal, own = rate.noise_ratio(d, N, m), noise_ratio(1, d, N, m)
    return [
        sized_identity("every d: client i's gradient over 2B_i²β_i is G_i(β_i a − a*) = s G_i(ρ_i a − u), "
            "0 at a*",
            G * (beta * a - (c * a + s * u)), s * (G * (rho * a - u))),
        identity("Var ρ_i = E[z²/χ²_m] = 1/(m − 2)", fitted, 1 / (m - 2)),
        identity("any N, m > 2 and d: E‖x⁺‖² = ((1 − κ)² + κ²q) ξ²", xi**2 * second,
            xi**2 * rate.rate_squared(kappa, stretch * q), where=known),
        identity("any N: mean B_i⁴ exceeds (mean B_i²)² by the variance of B_i²: q is least for equal "
            "lengths …",
            average(weight**2, lengths) - average(weight, lengths) ** 2,
            average((weight - moment_of(lengths, (1,))) ** 2, lengths)),
        nonnegative_on_box("… where it is no less than RoLoRA's, whose b-step averages the ρ_i", own - equal,
            {N: (1, sp.oo), m: (3, sp.oo), d: (1, sp.oo)}),
    ]  # fmt: skip

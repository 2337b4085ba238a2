"""Smooth non-convex losses: RoLoRA's average squared gradient norm, with every constant (theory.md §13).

Problem: f(A, B) = mean_i f_i(A, B); each block gradient of each f_i is L-Lipschitz in its own block;
stochastic gradients are unbiased with variance ≤ σ²; `mean_i ||∇f_i − ∇f||² ≤ ζ²` in each block at the points
where a half-round starts. A round: K local SGD steps on B from the shared point, average; the same on A.
Guarantee: for η ≤ 1/(14 L K), with G_t = E||∇_B f(Aᵗ, Bᵗ)||² + E||∇_A f(Aᵗ, Bᵗ⁺¹)||²,
`(1/T) Σ G_t ≤ 8(f_0 − f*)/(ηKT) + 16 e² η² L² (3K²ζ² + Kσ²) + 8Lησ²/N`.
"""

import math
from typing import Any

import numpy as np
import sympy as sp

from theory.nonconvex import smooth_problem
from verification.finding import ProofStep
from verification.proof.identities import (
    by_slope,
    follows,
    identity,
    induction,
    nonnegative_on_box,
    positive,
    positive_on_half_line,
    sized_identity,
)

STEP_CONSTANT = 14
"""The guarantee asks for η ≤ 1/(14 L K)."""


def largest_step(L: Any, K: Any) -> Any:
    """The largest admissible η. Works on floats and SymPy expressions. Source: theory.md §13."""
    return 1 / (STEP_CONSTANT * L * K)


def drift(eta: Any, K: Any, zeta2: Any, sigma2: Any, gradient2: Any) -> Any:
    """Bound on mean_i E||x_i^k − x_0||² within a half-round, k < K, from a point with ||∇f||² = gradient2."""
    e2 = sp.E**2 if _symbolic(eta, K) else math.e**2
    return e2 * eta**2 * (3 * K**2 * zeta2 + 3 * K**2 * gradient2 + K * sigma2)


def gradient_bound(
    gap: Any, eta: Any, K: Any, T: Any, L: Any, N: Any, zeta2: Any, sigma2: Any
) -> Any:
    """Bound on the average over T rounds of both blocks' squared gradient norms. Source: theory.md §13.

    For η ≤ `largest_step(L, K)`; the gap is f_0 − f*, or anything above it.
    """
    e2 = sp.E**2 if _symbolic(eta, K) else math.e**2
    return (
        8 * gap / (eta * K * T)
        + 16 * e2 * eta**2 * L**2 * (3 * K**2 * zeta2 + K * sigma2)
        + 8 * L * eta * sigma2 / N
    )


def balanced_step(gap: Any, K: Any, T: Any, L: Any, N: Any, sigma2: Any) -> Any:
    """The η that balances the first and last term: sqrt(N·gap/(L σ² K T)). Source: theory.md §13."""
    root = sp.sqrt if _symbolic(gap, K, T) else np.sqrt
    return root(N * gap / (L * sigma2 * K * T))


def leading_term(gap: Any, K: Any, T: Any, L: Any, N: Any, sigma2: Any) -> Any:
    """First and last term of the bound at the balanced step: 16 sqrt(L σ² gap/(N K T)) = O(1/√(NKT))."""
    root = sp.sqrt if _symbolic(gap, K, T) else np.sqrt
    return 16 * root(L * sigma2 * gap / (N * K * T))


def _symbolic(*values: Any) -> bool:
    return any(isinstance(value, sp.Basic) for value in values)


def derive(shrink: Any = 1) -> tuple[ProofStep, ...]:
    """Every algebraic step of the proof, from one step's descent to the bound, and how they join.

    A hypothesis "≥ 0" that a joining step names is the inequality of an earlier step, an assumption of the
    claim, or one of `ARGUED`. K = 1 has no drift at all (D_0 = 0), so the drift steps take K ≥ 2.

    Args:
        shrink: multiplies the bound; 1 for the true statement.
    """
    return (*_test_function_steps(), *_descent(), *_drift(), *_closing(shrink), *_rate_steps())


ARGUED = (
    ("E f(x̄_{k+1}) ≤ E f(x̄_k) − ηE⟨p, q⟩ + (Lη²/2)(E‖q‖² + σ²/N) with p = ∇f(x̄_k), q the mean of the clients'"
        " gradients, and E‖x − ηg‖² ≤ E‖x − η∇f_i‖² + η²σ² for one client's step",
        "since f changes by the integral of its L-Lipschitz gradient; the noise has mean 0 given the past,"
        " variance at most σ², and is independent between clients"),
    ("inequalities pass under the mean over clients and the expectation", "since means keep order"),
)  # fmt: skip
"""What the proof takes from analysis and probability: statement and reason."""

eta, L, N, T, K = sp.symbols("eta L N T K", positive=True)
zeta2, sigma2, G, D = sp.symbols("zeta2 sigma2 G D", nonnegative=True)
x = sp.Symbol("x", real=True)
d = sp.Symbol("d", integer=True, positive=True)
p, q, r = (sp.MatrixSymbol(name, d, 1) for name in "pqr")


def _square(vector: Any) -> Any:
    return vector.T * vector


def _within() -> tuple[Any, dict[Any, tuple[Any, Any]]]:
    """A step size that runs through all admissible ones, and the share's range."""
    share = sp.Symbol("share", positive=True)
    return share * largest_step(L, K), {share: (0, 1)}


def _descent() -> list[ProofStep]:
    step, admissible = _within()
    now, then, inner = sp.symbols("F_k F_next inner", real=True)
    P, Q, apart, moved = sp.symbols("P Q apart moved", nonnegative=True)
    total = sp.MatrixSymbol("s", d, 1)
    t = sp.Symbol("t", positive=True)
    noise = L * eta**2 * sigma2 / (2 * N)
    return [
        identity("the quadratic model's L/2 is ∫₀¹ Lt dt", sp.Derivative(L / 2 * t**2, t), L * t),
        sized_identity("a step with noise r: ‖p − η(q + r)‖² = ‖p − ηq‖² + η²‖r‖² and terms linear in r",
            _square(p - eta * (q + r)), _square(p - eta * q) + eta**2 * _square(r)
            - eta * (r.T * (p - eta * q) + (p - eta * q).T * r)),
        sized_identity("descent splits: −η⟨p, q⟩ = −(η/2)(‖p‖² + ‖q‖² − ‖p − q‖²), p = ∇f(x̄_k), q = the mean"
            " of the clients' gradients", -eta / 2 * (p.T * q + q.T * p),
            -eta / 2 * (_square(p) + _square(q) - _square(p - q))),
        sized_identity("||∇f(x̄_k)||² ≥ ½||∇f(x_0)||² − ||∇f(x̄_k) − ∇f(x_0)||²: the difference is 2‖p − q/2‖²",
            _square(p) - _square(q) / 2 + _square(p - q), 2 * _square(p - q / 2)),
        sized_identity("one more client adds the same to Σ‖d_i − c‖² and to Σ‖d_i‖² − 2⟨c, Σd_i⟩ + n‖c‖²",
            _square(p) - (q.T * (total + p) + (total + p).T * q) + (N + 1) * _square(q)
            - (N * _square(q) - (q.T * total + total.T * q)), _square(p - q)),
        sized_identity("so for c the mean, N‖mean d_i‖² = Σ‖d_i‖² − Σ‖d_i − c‖² ≤ Σ‖d_i‖², for any N",
            N * _square(q) - (q.T * total + total.T * q), -_square(total) / N, where={q: total / N}),
        nonnegative_on_box("1 − ηL ≥ 0 for every admissible η", sp.simplify(1 - step * L),
            {**admissible, K: (1, sp.oo)}),
        follows("together: one step descends by (η/4)G, up to ηL²D_k and Lη²σ²/(2N) of noise",
            now - eta * G / 4 + eta * L**2 * D + noise - then,
            (1, now - eta * inner + L * eta**2 / 2 * Q + noise - then),
            (eta, inner - (P + Q - apart) / 2),  # an equation: the first step
            (eta / 2, P - G / 2 + moved),
            (eta / 2, L**2 * D - apart),  # Lipschitz, and the square of a mean
            (eta / 2, L**2 * D - moved),
            (eta / 2 * Q, 1 - eta * L)),
    ]  # fmt: skip


def _drift() -> list[ProofStep]:
    step, admissible = _within()
    more, k = sp.Symbol("more", positive=True), sp.Symbol("k", integer=True, nonnegative=True)
    gradients, after, growth = sp.symbols("V D_next a", positive=True)
    log_growth, power, limit = sp.symbols("l a_k E", positive=True)  # log a, a^k, e²
    young = (1 + 1 / (K - 1)) * _square(p) + K * _square(q) - _square(p - q)
    added = 3 * K * eta**2 * (zeta2 + G) + eta**2 * sigma2
    start, further = sp.symbols("k_start k_next", integer=True, nonnegative=True)
    at, before, after_one = ((growth**one - 1) / (growth - 1) for one in (start, k, further))
    return [
        sized_identity("Young: (1 + 1/(K−1))‖p‖² + K‖q‖² − ‖p − q‖² = ‖p + (K−1)q‖²/(K−1) ≥ 0",
            young, _square(p + (K - 1) * q) / (K - 1)),
        sized_identity("three terms: 3(‖p‖² + ‖q‖² + ‖r‖²) − ‖p + q + r‖² is a sum of squares",
            3 * (_square(p) + _square(q) + _square(r)) - _square(p + q + r),
            _square(p - q) + _square(q - r) + _square(p - r)),
        nonnegative_on_box("3Kη²L² ≤ 1/(K−1) for every admissible η",
            sp.simplify(1 / (K - 1) - 3 * K * (step * L) ** 2), {**admissible, K: (2, sp.oo)}),
        follows("together: D_{k+1} ≤ (1 + 2/(K−1)) D_k + 3Kη²(ζ² + G) + η²σ²",
            (1 + 2 / (K - 1)) * D + added - after,
            (1, (1 + 1 / (K - 1)) * D + K * eta**2 * gradients + eta**2 * sigma2 - after),
            (K * eta**2, 3 * (L**2 * D + zeta2 + G) - gradients),
            (D, 1 / (K - 1) - 3 * K * eta**2 * L**2)),
        identity("so D_k ≤ (a^k − 1)/(a − 1) times what a step adds, a = 1 + 2/(K−1): true of D_0 = 0, and"
            " from k to k + 1",
            sp.Matrix([at, after_one]), sp.Matrix([0, growth * before + 1]),
            where={start: 0, further: k + 1}),
        *by_slope("log(1 + x) ≤ x", x - sp.log(1 + x), x, {x: (0, sp.oo)}),
        follows("so k log a ≤ 2 and a^k ≤ e² for k ≤ K − 1 = n", 2 - k * log_growth,
            (k, 2 / more - log_growth), (2 / more, more - k)),
        follows("and (a^k − 1)/(a − 1) ≤ e²K, with E = e², n = K − 1, a_k = a^k",
            (more + 1) * limit - (power - 1) / (2 / more),
            (more / 2, limit - power), (1, more / 2 * limit + limit + more / 2)),
        identity("e²K times what a step adds is the stated drift", K * sp.E**2 * added,
            drift(eta, K, zeta2, sigma2, G)),
    ]  # fmt: skip


def _closing(shrink: Any) -> list[ProofStep]:
    step, admissible = _within()
    c = sp.simplify(1 / (largest_step(L, K) * L * K))  # η L K ≤ 1/c
    first, middle, last, least, descent = sp.symbols("f_0 f_half f_t f_least w", real=True)
    squares, G_A, t = sp.symbols("S G_A t", nonnegative=True)
    k = sp.Symbol("k", integer=True, nonnegative=True)
    noise = L * eta**2 * sigma2 / (2 * N)
    # A half-round, and the part of the drift without G (the part with G is in ¼ − 3e²/c² ≥ ⅛).
    lost = K * eta * L**2 * drift(eta, K, zeta2, sigma2, 0) + K * noise
    kept = eta * K / 8
    return [
        induction("k steps descend by k times what one does", k * descent, k, descent),
        identity("at the largest admissible η, ηLK = 1/14", eta * L * K, sp.Rational(1, 14),
            where={eta: largest_step(L, K)}),
        nonnegative_on_box("(ηLK)² ≤ 1/14² for every admissible η", 1 / c**2 - sp.simplify(step * L * K) ** 2,
            admissible),
        _closing_step(c),
        follows("a half-round descends by (ηK/8)G, up to the drift without G and the noise",
            first - middle - kept * G + lost,
            (1, first - middle - K * (eta * G / 4 - eta * L**2 * drift(eta, K, zeta2, sigma2, G) - noise)),
            (eta * K * G * 3 * sp.E**2, 1 / c**2 - (eta * L * K) ** 2),
            (eta * K * G, sp.Rational(1, 8) - 3 * sp.E**2 / c**2)),
        follows("both halves of a round: from the sum over t rounds to t + 1",
            first - last - kept * (squares + G + G_A) + 2 * (t + 1) * lost,
            (1, first - least - kept * squares + 2 * t * lost),
            (1, least - middle - kept * G + lost),
            (1, middle - last - kept * G_A + lost)),
        follows("after T rounds, with f_T ≥ f* and divided by ηKT/8: the average is at most …",
            (first - least) / (kept * T) + 2 * lost / kept - squares / T,
            (1 / (kept * T), first - last - kept * squares + 2 * T * lost),
            (1 / (kept * T), last - least)),
        identity("… exactly what the claim says its lemmas add up to",
            (first - least) / (kept * T) + 2 * lost / kept, shrink
            * gradient_bound(first - least, eta, K, T, L, N, zeta2, sigma2)),
    ]  # fmt: skip


def _test_function_steps() -> list[ProofStep]:
    t = sp.Symbol("t", real=True)
    y = sp.Symbol("y", nonnegative=True)  # t²
    second = sp.Derivative(smooth_problem.phi(t), t, 2)
    at = sp.simplify(second.doit().subs(t, sp.sqrt(y)))
    return [
        identity("test problem: φ' is its stated formula", sp.Derivative(smooth_problem.phi(t), t),
            smooth_problem.phi_slope(t)),
        identity(f"test problem: φ'' is {at} at y = t²", second, at, where={y: t**2}),
        nonnegative_on_box("test problem: φ'' ≤ 2", 2 - at, {y: (0, sp.oo)}),
        positive_on_half_line("test problem: φ'' ≥ −2", 2 + at, y),
    ]  # fmt: skip


def _closing_step(c: Any) -> ProofStep:
    """¼ − 3e²/c² > ⅛ at the smallest whole c for which it is true."""
    room, before = (sp.Rational(1, 8) - 3 * sp.E**2 / whole**2 for whole in (c, c - 1))
    return positive(
        "G keeps at least ηK/8: ¼ − 3e²η²L²K² > ⅛ at the largest step, and 14 is the least whole",
        room,
        -before,
    )


def _rate_steps() -> list[ProofStep]:
    gap, s2, z2 = sp.symbols("gap s2 z2", positive=True)
    drift_alone = gradient_bound(0, eta, K, T, L, sp.oo, 0, s2)
    both = gradient_bound(gap, eta, K, T, L, N, 0, s2) - drift_alone
    best = balanced_step(gap, K, T, L, N, s2)
    first = sp.Symbol("eta_1", positive=True)  # the balanced step of one round
    drifted, in_one = (
        gradient_bound(0, step, K, rounds, L, sp.oo, z2, s2)
        for step, rounds in ((eta, T), (first, 1))
    )
    return [
        identity("the balanced step minimises the first and last term together",
            sp.Derivative(both, eta), sp.Integer(0), where={eta: best}),
        identity("their sum is then 16 sqrt(Lσ²(f_0 − f*)/(NKT)): O(1/√(NKT))", both,
            leading_term(gap, K, T, L, N, s2), where={eta: best}),
        identity("the drift term is then exactly proportional to 1/T", drifted, in_one / T,
            where={eta: best, first: best.subs(T, 1)}),
    ]  # fmt: skip

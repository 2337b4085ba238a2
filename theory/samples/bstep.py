"""The law of the b-step on Gaussian data: the b-step lemma is a Student-t tail (theory.md §1).

Problem: `Y_i = X_i a* b*ᵀ` with X_i (m × d) i.i.d. N(0, 1) and a at angle θ to a*, `a* = c a + s u`.
Exact result: `b_i = (c + s ρ_i) b*` where `√m ρ_i` is Student t with m degrees of freedom, so
`‖b̄ − c b*‖ ≤ ε' s ‖b*‖` fails with probability `P(|ρ̄| > ε')`: exact for one client, and for N clients
below `0.3315 · v/ε'²`, `v = Var ρ̄ = 1/(N(m − 2))`, and below an exponentially small union bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from math import ceil, floor, isqrt, sqrt
from typing import Any

import numpy as np
import scipy  # loads scipy.special when it is used, which a prediction never does
import sympy as sp
from flint import arb

from theory.samples.moments import Law, Symmetric, chi_squared_moment, expected, normal_moment
from verification.finding import Opinion, ProofStep, Says
from verification.proof.identities import identity, nonnegative_on_box, sized_identity

MIXTURE_CONSTANT = sp.Rational(3315, 10000)
"""Upper bound of max_y y² P(|Z| > y), Z ~ N(0, 1), attained near y = 1.19. Proved in `derive`."""
UNIT = 2**256
"""Whole numbers of this stand for real ones where the constant is proved once more."""
MIXTURE_ARGUMENT = 1.1906
"""Where that maximum lies, to four digits (used to show that the constant cannot be improved)."""


def density(x: Any, samples: Any) -> Any:
    """Density at x of `√m ρ_i`: Student t with m = `samples` degrees of freedom.

    Works on floats, arrays and SymPy expressions. Source: theory.md §1.
    """
    if isinstance(x, sp.Basic) or isinstance(samples, sp.Basic):
        scale = sp.gamma((samples + 1) / 2) / (sp.sqrt(sp.pi * samples) * sp.gamma(samples / 2))
    else:
        half = samples / 2.0
        scale = np.exp(scipy.special.gammaln(half + 0.5) - scipy.special.gammaln(half))
        scale = scale / np.sqrt(np.pi * samples)
    return scale * (1 + x**2 / samples) ** (-(samples + 1) / 2)


def tail(epsilon: Any, samples: Any) -> Any:
    """`P(|ρ_i| > ε)` for one client with m = `samples`, exactly. Floats and arrays, ε ≥ 0."""
    return 2.0 * scipy.special.stdtr(samples, -np.asarray(epsilon) * np.sqrt(samples))


def moment(order: int, samples: Any) -> Any:
    """`E ρ_i^order` for an even order < m: `(order − 1)!! / ((m − 2)(m − 4)…(m − order))`.

    Raises:
        ValueError: if `order` is odd, negative, or not below a numeric `samples` (infinite moment).
    """
    if order < 0 or order % 2:
        raise ValueError(f"order must be even and non-negative, got {order}")
    if not isinstance(samples, sp.Basic) and order >= samples:
        raise ValueError(f"order must be below samples = {samples}, got {order}")
    value: Any = 1
    for j in range(1, order // 2 + 1):
        value = value * (2 * j - 1) / (samples - 2 * j)
    return value


def mean_variance(clients: Any, samples: Any) -> Any:
    """`v = Var ρ̄ = 1/(N(m − 2))`. Source: theory.md §1.

    Raises:
        ValueError: if a numeric `samples` is at most 2 (infinite variance).
    """
    if not isinstance(samples, sp.Basic) and samples <= 2:
        raise ValueError(f"samples must exceed 2 for a finite variance, got {samples}")
    return 1 / (clients * (samples - 2))


def quadratic_bound(epsilon: Any, clients: Any, samples: Any) -> Any:
    """`P(|ρ̄| > ε) ≤ 0.3315 v/ε²` for any number of clients, m > 2. Ours.

    Three times sharper than Chebyshev, because ρ̄ is a Gaussian of random variance; the constant is the
    best one for such mixtures (reached as m → ∞).
    """
    return float(MIXTURE_CONSTANT) * mean_variance(clients, samples) / epsilon**2


def union_bound(epsilon: Any, clients: Any, samples: Any) -> Any:
    """`P(|ρ̄| > ε) ≤ N P(χ²_m < m/2) + P(|Z| > ε √(Nm/2))`, exponentially small in m. Ours.

    On the event that every client has ‖X_i a‖² ≥ m/2, ρ̄ given the X_i a is Gaussian of variance at
    most 2/(Nm). Floats and arrays.
    """
    thin = clients * scipy.special.gammainc(samples / 2.0, samples / 4.0)
    return thin + scipy.special.erfc(epsilon * np.sqrt(clients * samples) / 2.0)


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """Closed form, conditional law, density, moments, variance of the mean, and the two bounds.

    Args:
        stretch: multiplies the stated width of ρ_i; 1 for the true statement.
    """
    return (
        *_derive_law(),
        *_derive_moments(stretch),
        *_derive_mills(),
        _derive_constant(),
        *_derive_union(),
    )


def _derive_law() -> list[ProofStep]:
    c, s, m, k = sp.symbols("c s m k", positive=True)
    x = sp.Symbol("x", real=True)
    size = sp.Symbol("m", integer=True, positive=True)
    g, h = (sp.MatrixSymbol(name, size, 1) for name in ("g", "h"))  # X a and X u
    beta, gh = sp.symbols("beta gh", real=True)
    gg, hh = sp.symbols("gg hh", positive=True)
    residual = beta * g - (c * g + s * h)
    loss = (beta - c) ** 2 * gg - 2 * (beta - c) * s * gh + s**2 * hh
    weight = sp.Symbol("weight", real=True)  # z is linear in h, wᵀh with w = g·weight, given g
    t, w = sp.symbols("t w", real=True)
    one = sp.integrate(sp.exp(t * w * x - x**2 / 2), (x, -sp.oo, sp.oo)) / sp.sqrt(2 * sp.pi)
    normal = sp.exp(-(x**2) * k / (2 * m)) * sp.sqrt(k / m) / sp.sqrt(2 * sp.pi)
    chi = k ** (m / 2 - 1) * sp.exp(-k / 2) / (2 ** (m / 2) * sp.gamma(m / 2))
    mixed = sp.integrate(
        sp.powsimp(sp.expand_mul(normal * chi), force=True), (k, 0, sp.oo), conds="none"
    )
    return [
        sized_identity(
            "any m: the loss of β b* is a quadratic in β",
            residual.T @ residual,
            (beta - c) ** 2 * g.T @ g - (beta - c) * s * (g.T @ h + h.T @ g) + s**2 * h.T @ h,
        ),
        identity(
            "least squares: its slope is 0 at β_i = c + s ρ_i with ρ_i = z/‖g‖, z = h·g/‖g‖",
            sp.Derivative(loss, beta),
            sp.Integer(0),
            where={beta: c + s * gh / gg},
        ),
        identity(
            "E exp(t w h) = exp(t²w²/2) for a standard normal h", one, sp.exp(t**2 * w**2 / 2)
        ),
        identity(
            "given g, z = Σ w_k h_k with Σ w_k² = 1: E[exp(t z) | g] = exp(t²/2), whatever g",
            weight**2 * gg,
            1,
            where={weight: 1 / sp.sqrt(gg)},
        ),
        identity(
            "every m: the mixture over ‖g‖² ~ χ²_m of the normal density of √m z/‖g‖ is the density of "
            "Student t",
            mixed,
            density(x, m),
        ),
    ]


def _derive_moments(stretch: Any) -> list[ProofStep]:
    m = sp.Symbol("m", positive=True)
    N = sp.Symbol("N", positive=True, integer=True)
    z, x, rho = sp.symbols("z x rho", positive=True)
    laws: dict[sp.Symbol, Law] = {z: normal_moment, x: partial(chi_squared_moment, m)}
    steps = []
    for order in (2, 4, 6):
        half = order // 2
        by_gamma = sp.gamma(m / 2 - half) / (2**half * sp.gamma(m / 2))
        steps += [
            identity(f"E ρ_i^{order} = E z^{order} · E(χ²_m)^(−{half}), m > {order}",
                stretch**order * moment(order, m), expected(z**order * x ** (-half), laws)),
            identity(f"E(χ²_m)^(−{half}) by the Gamma integral", chi_squared_moment(m, -half), by_gamma),
        ]  # fmt: skip
    words = "N independent clients of mean 0: Var ρ̄ = E ρ_i²/N"
    total = N * expected((rho / N) ** 2, {rho: Symmetric(moment(2, m))})
    return [*steps, identity(words, mean_variance(N, m), total)]


def _derive_mills() -> list[ProofStep]:
    """P(|Z| > y) ≤ √(2/π) exp(−y²/2)/y, and y exp(−y²/2) falls beyond 1: the constant's last stretch."""
    y = sp.Symbol("y", positive=True)
    bound = sp.sqrt(2 / sp.pi) * sp.exp(-(y**2) / 2) / y
    gap = bound - sp.erfc(y / sp.sqrt(2))
    scaled = sp.Derivative(y * sp.exp(-(y**2) / 2), y) * sp.exp(y**2 / 2)
    return [
        identity("Mills: the gap between √(2/π) exp(−y²/2)/y and P(|Z| > y) has slope "
            "−√(2/π) exp(−y²/2)/y² < 0 …", sp.Derivative(gap, y), -bound / y),
        identity("… and tends to 0 as y → ∞: it is positive", sp.Limit(gap, y, sp.oo, "-"), sp.Integer(0)),
        nonnegative_on_box("y exp(−y²/2) falls for y ≥ 1", -scaled, {y: (1, sp.oo)}),
    ]  # fmt: skip


def _derive_union() -> list[ProofStep]:
    """With indicators x_i of thin clients (‖X_i a‖² < m/2), y of a failure, P_n = Π_{i<n} (1 − x_i)."""
    N, m, epsilon, V, k, x, y, S, P, more = sp.symbols(
        "N m epsilon V k x y S P more", positive=True
    )
    share = 1 / (N**2 * (m / 2 + k))  # of Var(ρ̄ | g), from a client of ‖X_i a‖² = m/2 + k
    tail = sp.erfc(epsilon / sp.sqrt(2 * V))
    unit = {x: (0, 1), P: (0, 1)}
    return [
        nonnegative_on_box("Boole by induction on the clients: P_n ≥ 1 − S_n, S_n = Σ x_i, gives P_{n+1} ≥ "
            "1 − S_{n+1} for 0 ≤ x, P ≤ 1", (P * (1 - x) - (1 - S - x)).subs(S, 1 - P + more),
            unit | {more: (0, sp.oo)}),
        nonnegative_on_box("so y ≤ S + y P: a failure needs a thin client, or happens without one",
            (S + y * P - y).subs(P, 1 - S + more), {S: (0, 1), y: (0, 1), more: (0, sp.oo)}),
        nonnegative_on_box("without a thin client each adds at most 2/(N²m) to the variance of ρ̄ …",
            2 / (N**2 * m) - share, {k: (0, sp.oo), N: (1, sp.oo), m: (1, sp.oo)}),
        identity("… and N of them 2/(Nm)", N * x, 2 / (N * m), where={x: 2 / (N**2 * m)}),
        identity("P(|√V Z| > ε) = erfc(ε/√(2V)) grows with the variance V: its slope is positive",
            sp.Derivative(tail, V),
            epsilon * sp.exp(-(epsilon**2) / (2 * V)) / (sp.sqrt(2 * sp.pi) * V ** sp.Rational(3, 2))),
        identity("at V = 2/(Nm) it is P(|Z| > ε √(Nm/2)) = erfc(ε √(Nm)/2)", tail,
            sp.erfc(epsilon * sp.sqrt(N * m) / 2), where={V: 2 / (N * m)}),
    ]  # fmt: skip


def _derive_constant() -> ProofStep:
    """y² P(|Z| > y) ≤ MIXTURE_CONSTANT for all y ≥ 0, in ball arithmetic and once more in whole numbers.

    With V the variance of ρ̄ given the X_i a, y = ε/√V: P(|ρ̄| > ε | V) ≤ constant·V/ε², and E V = v.
    """
    limit = arb(int(MIXTURE_CONSTANT.p)) / int(MIXTURE_CONSTANT.q)
    root_half = (arb(1) / 2).sqrt()
    end, least_width = 8, Fraction(1, 2**20)
    stack, pieces, holds = [(Fraction(0), Fraction(end))], list[tuple[Fraction, Fraction]](), True
    while stack and holds:
        low, high = stack.pop()
        # y² grows and the tail falls: their product on the piece is below high² · tail(low).
        if _ball(high) ** 2 * (_ball(low) * root_half).erfc() < limit:
            pieces.append((low, high))
            continue
        holds = high - low > least_width
        middle = (low + high) / 2
        stack += [(low, middle), (middle, high)]
    # Beyond, by the steps above it: √(2/π) y exp(−y²/2), which falls for y > 1.
    beyond = arb(end) * (-(arb(end) ** 2) / 2).exp()
    holds = holds and bool(beyond < limit)
    again = holds and _in_whole_numbers(sorted(pieces), Fraction(end))
    words = f"the series of the normal integral, in whole numbers, on the same {len(pieces)} pieces"
    return ProofStep(
        f"y² P(|Z| > y) ≤ {float(MIXTURE_CONSTANT)} for every y ≥ 0",
        holds,
        f"Arb balls on {len(pieces)} pieces of [0, {end}], Mills' bound beyond"
        if holds
        else "a piece as short as 2⁻²⁰ could not be enclosed below the constant",
        (Opinion("whole numbers", Says.AGREES if again else Says.NOTHING, words),),
    )


def _in_whole_numbers(pieces: Sequence[tuple[Fraction, Fraction]], end: Fraction) -> bool:
    """Whether the pieces cover [0, end] and the bound holds on each and beyond, without Arb."""
    limit = Fraction(int(MIXTURE_CONSTANT.p), int(MIXTURE_CONSTANT.q))
    ends = [Fraction(0), *(high for _, high in pieces)]
    covered = ends[-1] == end and all(low == at for (low, _), at in zip(pieces, ends, strict=False))
    root = Fraction(
        isqrt(2 * UNIT**2 * 10**10 // 31415926536), UNIT
    )  # below √(2/π), as π < 3.1415926536
    inside = all(high**2 * (1 - root * _normal_integral(low)) < limit for low, high in pieces)
    return (
        covered and inside and end * Fraction(1, 2) ** int(end**2 / 2) < limit
    )  # e > 2 and √(2/π) < 1


def _normal_integral(y: Fraction) -> Fraction:
    """At least ∫₀^y exp(−t²/2) dt: its alternating series, up to a negative term, rounded downwards."""
    square, order, total = y**2 / 2, 0, 0
    least = most = UNIT * y  # between them UNIT·y·squareⁿ/n!, n = order
    while (
        order % 2 or order <= square or most > UNIT // 2**60
    ):  # then the terms fall, and the next is ≥ 0
        odd = 2 * order + 1
        total += -ceil(most / odd) if order % 2 else floor(least / odd)
        order += 1
        least, most = Fraction(floor(least * square / order)), Fraction(ceil(most * square / order))
    return Fraction(total, UNIT)


def _ball(value: Fraction) -> arb:
    return arb(value.numerator) / value.denominator


def tightness() -> float:
    """Exact tail over `quadratic_bound` for one client with 10⁶ samples at the worst ε: nearly 1."""
    samples = 10**6
    epsilon = MIXTURE_ARGUMENT * sqrt(mean_variance(1, samples))
    return float(tail(epsilon, samples) / quadratic_bound(epsilon, 1, samples))

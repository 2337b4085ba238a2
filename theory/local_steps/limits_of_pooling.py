"""With two or more local steps on A, more clients do not replace samples a client (theory.md §6).

Problem: rank 1, `Y_i = X_i a* b*ᵀ`, the b-step by least squares, then K gradient steps of each client on A on
its own m samples, one average, κ = 2η‖b*‖², `G = XᵀX/m`, `H = (I − κG)^K`.
Exact result: a client moves a small tangent vector x, the averaged b-step having answered `b̄ = (1 + r)b*`, to
`H(x + r a*) − r a*`. Fresh data, m > 2, with α = E H_uu², β = E H_uk², μ = E tr H/d, v = 1/(N(m − 2)):
`E‖x⁺‖²/‖x‖² = μ² + (α + (d − 2)β − μ² + v(d − 1)β)/N`, which as N → ∞ tends to μ², not to (1 − κ)^(2K). At
K = 2, `μ = (1 − κ)² + κ²(d + 1)/m`. All are polynomials in κ by the trace moments of a Wishart matrix. K → ∞,
m < d: H is the projection on the k = d − m directions that a client has not seen. Fixed data: the rate is the
spectral radius of `P mean_i(H_i) (I − a*gᵀ)P`.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from theory.samples import bstep, fixed_data, pooled_samples, wishart_traces
from theory.samples import mean_square_rate as rate
from theory.samples.moments import Law, Symmetric, expected
from verification.finding import ProofStep
from verification.proof.identities import (
    identity,
    nonnegative_on_box,
    rational_identity,
    sized_identity,
)

MOST_STEPS = 12
"""K beyond which `exhausted_mean_square` is what to ask for."""


def mean_factor(kappa: Any, d: Any, samples: Any, local_steps: int) -> Any:
    """`μ = E tr(I − κG)^K/d`: what N → ∞ leaves of a small angle, exactly; above (1 − κ)^K for K ≥ 2.

    Numbers or SymPy expressions.

    Raises:
        ValueError: if K is not from 1 to `MOST_STEPS`.
    """
    return _out(_trace(kappa, d, samples, _checked(local_steps)) / d)


def entry_squares(d: Any, of_square: Any, squared: Any) -> tuple[Any, Any]:
    """(E H_uu², E H_uk²) from E tr H² and E (tr H)² of a symmetric H whose law no rotation changes, d ≥ 2."""
    beta = (d * of_square - squared) / (d * (d - 1) * (d + 2))
    return of_square / d - (d - 1) * beta, beta


def averaged_square(mu: Any, alpha: Any, beta: Any, d: Any, clients: Any, v: Any) -> Any:
    """`μ² + (α + (d − 2)β − μ² + v(d − 1)β)/N`, E‖x⁺‖²/‖x‖² after one average."""
    return mu**2 + (alpha + (d - 2) * beta - mu**2 + v * (d - 1) * beta) / clients


def mean_square(kappa: Any, d: Any, clients: Any, samples: Any, local_steps: int) -> Any:
    """E‖x⁺‖²/‖x‖² of a round of K local steps on fresh data, exactly, for m > 2.

    Raises:
        ValueError: if a numeric m is at most 2, or K not from 1 to `MOST_STEPS`.
    """
    steps = _checked(local_steps)
    v = bstep.mean_variance(clients, samples)
    mu = _trace(kappa, d, samples, steps) / d
    of_square, squared = _trace(kappa, d, samples, 2 * steps), _square(kappa, d, samples, steps)
    alpha, beta = entry_squares(d, of_square, squared)
    return _out(averaged_square(mu, alpha, beta, d, clients, v))


def exhausted_mean_square(d: Any, clients: Any, samples: Any) -> Any:
    """The same for K → ∞, whatever κ: m > 2; 0 for a numeric m ≥ d, where a client sees every direction.

    Raises:
        ValueError: if a numeric m is at most 2.
    """
    v = bstep.mean_variance(clients, samples)
    if all(not isinstance(x, sp.Basic) for x in (d, samples)) and samples >= d:
        return 0.0
    k = d - samples
    return averaged_square(k / d, *entry_squares(d, k, k**2), d, clients, v)


def two_step_threshold(d: Any, samples: Any) -> Any:
    """Steps κ below which two local steps shrink the angle with infinitely many clients: `2m/(m + d + 1)`."""
    return 2 * samples / (samples + d + 1)


def two_step_best(d: Any, samples: Any) -> Any:
    """The least μ at K = 2, at κ = m/(m + d + 1): `(d + 1)/(m + d + 1)`, 0 for one step at κ = 1."""
    return (d + 1) / (samples + d + 1)


def fixed_jacobian(
    grams: Float[np.ndarray, "N d d"],
    a_star: Float[np.ndarray, " d"],
    kappa: float,
    local_steps: int,
) -> Float[np.ndarray, "d d"]:
    """`P mean_i (I − κG_i)^K (I − a*gᵀ) P` on data that the clients keep."""
    one = np.eye(len(a_star))
    project = one - np.outer(a_star, a_star)
    moved = np.mean([np.linalg.matrix_power(one - kappa * G, local_steps) for G in grams], axis=0)
    answer = one - np.outer(a_star, fixed_data.fit_direction(grams, a_star))
    return np.asarray(project @ moved @ answer @ project)


def fixed_rate(
    grams: Float[np.ndarray, "N d d"],
    a_star: Float[np.ndarray, " d"],
    kappa: float,
    local_steps: int,
) -> float:
    """Its spectral radius: the factor by which small angles change in the long run."""
    eigenvalues = np.linalg.eigvals(fixed_jacobian(grams, a_star, kappa, local_steps))
    return float(np.max(np.abs(eigenvalues)))


def _checked(local_steps: int) -> int:
    if not 1 <= local_steps <= MOST_STEPS:
        raise ValueError(f"local_steps must lie between 1 and {MOST_STEPS}, got {local_steps}")
    return local_steps


def _terms(kappa: Any, samples: Any, power: int) -> list[Any]:
    """Coefficients of W^j in (I − κW/m)^power; exact for numbers, whose alternating sums lose digits."""
    if not any(isinstance(x, sp.Basic) for x in (kappa, samples)):
        kappa, samples = Fraction(kappa), Fraction(samples)
    return [comb(power, j) * (-kappa / samples) ** j for j in range(power + 1)]


def _trace(kappa: Any, d: Any, samples: Any, power: int) -> Any:
    """E tr (I − κG)^power."""
    terms = _terms(kappa, samples, power)
    return sum(c * wishart_traces.trace_moment((j,), d, samples) for j, c in enumerate(terms))


def _square(kappa: Any, d: Any, samples: Any, power: int) -> Any:
    """E (tr (I − κG)^power)²."""
    terms = _terms(kappa, samples, power)
    return sum(
        a * b * wishart_traces.trace_moment((i, j), d, samples)
        for i, a in enumerate(terms)
        for j, b in enumerate(terms)
    )


def _out(value: Any) -> Any:
    return sp.sympify(value) if isinstance(value, sp.Basic) else float(value)


ARGUED = (
    ("H, a function of the Wishart matrix G, has a law that no rotation and no sign changes: mean μI, "
        "uncorrelated entries off the diagonal of one variance, E H_uu² and E H_uk² the same for all axes",
        "since G has, and a function of a matrix turns with it"),
    wishart_traces.ARGUED,
    ("for K → ∞ and m < d, H tends to a projection on d − m directions that no rotation prefers",
        "where κ times G's largest eigenvalue is below 2, (1 − κλ)^K tends to 1 at λ = 0 and else to 0; the "
        "local gradient flow tends to it at any κ"),
    ("the limit s → 0 passes under the expectation, for m > 2", "as in claim mean-square-rate, K times"),
)  # fmt: skip
"""What the derivation takes from probability and analysis: statement and reason."""


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """A client's K steps, the second moment of their average, the entries' squares, K = 1, 2 and ∞.

    Args:
        stretch: multiplies the stated mean squares; 1 for the true statement.
    """
    return (
        *wishart_traces.derive(),
        *_derive_steps(),
        *_derive_second_moment(stretch),
        *_derive_cases(stretch),
    )


def _derive_steps() -> list[ProofStep]:
    d = sp.Symbol("d", integer=True, positive=True)
    e, r, kappa = sp.symbols("epsilon r kappa", real=True)
    a_star, y, g = (sp.MatrixSymbol(name, d, 1) for name in ("A", "y", "g"))
    G, H, one = sp.MatrixSymbol("G", d, d), sp.MatrixSymbol("H", d, d), sp.Identity(d)
    pull = G * ((a_star + e * y) * (1 + e * r) ** 2 - a_star * (1 + e * r))
    rest = G * (r**2 * a_star + (2 * r + e * r**2) * y)
    return [
        sized_identity("every d: one local step from a* + εy with b̄ = (1 + εr)b* pulls by ε G(y + r a*) + "
            "O(ε²)", pull, e * G * (y + r * a_star) + e**2 * rest),
        sized_identity("so y + r a* is multiplied by I − κG in every step, and by H = (I − κG)^K in K",
            y - kappa * G * (y + r * a_star) + r * a_star, (one - kappa * G) * (y + r * a_star)),
        sized_identity("on data that the clients keep, r = −gᵀx: H(x − a*gᵀx) = H(I − a*gᵀ)x; r a* itself "
            "lies along a*", H * (y - a_star * g.T * y), H * (one - a_star * g.T) * y),
    ]  # fmt: skip


def _derive_second_moment(stretch: Any) -> list[ProofStep]:
    N, d, xi, mu, alpha, beta, v = sp.symbols("N d xi mu alpha beta v", positive=True)
    r, uu, uk, u1, k1 = sp.symbols("r h_uu h_uk h_u1 h_k1", real=True)
    laws: dict[sp.Symbol, Law] = dict.fromkeys((uk, u1, k1), Symmetric(beta))
    laws |= {uu: {1: mu, 2: alpha}.__getitem__, r: Symmetric(xi**2 * v)}
    along, across = xi * uu + r * u1, xi * uk + r * k1  # one client's, for x = ξu
    found = (mu * xi) ** 2 + (expected(along**2 + (d - 2) * across**2, laws) - (mu * xi) ** 2) / N
    p, q, h = sp.symbols("p q h", real=True)
    turn = sp.Matrix([[1, 1], [-1, 1]]) / sp.sqrt(2)
    turned = (turn * sp.Matrix([[p, h], [h, q]]) * turn.T)[0, 1]
    of_square, squared = (
        d * alpha + d * (d - 1) * beta,
        d * alpha + d * (d - 1) * (alpha - 2 * beta),
    )
    named = sp.Matrix(entry_squares(d, of_square, squared))
    return [
        identity("any N, m > 2 and d: the mean of N independent clients has the mean μx, and an Nth of one "
            "client's variance", found, stretch * averaged_square(mu, alpha, beta, d, N, v) * xi**2),
        identity("turned by 45° the entry off the diagonal is half the diagonal's difference: 4 E H_uk² = "
            "2 E H_uu² − 2 E H_uu H_kk, so E H_uu H_kk = α − 2β", (2 * turned) ** 2, p**2 + q**2 - 2 * p * q),
        rational_identity("α from E tr H² = dα + d(d − 1)β and E (tr H)² = dα + d(d − 1)(α − 2β)",
            named[0], alpha),
        rational_identity("and β", named[1], beta),
    ]  # fmt: skip


def _derive_cases(stretch: Any) -> list[ProofStep]:
    kappa, d, N, m = sp.symbols("kappa d N m", positive=True)
    k, more = sp.symbols("k more", positive=True)
    two, v = mean_factor(kappa, d, m, 2), bstep.mean_variance(N, m)
    beta = k * (d - k) / (d * (d - 1) * (d + 2))
    seen = (k / d - beta) / N + (1 - 1 / N) * (k / d) ** 2 + v * (d - 1) * beta / N
    best = two_step_threshold(d, m) / 2
    return [
        rational_identity("K = 1 is the averaged step: E‖x⁺‖²/‖x‖² = (1 − κ)² + κ²q",
            mean_square(kappa, d, N, m, 1), rate.rate_squared(kappa, stretch * rate.noise_ratio(d, N, m))),
        rational_identity("K = 2: μ = (1 − κ)² + κ²(d + 1)/m", two,
            (1 - kappa) ** 2 + stretch * kappa**2 * (d + 1) / m),
        rational_identity("the same as claim pooled-samples measures", two,
            pooled_samples.two_step_factor(kappa, d, m)),
        rational_identity("it is below 1 exactly for κ < 2m/(m + d + 1)", 1 - two,
            kappa * (m + d + 1) / m * (two_step_threshold(d, m) - kappa)),
        rational_identity("and least at half of that", two.subs(kappa, best), two_step_best(d, m)),
        rational_identity("by completing the square", two - two_step_best(d, m),
            (1 + (d + 1) / m) * (kappa - best) ** 2),
        rational_identity("K → ∞, k = d − m: E tr H² = k and E (tr H)² = k², as H projects on k directions",
            exhausted_mean_square(d, N, m), seen, where={k: d - m}),
        nonnegative_on_box("it is at least (1 − m/d)² for every N, d > m > 2 and stays so as N → ∞",
            exhausted_mean_square(m + more, N, m) - (more / (m + more)) ** 2,
            {m: (3, sp.oo), more: (1, sp.oo), N: (1, sp.oo)}),
    ]  # fmt: skip

"""Every moment of the traces of a Wishart matrix's powers, exactly, by integration by parts.

W = XᵀX for X of n × d standard normal numbers. With tr W⁰ = d,
`E[tr W^(k+1) p] = (n + k) E[tr W^k p] + Σ_{j<k} E[tr W^(j+1) tr W^(k−1−j) p]
+ Σ_i 2 μ_i E[tr W^(k+μ_i) p/tr W^(μ_i)]` for a product p of further traces tr W^(μ_i): on the right
stands one power of W fewer, so that it ends.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import sympy as sp

from theory.samples.moments import expected, normal_moment
from verification.finding import ProofStep
from verification.proof.identities import generic_matrix, identity

MOST = 24
"""Largest sum of powers."""


def trace_moment(powers: tuple[int, ...], d: Any, degrees: Any) -> Any:
    """`E Π_i tr W^(powers_i)` of a d × d Wishart matrix; numbers or SymPy expressions.

    Raises:
        ValueError: if a power is negative, or their sum above `MOST`.
    """
    if min(powers, default=0) < 0 or sum(powers) > MOST:
        raise ValueError(f"powers must be non-negative with a sum up to {MOST}, got {powers}")
    return _moment(tuple(sorted(powers, reverse=True)), d, degrees)


@cache
def _moment(powers: tuple[int, ...], d: Any, n: Any) -> Any:
    """The same for powers in falling order."""
    if not powers or powers[0] == 0:
        return d ** len(powers)
    k, others = powers[0] - 1, powers[1:]

    def of(*more: int, without: int | None = None) -> Any:
        rest = others if without is None else others[:without] + others[without + 1 :]
        return _moment(tuple(sorted((*rest, *more), reverse=True)), d, n)

    total = (n + k) * of(k)
    for j in range(k):
        total += of(j + 1, k - 1 - j)
    for place, power in enumerate(others):
        total += 2 * power * of(k + power, without=place)
    return sp.expand(total) if isinstance(total, sp.Basic) else total


ARGUED = (
    "the trace recursion holds for every size, power and product of traces",
    "by E x f(x) = E f'(x) for each entry of X, and ∂W = (∂X)ᵀX + Xᵀ∂X with the product rule; the steps have "
    "both derivatives at one size",
)
"""What the derivation takes from analysis: statement and reason."""


def derive() -> tuple[ProofStep, ...]:
    """The two derivatives in the recursion at one size, and moments by expansion in normal numbers."""
    n, d = 3, 2
    X = generic_matrix("x", n, d)
    W = X.T * X
    entries = [(a, i) for a in range(n) for i in range(d)]
    powers = [sp.eye(d), W, sp.expand(W * W), sp.expand(W * W * W)]
    traces = [sp.expand(power.trace()) for power in powers]
    steps = []
    for k in range(3):
        moved = X * powers[k]
        found = sp.Add(*(sp.Derivative(sp.expand(moved[at]), X[at]) for at in entries))
        stated = (n + k) * traces[k] + sum(traces[j + 1] * traces[k - 1 - j] for j in range(k))
        words = f"Σ ∂(XW^{k})_ai/∂x_ai = (n + {k}) tr W^{k} + Σ_j tr W^(j+1) tr W^({k}−1−j), n = 3, d = 2"
        steps.append(identity(words, found, stated))
    for mu, k in ((1, 1), (2, 0), (2, 1)):
        moved = X * powers[k]
        found = sp.Add(*(moved[at] * sp.Derivative(traces[mu], X[at]) for at in entries))
        words = f"Σ (XW^{k})_ai ∂tr W^{mu}/∂x_ai = {2 * mu} tr W^{k + mu}, n = 3, d = 2"
        steps.append(identity(words, found, 2 * mu * traces[k + mu]))
    laws = dict.fromkeys(X, normal_moment)
    for given in ((1, 1), (2,), (2, 1), (3,)):
        product = sp.Mul(*(traces[k] for k in given))
        words = f"E of the product of tr W^k, k = {given}, n = 3, d = 2, term by term"
        steps.append(identity(words, expected(product, laws), trace_moment(given, d, n)))
    m, D = sp.symbols("m d", positive=True)
    steps.append(identity("E tr W² = md(m + d + 1), E (tr W)² = md(md + 2)",
        sp.Matrix([trace_moment((2,), D, m), trace_moment((1, 1), D, m)]),
        sp.Matrix([m * D * (m + D + 1), m * D * (m * D + 2)])))  # fmt: skip
    return tuple(steps)

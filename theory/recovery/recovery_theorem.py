"""The paper's recovery theorem: how many rounds it asks for, and what it promises then.

Rank-1 linear model, homogeneous clients, Algorithm 2: with enough samples, after
`T ≥ 2 log(δ⁰/ε)/(η (1 − (δ⁰)²) ||b*||²)` rounds, with high probability the angle distance is at most ε and
`||aᵀ-step product − a* b*ᵀ||_F ≤ (1 + ε') ε ||b*||` for the b solved from that a. With κ = 2 η ||b*||².
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from theory.samples import finite_sample
from verification.finding import ProofStep
from verification.proof.identities import by_slope, identity, nonnegative_on_box, positive

LONGEST = sp.Rational(3, 2)
"""The largest κ of the contraction lemma, for which the theorem is stated."""


def rounds_bound(delta0: Any, epsilon: Any, kappa: Any, *, log: Any = sp.log) -> Any:
    """The theorem's T = 2 log(δ⁰/ε)/(η(1 − (δ⁰)²)||b*||²) = 4 log(δ⁰/ε)/(κ(1 − (δ⁰)²)).

    Args:
        delta0: angle distance of the start, number, array or SymPy expression in (0, 1).
        epsilon: angle distance wanted, 0 < ε < δ⁰.
        kappa: dimensionless step 2 η ||b*||² > 0.
        log: natural logarithm of the caller's kind of number (`np.log`, `math.log`, `sympy.log`).

    Raises:
        ValueError: on a number outside these ranges, or a NaN.

    Source: theorem 5.4 of arXiv 2502.01755v2 (4.5 in v4).
    """
    if not any(isinstance(value, sp.Basic) for value in (delta0, epsilon, kappa)):
        _refuse(delta0, epsilon, kappa)
    return 4 * log(delta0 / epsilon) / (kappa * (1 - delta0**2))


def promised_contraction(delta0: Any, kappa: Any) -> Any:
    """The factor on the squared angle the theorem's proof uses in every round: 1 − κ(1 − (δ⁰)²)/2."""
    return 1 - kappa * (1 - delta0**2) / 2


def promised_recovery(epsilon: Any, epsilon_prime: Any) -> Any:
    """The theorem's bound on ||a b̄ᵀ − a* b*ᵀ||_F / ||b*|| at ε-recovery when |ρ̄| ≤ ε': (1 + ε') ε."""
    return (1 + epsilon_prime) * epsilon


def derive(longest: Any = LONGEST) -> tuple[ProofStep, ...]:
    """That T rounds of the promised contraction suffice, and the second conclusion from the first.

    Args:
        longest: the largest κ the theorem is stated for.
    """
    delta, epsilon, ratio, kappa, x = sp.symbols("delta epsilon R kappa x", positive=True)
    T = rounds_bound(delta, epsilon, kappa)
    rate = 1 - promised_contraction(delta, kappa)
    c, s, rho, prime = sp.symbols("c s rho prime", nonnegative=True)
    # a* = c·a + s·u, b̄ = (c + s ρ̄) b*: the product's error in the frame (a, u).
    error = sp.Matrix([c + s * rho, 0]) - sp.Matrix([c, s])
    slack = promised_recovery(epsilon, prime) ** 2 - finite_sample.excess_of_fit(epsilon, prime)
    return (
        identity("δ⁰ exp(−κ(1 − (δ⁰)²)T/4) = ε exactly at the theorem's T (R = log δ⁰/ε)",
            rate * T / 2, ratio, where={delta: epsilon * sp.exp(ratio)}),
        *by_slope("−log(1 − x) ≥ x, so T contractions by 1 − x suffice", -sp.log(1 - x) - x, x, {x: (0, 1)}),
        *_small_angles(longest),
        identity("||a b̄ᵀ − a* b*ᵀ||² / ||b*||² = s²(1 + ρ̄²)", error.dot(error),
            finite_sample.excess_of_fit(s, rho)),
        identity("s ≤ ε and |ρ̄| ≤ ε' give the second conclusion: (1 + ε')² − (1 + ε'²) = 2ε' ≥ 0", slack,
            2 * prime * epsilon**2),
    )  # fmt: skip


def _small_angles(longest: Any) -> list[ProofStep]:
    """In the population limit a small angle falls by |1 − κ| a round, and T asks for e^(−κ/4), as δ⁰ → 0.

    For κ < 1 that is 1 − κ ≤ e^(−κ), the step before.
    """
    kappa, x = sp.symbols("kappa x", positive=True)
    room = -sp.log(kappa - 1) - kappa / 4
    return [
        nonnegative_on_box("for κ in (1, 2), −log(κ − 1) − κ/4 falls with κ …",
            -sp.Derivative(room, kappa), {x: (0, 1)}, where={kappa: 1 + x}),
        positive(f"… and is positive at κ = {longest}: T asks of a small angle no more than |1 − κ| gives",
            room.subs(kappa, longest)),
    ]  # fmt: skip


def _refuse(delta0: Any, epsilon: Any, kappa: Any) -> None:
    if not np.all((np.asarray(delta0) > 0.0) & (np.asarray(delta0) < 1.0)):
        raise ValueError(f"delta0 must lie strictly between 0 and 1, got {delta0}")
    if not np.all((np.asarray(epsilon) > 0.0) & (np.asarray(epsilon) < np.asarray(delta0))):
        raise ValueError(
            f"epsilon must lie strictly between 0 and delta0 = {delta0}, got {epsilon}"
        )
    if not np.all((np.asarray(kappa) > 0.0) & np.isfinite(kappa)):
        raise ValueError(f"kappa must be finite and positive, got {kappa}")

"""Pooled samples against width decide whether RoLoRA converges, not samples per client.

From theory.md §6: q = (d + (d − 1) v)/M with M = N·m depends on N and m apart from M only through
v = 1/(N(m − 2)), so d/M ≤ q ≤ (1 + v) d/M, and the mean square of a small angle shrinks iff κ < 2/(1 + q).
"""

from typing import Any

import sympy as sp

from theory.samples import bstep, mean_square_rate
from verification.finding import ProofStep
from verification.proof.identities import identity, nonnegative_on_box, sized_identity


def pooled_noise_ratio(d: Any, pooled: Any) -> Any:
    """The noise ratio q without its v: d/M, what width and pooled samples alone give."""
    return d / pooled


def smallest_pooled(d: Any, kappa: Any) -> Any:
    """Pooled samples above which a step κ < 2 contracts in mean square, up to 1 + v: M > d κ/(2 − κ)."""
    return d * kappa / (2 - kappa)


def two_step_factor(kappa: Any, d: Any, samples: Any) -> Any:
    """What two local steps on A leave of a small angle for N → ∞, `(1 − κ)² + κ²(d + 1)/m`. Ours.

    It is `E tr(I − κG)²/d` of one client's Gram matrix: m per client counts. One averaged step leaves 1 − κ.
    """
    return (1 - kappa) ** 2 + kappa**2 * (d + 1) / samples


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The sandwich of q, and what it says of samples and step.

    Args:
        stretch: multiplies q; 1 for the true statement.
    """
    N, m, d, kappa = sp.symbols("N m d kappa", positive=True)
    M, ratio = N * m, sp.Symbol("q", positive=True)
    q = stretch * mean_square_rate.noise_ratio(d, N, m)
    v = bstep.mean_variance(N, m)
    pooled = pooled_noise_ratio(d, M)
    box = {N: (1, sp.oo), m: (3, sp.oo), d: (2, sp.oo)}
    edge = mean_square_rate.threshold_kappa(pooled_noise_ratio(d, smallest_pooled(d, kappa)))
    wide = sp.Symbol("d", integer=True, positive=True)
    x, G = sp.MatrixSymbol("x", wide, 1), sp.MatrixSymbol("G", wide, wide)
    once = x - kappa * G * x  # from a = a* + x, b̄ = b* to first order: the pull is κ G x
    # G ~ Wishart_d(m)/m: the diagonal of mean 1 and variance 2/m, beside it d(d − 1) entries of variance 1/m.
    squares = d * (1 + 2 / m) + d * (d - 1) / m
    return (
        sized_identity(
            "two local steps: client i's x becomes (I − κG_i)² x",
            once - kappa * G * once,
            x - 2 * kappa * G * x + kappa**2 * G * G * x,
        ),
        identity(
            "whose mean over the samples is E tr(I − κG)²/d times x, by rotation: (1 − κ)² + κ²(d + 1)/m",
            (d - 2 * kappa * d + kappa**2 * squares) / d,
            two_step_factor(kappa, d, m),
        ),
        nonnegative_on_box("q ≥ d/M for all N ≥ 1, m ≥ 3, d ≥ 2", q - pooled, box),
        nonnegative_on_box("q ≤ (1 + v) d/M on the same range", (1 + v) * pooled - q, box),
        nonnegative_on_box("v ≤ 1/N for m ≥ 3: with many clients only M is left", 1 / N - v, box),
        identity("q M = d + (d − 1) v", ratio * M, d + (d - 1) * v, where={ratio: q}),
        identity("at M = d κ/(2 − κ) the threshold 2/(1 + d/M) is κ itself", edge, kappa),
    )

"""Steps that decrease: under label noise RoLoRA's angle falls like 1/t, efficiently (theory.md §9).

Problem: theory.md §9's, B = ‖b*‖, M = N·m samples in each half-step, S = E s² at first order in σ². A round
keeps `((1 − κ)² + κ²q)S + κ²ν`, `ν = (d − 1)σ²(1 + v)/(B²M)`.
Exact result: the best step of a round is `κ_t = S_t/((1 + q)S_t + ν)`, with which
`1/S_{t+1} = 1/S_t + 1/(q S_t + ν)`: S_t falls geometrically by q/(1 + q) while it is large, `t S_t → ν`, and
`S_t ≥ ν S_0/(ν + t S_0)` at every t. No unbiased estimate of a* from the a-steps' tM samples has a smaller
mean square than `(d − 1)σ²/(B²tM)` (Cramér and Rao); the b-steps' noise adds the factor 1 + v to it. With the
samples of the b-steps twice as many are drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from theory.samples import mean_square_rate as rate
from theory.samples import noise
from theory.samples.bstep import mean_variance
from verification.finding import ProofStep
from verification.proof.identities import follows, identity, positive, rational_identity


def unit_noise(label: Any, length: Any, d: Any, clients: Any, samples: Any) -> Any:
    """`ν = (d − 1)σ²(1 + v)/(B²M)`, what a round of κ = 1 adds to E s²; m > 2."""
    return noise.round_noise(1, label, length, d, clients, samples)


def best_step(square: Any, q: Any, nu: Any) -> Any:
    """The κ with the least mean square after the round, `S/((1 + q)S + ν)`; below 1/(1 + q)."""
    return square / ((1 + q) * square + nu)


def next_square(square: Any, q: Any, nu: Any) -> Any:
    """E s² after a round with the best step, `S − S²/((1 + q)S + ν)`."""
    return square - square**2 / ((1 + q) * square + nu)


def least_square(start: Any, rounds: Any, nu: Any) -> Any:
    """`ν S_0/(ν + t S_0)`, which S_t never falls below; as t grows both are ν/t."""
    return nu * start / (nu + rounds * start)


def information_bound(label: Any, length: Any, d: Any, pooled: Any) -> Any:
    """`(d − 1)σ²/(B²n)`: least mean square of an unbiased estimate of a* from n = `pooled` samples."""
    return (d - 1) * label**2 / (length**2 * pooled)


def inefficiency(clients: Any, samples: Any) -> Any:
    """Limit of S_t over the `information_bound` of the a-steps' samples: `1 + v`; m > 2."""
    return 1 + mean_variance(clients, samples)


def schedule(
    start: float, q: float, nu: float, rounds: int
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T+1"]]:
    """The best steps of so many rounds, and E s² before the first and after each of them.

    Raises:
        ValueError: if the start or ν is not positive: without noise the best step is constant.
    """
    if not (start > 0 and nu > 0):
        raise ValueError(f"start and nu must be positive, got {start} and {nu}")
    steps, squares = [], [start]
    for _ in range(rounds):
        steps.append(best_step(squares[-1], q, nu))
        squares.append(next_square(squares[-1], q, nu))
    return np.array(steps), np.array(squares)


ARGUED = (
    ("t S_t → ν", "S_t falls to 0, as 1/S_t grows by more than 1/(qS_0 + ν) a round; so the growth of 1/S_t "
        "tends to 1/ν, and with it its mean over the rounds (Cesàro)"),
    ("an unbiased estimate of a unit a* has at least the inverse information as mean square across a*",
        "Cramér and Rao; not knowing b* costs nothing, for the scores of a across a* and of b "
        "are uncorrelated where E xxᵀ = I"),
    ("the linearised round's second moment is exact for steps that are fixed beforehand", "it is one of the "
        "claim noise-floor, a round at a time"),
)  # fmt: skip
"""What the derivation takes from analysis and statistics: statement and reason."""


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The best step, its map, the bound on S_t, the information.

    Args:
        stretch: multiplies the stated ν; 1 for the true statement.
    """
    S, q, nu, kappa = sp.symbols("S q nu kappa", positive=True)
    sigma, B, d, N, m = sp.symbols("sigma B d N m", positive=True)
    t, S0, gap = sp.symbols("t S_0 gap", positive=True)
    x, a, b, y = sp.symbols("x a b y", real=True)  # one sample, one coordinate
    full = rate.rate_squared(kappa, q) * S + kappa**2 * nu
    step, after = best_step(S, q, nu), next_square(S, q, nu)
    stated = stretch * unit_noise(sigma, B, d, N, m)
    log_density = -((y - b * (a * x)) ** 2) / (2 * sigma**2)
    bound = least_square(S0, t, nu)
    spelled = (d - 1) * (sigma / B) ** 2 * (1 / (N * m) + 1 / (N**2 * m * (m - 2)))
    return (
        identity("what a round adds under label noise is κ²ν", kappa**2 * stated,
            spelled * kappa**2),
        rational_identity("completing the square: it is the map's value plus ((1 + q)S + ν)(κ − "
            "κ_t)²: no other step leaves less", full - after, ((1 + q) * S + nu) * (kappa - step) ** 2),
        rational_identity("1/S_{t+1} = 1/S_t + 1/(q S_t + ν)", 1 / after, 1 / S + 1 / (q * S + nu)),
        rational_identity("without noise it is the best constant step's rate", next_square(S, q, 0),
            rate.best_rate_squared(q) * S),
        rational_identity("and its step", best_step(S, q, 0) * (1 + q),
            rate.optimal_kappa(q) + q * best_step(S, q, 0)),
        positive("S never grows, and the step is below 1/(1 + q)", sp.factor(S - after),
            sp.factor(rate.optimal_kappa(q) - step)),
        rational_identity("the bound is t rounds of it with q = 0", 1 / bound, 1 / S0 + t / nu),
        follows("if S_t ≥ the bound, 1/S_t = 1/bound − gap, then so after the round",
            (1 / S + gap + 1 / nu) - 1 / after, (1, gap), (q * S / (nu * (q * S + nu)), sp.Integer(1))),
        identity("one sample's information on a: −∂² log p/∂a² = b²x²/σ², of mean B²/σ² a coordinate",
            -sp.Derivative(log_density, a, 2), b**2 * x**2 / sigma**2),
        identity("so the bound is (d − 1)σ²/(B² tM) over d − 1 coordinates, and t ν/t of it is 1 + v",
            inefficiency(N, m) * information_bound(sigma, B, d, t * N * m), spelled / t),
    )  # fmt: skip

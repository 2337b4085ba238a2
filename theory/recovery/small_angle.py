"""At small angles the factors R_t = s_(t+1)/s_t of the rounds are independent and alike.

Fresh samples, M = N·m, m > 4. R² = (1 − κγ + κwρ̄)² + κ²(1 + ρ̄²)h² has mean ρ² = (1 − κ)² + κ²q and a
variance known exactly, so P(s_T > ε) ≤ (s₀/ε)² ρ^(2T), and log s_T is asymptotically normal. Also how
probable it is that a round breaks the paper's contraction lemma, where many directions make R² nearly
normal.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from scipy import special

from theory.population import contraction_lemma
from theory.recovery.local_moment import fourth_moment
from theory.samples import finite_sample, moments
from theory.samples.bstep import mean_variance
from theory.samples.mean_square_rate import noise_ratio, rate_squared
from verification.finding import ProofStep
from verification.proof.identities import identity


def fourth_power(kappa: Any, d: Any, clients: Any, samples: Any) -> Any:
    """E R⁴, exactly; m > 4."""
    v, f = mean_variance(clients, samples), fourth_moment(clients, samples)
    return _fourth(kappa, d, clients * samples, v, f)


def _fourth(kappa: Any, d: Any, M: Any, v: Any, f: Any) -> Any:
    g2 = 1 + 2 / M
    g3 = g2 * (1 + 4 / M)
    g4 = g3 * (1 + 6 / M)
    own = 1 - 4 * kappa + 6 * kappa**2 * g2 - 4 * kappa**3 * g3 + kappa**4 * g4
    cross = 1 - 2 * kappa * g2 + kappa**2 * g3  # E (1 − κγ)²γ
    wide = (1 + v) * cross + kappa**2 * (v + f) * g2 / M
    return (
        own
        + 6 * kappa**2 * v * cross / M
        + 3 * kappa**4 * f * g2 / M**2
        + 2 * kappa**2 * (d - 2) / M * wide
        + kappa**4 * (1 + 2 * v + f) * g2 * d * (d - 2) / M**2
    )


def spread(kappa: Any, d: Any, clients: Any, samples: Any) -> Any:
    """Var R²/(E R²)²: to leading order the variance of log R²."""
    mean = rate_squared(kappa, noise_ratio(d, clients, samples))
    return fourth_power(kappa, d, clients, samples) / mean**2 - 1


def drift(kappa: Any, d: Any, clients: Any, samples: Any) -> Any:
    """E log R to second order in R²'s spread: ½(log ρ² − spread/2)."""
    mean = rate_squared(kappa, noise_ratio(d, clients, samples))
    return 0.5 * (np.log(mean) - 0.5 * spread(kappa, d, clients, samples))


def markov_rounds(ratio: Any, delta: Any, rate: Any, *, log: Any = sp.log) -> Any:
    """Rounds from s₀ to ε = s₀/ratio with failure at most δ, ρ² = rate: log(ratio²/δ)/log(1/ρ²)."""
    return log(ratio**2 / delta) / log(1 / rate)


def normal_rounds(
    ratio: float, delta: float, kappa: float, d: int, clients: int, samples: int
) -> float:
    """The same by the normal law of log s_T, T·drift + z√(T·spread)/2 = −log ratio with P(Z > z) = δ."""
    down = -float(drift(kappa, d, clients, samples))
    half = -special.ndtri(delta) * np.sqrt(float(spread(kappa, d, clients, samples))) / 2
    root = (half + np.sqrt(half**2 + 4 * down * np.log(ratio))) / (2 * down)
    return float(root**2)


def violation(kappa: float, d: int, clients: int, samples: int) -> float:
    """How probable it is that a small angle's round breaks the lemma, R² > 1 − κ/2, by R²'s normal law."""
    mean = rate_squared(kappa, noise_ratio(d, clients, samples))
    width = mean * np.sqrt(spread(kappa, d, clients, samples))
    return float(special.ndtr((mean - contraction_lemma.lemma_factor(1.0, kappa)) / width))


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """E R⁴ from the literal round, Markov's rounds, and what the lemma's edge is.

    Args:
        stretch: multiplies the stated fourth moment; 1 for the true statement.
    """
    kappa, M, d, chi, across, v, f = sp.symbols("kappa M d chi across v f", positive=True)
    z, rho = sp.symbols("z rho", real=True)
    pull = finite_sample.pull_of_new_batch(rho, chi**2 / M, chi * z / M, chi * across / M)
    one, nought = sp.Integer(1), sp.Integer(0)
    _, inside, beside = finite_sample.next_direction(one, nought, kappa, rho, pull)
    slope = {0: one, 2: v, 4: f}
    laws: dict[sp.Symbol, moments.Law] = {
        z: moments.normal_moment,
        rho: lambda power: 0 if power % 2 else slope[power],
        chi: partial(_even, M),
        across: partial(_even, d - 2),
    }
    found = moments.expected(sp.expand((inside**2 + beside**2) ** 2), laws)
    N, m, ratio, delta, rate, T = sp.symbols("N m ratio delta rate T", positive=True)
    v_m, f_m = mean_variance(N, m), fourth_moment(N, m)
    q, edge = sp.symbols("q edge", positive=True)
    return (
        identity("E R⁴ from the literal round as s → 0", found, stretch * _fourth(kappa, d, M, v, f)),
        identity("with the moments of ρ̄ put in", fourth_power(kappa, d, N, m),
            _fourth(kappa, d, M, v, f), where={M: N * m, v: v_m, f: f_m}),
        identity("Var R² over (E R²)²", spread(kappa, d, N, m),
            (f - rate**2) / rate**2,
            where={f: fourth_power(kappa, d, N, m), rate: rate_squared(kappa, noise_ratio(d, N, m))}),
        identity("Markov: T log(1/ρ²) = log(s₀²/(ε²δ)), where (s₀/ε)² ρ^(2T) is δ", T * sp.log(1 / rate),
            sp.log(ratio**2 / delta), where={T: markov_rounds(ratio, delta, rate)}),
        identity("at κ = 3/(2(1 + q)) the mean of R² is the lemma's 1 − κ/2",
            rate_squared(edge, q), contraction_lemma.lemma_factor(1, edge),
            where={edge: contraction_lemma.largest_kappa_at(q)}),
    )  # fmt: skip


def _even(degrees: Any, power: int) -> Any:
    return 0 if power % 2 else moments.chi_squared_moment(degrees, power // 2)

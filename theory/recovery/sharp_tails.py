"""How probable it is that a round's noise leaves a box: exact tails, and the best of three bounds for ρ̄.

Given the clients' |X_i a|² ~ χ²_m the slope ρ̄ is N(0, S), S = Σ|X_i a|⁻²/N² (theory.md §1). γ ~ χ²_M/M,
w = z√(γ/M), h² = γχ²_(d−2)/M: their tails are the regularised gamma function and the normal integral.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from scipy import special

from verification.finding import ProofStep
from verification.proof.identities import identity

MOST_MOMENTS = 40
SHARES = 5
"""Sides that a box but for its slope is left at: γ twice, w, h twice; each gets the same probability."""


def slope_moments(clients: int, samples: int) -> np.ndarray:
    """E (M S)^k, k = 1, 2, … < m/2: 2k-th moments of ρ̄ over those of N(0, 1/M), M = N·m, exactly."""
    count = min(MOST_MOMENTS, (samples - 1) // 2)
    one = [1.0]  # of E exp(λ m/χ²_m), formally
    for k in range(1, count + 1):
        one.append(one[-1] * samples / (samples - 2 * k) / k)
    every = [1.0]  # of its N-th power
    for k in range(1, count + 1):
        parts = (((clients + 1) * j - k) * one[j] * every[k - j] for j in range(1, k + 1))
        every.append(sum(parts) / k)
    scale = np.cumprod(np.arange(1, count + 1) / clients)
    return np.array(every[1:]) * scale


def slope_tail(y: Any, clients: int, samples: int) -> Any:
    """P(|ρ̄| > y/√M): exact for one client, for more the least of three bounds, each for every m ≥ 1.

    `E S^k (2k − 1)!!/y^(2k)` (Markov); S ≤ σ/M and the normal tail, with Markov's bound on the rest, or with
    every |X_i a|² ≥ m/σ.
    """
    y = np.atleast_1d(np.asarray(y, dtype=np.float64))
    if clients == 1:
        return 2.0 * special.stdtr(samples, -y)
    spread = np.concatenate([1.0 + np.geomspace(1e-3, 1.0, 40), np.linspace(2.1, 20.0, 40)])
    thin = clients * special.gammainc(samples / 2, samples / spread / 2)
    bounds = [np.ones_like(y)]
    if samples > 2:
        moments = np.log(slope_moments(clients, samples))
        k = np.arange(1, moments.size + 1)
        odd = np.cumsum(np.log(2 * k - 1))
        bounds.append(np.exp(np.min(moments + odd - 2 * k * np.log(y)[:, None], axis=1)))
        markov = np.exp(np.min(moments - k * np.log(spread)[:, None], axis=1))
        thin = np.minimum(thin, markov)
    bounds.append(np.min(thin + special.erfc(y[:, None] / np.sqrt(2 * spread)), axis=1))
    return np.minimum.reduce(bounds)


def sides(share: Any, d: int, pooled: int) -> tuple[Any, Any, Any, Any, Any]:
    """γ's two sides, |w|'s, and h's two: left with probability `share` together.

    Args:
        pooled: M = N·m.
    """
    each = share / SHARES
    low = special.gammaincinv(pooled / 2, each) * 2 / pooled
    high = special.gammainccinv(pooled / 2, each) * 2 / pooled
    leak = -special.ndtri(each / 2) * np.sqrt(high / pooled)
    if d == 2:
        return low, high, leak, 0.0 * low, 0.0 * low
    most = special.gammainccinv((d - 2) / 2, each) * 2
    least = special.gammaincinv((d - 2) / 2, each) * 2
    return low, high, leak, np.sqrt(low * least / pooled), np.sqrt(high * most / pooled)


def derive() -> tuple[ProofStep, ...]:
    """The moments of S by its clients' series, and that its variance is least when they are alike."""
    N, k, x, y, z, S, e, G = sp.symbols("N k x y z S e G", positive=True)
    one = 1 + x * e + y * e**2 + z * e**3
    first = N * x
    second = ((N - 1) * x * first + 2 * N * y) / 2
    third = ((N - 2) * x * second + (2 * N - 1) * y * first + 3 * N * z) / 3
    return (
        *(
            identity(f"f^N, coefficient {order} from F′f = N f′F (J. C. P. Miller), for every N",
                sp.Derivative(one**N, (e, order)) / sp.factorial(order), G, where={e: 0, G: found})
            for order, found in enumerate((first, second, third), 1)
        ),
        identity("Jensen for one more client: (k²/S + 1/x)(S + x) − (k + 1)² = (kx − S)²/(Sx), so "
            "Σ1/|X_i a|² ≥ N²/Σ|X_i a|²", (k**2 / S + 1 / x) * (S + x) - (k + 1) ** 2,
            (k * x - S) ** 2 / (S * x)),
    )  # fmt: skip

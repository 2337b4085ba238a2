"""Clients with any targets of a mean of rank one: the floor of RoLoRA's angle and excess (theory.md §10).

Problem: `Y_i = X_i W_i` with W̄ = mean_i W_i = a* b̄*ᵀ and else any W_i; one averaged gradient step on a, fresh
samples in each half-step, B = ‖b̄*‖, κ = 2ηB², M = N·m, v and q of theory.md §6.
`e_i = (W_i − W̄)b̄*/B² = ω_i a* + y_i`, y_i ⟂ a*; `τ_∥² = mean ω_i²` is the clients' spread along a*,
`τ_⊥² = mean ‖y_i‖²` that across it.
Exact result, every m > 2, as the spread tends to 0:
`E s²_∞ → κ²((d − 1)τ_∥²/M + q τ_⊥²) / (1 − (1 − κ)² − κ²q)`, and the excess risk over the best shared model
tends to `B²(1 + v) E s²_∞ + v mean_i ‖PW_i‖²`, P = I − a*a*ᵀ.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from theory.clients_differ import heterogeneous_samples
from theory.samples import mean_square_rate as rate
from theory.samples.bstep import mean_variance
from theory.samples.moments import (
    Law,
    Symmetric,
    chi_squared_moment,
    expected,
    normal_moment,
)
from verification.finding import ProofStep
from verification.proof.identities import identity, sized_identity
from verification.proof.means import average, moment_of

RANK_TOLERANCE = 1e-9
"""Second singular value of the mean over its first, up to which it counts as of rank one."""


def spreads(targets: Float[np.ndarray, "N d p"]) -> tuple[float, float, float]:
    """(τ_∥², τ_⊥², mean ‖PW_i‖²) of the clients' W_i.

    Raises:
        ValueError: if the mean is not of rank one; then no a* solves the shared problem.
    """
    centre = targets.mean(axis=0)
    left, sizes, right = np.linalg.svd(centre)
    if not (sizes[1:] <= RANK_TOLERANCE * sizes[0]).all() or sizes[0] == 0:
        raise ValueError(f"targets must have a mean of rank one, got singular values {sizes[:3]}")
    turned = (targets - centre) @ right[0] / sizes[0]  # the e_i
    along = turned @ left[:, 0]
    across = np.square(turned).sum(axis=1) - np.square(along)
    outside = np.square(left[:, 1:].T @ targets).sum(axis=(1, 2))
    return float(np.mean(np.square(along))), float(np.mean(across)), float(np.mean(outside))


def round_spread(kappa: Any, along: Any, across: Any, d: Any, clients: Any, samples: Any) -> Any:
    """What one round adds to E s², `κ²((d − 1)τ_∥²/M + q τ_⊥²)`, τ_∥² = `along` and τ_⊥² = `across`."""
    q = rate.noise_ratio(d, clients, samples)
    return kappa**2 * ((d - 1) * along / (clients * samples) + q * across)


def floor(kappa: Any, along: Any, across: Any, d: Any, clients: Any, samples: Any) -> Any:
    """Stationary E s² at first order in the squared spread. Arguments as for `round_spread`.

    Raises:
        ValueError: if numbers are given with m ≤ 2, or κ ≥ 2/(1 + q).
    """
    kept = rate.stable_rate_squared(kappa, rate.noise_ratio(d, clients, samples))
    return round_spread(kappa, along, across, d, clients, samples) / (1 - kept)


def excess(square: Any, outside: Any, mean_norm: Any, clients: Any, samples: Any) -> Any:
    """Excess risk `B²(1 + v) E s² + v mean ‖PW_i‖²` once b is fitted at an angle of mean square `square`."""
    v = mean_variance(clients, samples)
    return mean_norm**2 * (1 + v) * square + v * outside


ARGUED = (
    ("at small spread the long-run mean square is the fixed point of the linearised round's",
        "what the linearisation leaves out is of higher order in ε, and passes under the expectation as in "
        "claim mean-square-rate"),
    ("given X_i a*, the b-step's answers to x and to y_i are normal, and clients are independent",
        "since each is linear in normal numbers that are independent of X_i a*"),
)  # fmt: skip
"""What the derivation takes from probability and analysis: statement and reason."""


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The linearised half-steps for every size, the second moment, the fixed point, the excess.

    Args:
        stretch: multiplies the stated floor and excess; 1 for the true statement.
    """
    return (*_derive_linearisation(), *_derive_second_moment(), *_derive_floor(stretch))


def _derive_linearisation() -> list[ProofStep]:
    """One client, from a = a* + εx with W_i = a* bᵀ + εD, for every d and p."""
    d, p = sp.symbols("d p", integer=True, positive=True)
    e = sp.Symbol("epsilon", real=True)
    a, x = (sp.MatrixSymbol(name, d, 1) for name in ("A", "x"))
    b, c = (sp.MatrixSymbol(name, p, 1) for name in ("b", "c"))  # fits b + εc
    G, D = sp.MatrixSymbol("G", d, d), sp.MatrixSymbol("D", d, p)
    first = G * (x * b.T + a * c.T - D)
    residual = G * ((a + e * x) * (b + e * c).T - a * b.T - e * D)
    rest = G * x * c.T
    return [
        sized_identity("b-step, every d and p: the normal equation aᵀG(a b_iᵀ − W_i) is ε a*ᵀG(x bᵀ "
            "+ a*cᵀ − D) + O(ε²): so c_i = (D_i − x bᵀ)ᵀG_i a*/(a*ᵀG_i a*)", (a + e * x).T * residual,
            e * a.T * first + e**2 * (x.T * first + a.T * rest) + e**3 * x.T * rest),
        sized_identity("a-step: client i pulls by ε G_i(x bᵀb + a* c̄ᵀb − D_i b) + O(ε²): "
            "ε B² G_i(x + r a* − e_i)", residual * (b + e * c),
            e * G * (x * b.T * b + a * c.T * b - D * b) + e**2 * (first * c + rest * (b + e * c))),
        sized_identity("excess: (a* + εx)(b + εc)ᵀ − a*bᵀ is ε(x bᵀ + a* cᵀ) + O(ε²); x ⟂ a*, so its square "
            "is ε²(‖x‖²B² + ‖c‖²)", (a + e * x) * (b + e * c).T - a * b.T,
            e * (x * b.T + a * c.T) + e**2 * x * c.T),
    ]  # fmt: skip


def _derive_second_moment() -> list[ProofStep]:
    """E‖x − κ mean_i PG_i p_i‖², p_i = x + r a* − e_i; axes a*, u (x = ξu), w (of y_i), and d − 3 others.

    G_i ~ Wishart_d(m)/m has E g_kk = 1, E g_kk² = 1 + 2/m, E g_kl² = 1/m, and no other second moments that
    count. A mean over independent clients has the mean of their means, and an Nth of their mean variance.
    """
    N, m, d, kappa, xi, v = sp.symbols("N m d kappa xi v", positive=True)
    along, across = sp.symbols("along across", positive=True)
    r, omega, y, z = sp.symbols("r omega y z", real=True)  # y_i = y u + z w
    names = {omega: "omega", y: "y", z: "z"}
    pulled = (r - omega, xi - y, -z)
    found: Any = 0
    for axis, count in ((1, 1), (2, 1), (3, d - 3)):
        entries = sp.symbols(f"g{axis}_0:3", real=True)
        laws: dict[sp.Symbol, Law] = dict.fromkeys(entries, Symmetric(1 / m))
        if axis < 3:
            laws[entries[axis]] = {1: 1, 2: 1 + 2 / m}.__getitem__
        pull = sum(g * part for g, part in zip(entries, pulled, strict=True))
        centre = pulled[axis] if axis < 3 else 0
        variance = average(expected(pull**2, laws) - centre**2, names)
        start = xi * (1 - kappa) if axis == 1 else 0  # Σ y_i = 0: what the mean over clients leaves
        found += count * (start**2 + kappa**2 * variance / N)
    zero = (moment_of(names, powers) for powers in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    known: dict[Any, Any] = dict.fromkeys(zero, 0)
    own = moment_of(names, (0, 2, 0))
    known |= {moment_of(names, (2, 0, 0)): along, moment_of(names, (0, 0, 2)): across - own}
    stated = rate.rate_squared(kappa, rate.noise_ratio(d, N, m)) * xi**2
    stated += round_spread(kappa, along, across, d, N, m)
    second = (xi**2 + across) * v
    chi, g = sp.symbols("chi g", positive=True)
    client = average((y - xi) ** 2 + z**2, names)
    return [
        identity("any N, m > 2 and d: E‖x⁺‖² = ((1 − κ)² + κ²q)‖x‖² + κ²((d − 1)τ_∥²/M + q τ_⊥²)",
            expected(found, {r: Symmetric(second)}), stated,
            where=known | {v: mean_variance(N, m)}),
        identity("E r² = v (‖x‖² + τ_⊥²): r is the mean of N independent numbers, normal of variance ‖y_i − "
            "x‖²/χ²_m", N * client / N**2
            * expected(g**2 / chi, {g: normal_moment, chi: partial(chi_squared_moment, m)}),
            mean_variance(N, m) * (xi**2 + across),
            where=known),
    ]  # fmt: skip


def _derive_floor(stretch: Any) -> list[ProofStep]:
    kappa, along, across, d, N, m = sp.symbols("kappa along across d N m", positive=True)
    tau, B, square, outside, v = sp.symbols("tau B square outside v", positive=True)
    arguments = kappa, along, across, d, N, m
    stated, added = stretch * floor(*arguments), round_spread(*arguments)
    q = rate.noise_ratio(d, N, m)
    parts = B**2 * square + v * (B**2 * square + outside)
    return [
        *rate.derive_recursion(kappa, rate.noise_ratio(d, N, m), added, stated),
        identity("with one left factor, τ_⊥ = 0, it is the floor of claim heterogeneous-samples, τ = B²τ_∥",
            floor(kappa, tau**2 / B**4, 0, d, N, m) * kappa * (2 - kappa - kappa * q),
            heterogeneous_samples.round_spread(kappa, tau, B, d, N * m)),
        identity("excess: ‖x‖²B² + E‖c̄‖², c̄ the mean of N independent answers of mean square (‖x‖²B² + "
            "‖PD_i‖²)/(m − 2), whose cross term −2xᵀD_i b̄* has mean 0 over the clients",
            stretch * excess(square, outside, B, N, m), parts, where={v: mean_variance(N, m)}),
    ]  # fmt: skip

"""FedAvg-LoRA with different clients: interference in closed form, sublinear decay (theory.md §10).

Problem: `Y_i = X_i a* b_i*ᵀ`, population limit; each client runs gradient flow of ‖a bᵀ − a* b_i*ᵀ‖² on both
factors to its optimum, the server averages a and b.
Exact result: the flow conserves `‖a‖² − ‖b‖²`. With its value q at the server, client i ends at a = α_i a*,
b = b_i*/α_i, `α_i² = (q + sqrt(q² + 4‖b_i*‖²))/2`, so after the first round the angle is 0 and the excess
risk is `‖Cov(α_i, b_i*/α_i)‖²`: pure interference. Over rounds `q⁺ − q = Var(b_i*/α_i) − Var(α_i) ≥ 0`, so
`q ~ sqrt(2Vt)`, V = mean ‖b_i* − b̄*‖², and `t²·excess → ‖Cov(‖b_i*‖², b_i*)‖²/(16 V²)`: exponent exactly 2
wherever that covariance is not zero. Clients of equal ‖b_i*‖ do not interfere at all.

Why α_i > 0 and the limits exist: q > 0 (it starts at ‖a⁰‖² − 0) keeps ‖a‖² ≥ q, so a never passes through
0 and keeps its side of a*; f falls along the flow and f and q bound the factors. Why q → ∞: q increases by
a continuous function of q that is positive unless all b_i* are equal; a finite limit would be a zero of it.
Stolz–Cesàro turns `q(q⁺ − q) → V` into q²/t → 2V.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float, Shaped

from verification.finding import ProofStep
from verification.proof.identities import identity, positive


def client_scale(q: Any, target_norm: Any) -> Any:
    """`α_i = sqrt((q + sqrt(q² + 4‖b_i*‖²))/2)` where client i's flow ends. Source: theory.md §10.

    Args:
        q: conserved ‖a‖² − ‖b‖², > 0.
        target_norm: ‖b_i*‖, float, array or SymPy expression.
    """
    root = sp.sqrt if isinstance(q, sp.Basic) else np.sqrt
    return root((q + root(q**2 + 4 * target_norm**2)) / 2)


def client_optima(
    q: float, targets: Float[np.ndarray, "N p"]
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, "N p"]]:
    """Where the clients end: α_i and b_i = b_i*/α_i, from the broadcast factors' q and the b_i*."""
    scales = np.asarray(client_scale(q, np.linalg.norm(targets, axis=1)), dtype=np.float64)
    return scales, targets / scales[:, None]


def interference(scales: Shaped[np.ndarray, " N"], fits: Shaped[np.ndarray, "N p"]) -> Any:
    """Excess risk of the averaged factors, `‖Cov(α_i, b_i)‖²` (population covariance over clients).

    `scales` and `fits` are the α_i and b_i, float64 or SymPy expressions in object arrays.
    """
    covariance = ((scales - scales.mean())[:, None] * (fits - fits.mean(axis=0))).mean(axis=0)
    return _plain(covariance @ covariance)


def growth(scales: Shaped[np.ndarray, " N"], fits: Shaped[np.ndarray, "N p"]) -> Any:
    """How much ‖ā‖² − ‖b̄‖² grows in the round: Var(b_i) − Var(α_i) ≥ 0. Arguments as above. Ours."""
    spread_of_fits = np.square(fits - fits.mean(axis=0)).sum(axis=1).mean()
    return _plain(spread_of_fits - np.square(scales - scales.mean()).mean())


def decay_constant(targets: Shaped[np.ndarray, "N p"]) -> Any:
    """`lim t²·excess = ‖Cov(‖b_i*‖², b_i*)‖²/(16 V²)`, V = mean ‖b_i* − b̄*‖². Ours.

    The b_i* are float64 or SymPy numbers in an object array.

    Raises:
        ValueError: if all targets are equal (the excess is 0 from the first round on).
    """
    squares = np.square(targets).sum(axis=1)
    centred = targets - targets.mean(axis=0)
    spread = np.square(centred).sum(axis=1).mean()
    if spread == 0:
        raise ValueError("targets must not all be equal for the excess to decay, got no spread")
    covariance = ((squares - squares.mean())[:, None] * centred).mean(axis=0)
    return _plain(covariance @ covariance / (16 * spread**2))


def trajectory(
    targets: Float[np.ndarray, "N p"], rounds: int, q: float = 1.0
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Excess risk and q after each round of FedAvg-LoRA, by the closed form.

    The start's q, ‖a⁰‖² − ‖b⁰‖² > 0, is 1 for a unit a and b = 0.
    """
    excess, sizes = np.empty(rounds), np.empty(rounds)
    for t in range(rounds):
        scales, fits = client_optima(q, targets)
        excess[t] = interference(scales, fits)
        q += growth(scales, fits)
        sizes[t] = q
    return excess, sizes


def derive() -> tuple[ProofStep, ...]:
    """Conservation, the clients' optima, the covariance, the growth of q, the asymptotics."""
    return (*_derive_optimum(), *_derive_average(), *_derive_asymptotics())


def _derive_optimum() -> list[ProofStep]:
    a = sp.Matrix(sp.symbols("a0:3", real=True))
    b = sp.Matrix(sp.symbols("b0:2", real=True))
    T = sp.Matrix(3, 2, sp.symbols("t0:6", real=True))
    loss = sum(entry**2 for entry in a * b.T - T)
    flow_a = -sp.Matrix([sp.diff(loss, entry) for entry in a])
    flow_b = -sp.Matrix([sp.diff(loss, entry) for entry in b])
    q, n = sp.symbols("q n", positive=True)
    scale = client_scale(q, n)
    along, across = sp.symbols("alpha w_perp", real=True)
    beta, target = sp.symbols("beta n", positive=True)
    # In the plane of a* and the start: a = (α, w), b = β b_i*/‖b_i*‖, from b = 0 and α > 0.
    plane = (along * beta - target) ** 2 + (across * beta) ** 2
    return [
        identity("gradient flow conserves ‖a‖² − ‖b‖² for any target matrix (3 × 2, generic)",
            sp.expand(2 * a.dot(flow_a) - 2 * b.dot(flow_b)), sp.Integer(0)),
        identity("α_i² − ‖b_i*‖²/α_i² = q", sp.radsimp(scale**2 - n**2 / scale**2), q),
        positive("α_i is the positive root", client_scale(q, n)),
        identity("the part of a across a* shrinks at rate 2‖b‖² and nothing feeds it: it ends at 0",
            -sp.diff(plane, across), -2 * across * beta**2),
        identity("on the edges of α, β > 0 the flow points inwards: α grows at α = 0, β at β = 0",
            sp.Matrix([-sp.diff(plane, along).subs(along, 0), -sp.diff(plane, beta).subs(beta, 0)]),
            sp.Matrix([2 * target * beta, 2 * target * along])),
    ]  # fmt: skip


def _derive_average() -> list[ProofStep]:
    """Three clients with generic α_i, b_i (p = 2)."""
    alphas = sp.symbols("alpha0:3", positive=True)
    fits = [sp.Matrix(sp.symbols(f"b{i}_0:2", real=True)) for i in range(3)]
    q, x = sp.symbols("q x", positive=True)
    mean_a, mean_b = sum(alphas) / 3, (fits[0] + fits[1] + fits[2]) / 3
    target = sum((alphas[i] * fits[i] for i in range(1, 3)), alphas[0] * fits[0]) / 3
    cov = sp.zeros(2, 1)
    for i in range(3):
        cov += (alphas[i] - mean_a) * (fits[i] - mean_b) / 3
    var_a = sum((alpha - mean_a) ** 2 for alpha in alphas) / 3
    var_b = sum((fit - mean_b).dot(fit - mean_b) for fit in fits) / 3
    old = sum(alphas[i] ** 2 - fits[i].dot(fits[i]) for i in range(3)) / 3
    pairs_b = (
        sum((fits[i] - fits[j]).dot(fits[i] - fits[j]) for i in range(3) for j in range(i)) / 9
    )
    scale = sp.sqrt(q + x**2)  # α_i as a function of x = ‖b_i‖
    return [
        identity("ā b̄ − b̄* = −Cov(α_i, b_i), b̄* = mean α_i b_i", mean_a * mean_b - target, -cov),
        identity("‖ā‖² − ‖b̄‖² = mean(α_i² − ‖b_i‖²) + Var(b_i) − Var(α_i)", mean_a**2 - mean_b.dot(mean_b),
            old + var_b - var_a),
        identity("q > 0: α_i is a function of ‖b_i‖ with slope² = 1 − q/(q + ‖b_i‖²) < 1 …",
            sp.diff(scale, x) ** 2, 1 - q / (q + x**2)),
        identity(
            "… and variances are mean squared differences of pairs: so Var(α_i) ≤ Var(b_i), q never falls",
            sp.expand(var_b), sp.expand(pairs_b)),
    ]  # fmt: skip


def _derive_asymptotics() -> list[ProofStep]:
    """Limits as q = 1/w² → ∞; covariances do not see the shift α_i − sqrt q."""
    n, w = sp.symbols("n w", positive=True)
    scale = client_scale(1 / w**2, n)
    first = sp.limit((scale * w - 1) / w**4, w, 0, "+")
    second = sp.limit(1 / (scale * w), w, 0, "+")
    return [
        identity("q^(3/2) (α_i − √q) → ‖b_i*‖²/2", first, n**2 / 2),
        identity(
            "√q b_i → b_i*; so q² Cov(α_i, b_i) → Cov(‖b_i*‖², b_i*)/2", second, sp.Integer(1)
        ),
        *_derive_decay(((3, 4), (0, 1), (-5, 12)), first, second, n),
        *_derive_decay(((2,), (1,), (-1,), (4,)), first, second, n),
    ]


def _derive_decay(
    exact: tuple[tuple[int, ...], ...], slope: Any, start: Any, n: sp.Symbol
) -> list[ProofStep]:
    """The limits of q(q⁺ − q) and of t²·excess for whole targets and generic higher orders.

    Args:
        exact: b_i*, N rows of length p.
        slope, start: limits of `q^(3/2)(α_i − √q)`, a function of n = ‖b_i*‖, and of `√q b_i / b_i*`.
        n: that symbol.
    """
    x = sp.Symbol("x", positive=True)  # 1/q²
    targets = np.array([[sp.Integer(entry) for entry in row] for row in exact], dtype=object)
    N, p = targets.shape
    # α_i = √q·scales_i and b_i = fits_i/√q, whose higher orders are free symbols.
    slopes = np.array([slope.subs(n, sp.sqrt(target @ target)) for target in targets])
    later = np.array(sp.symbols(f"r0:{N}", real=True), dtype=object)
    scales = 1 + x * slopes + x**2 * later
    more = np.array(sp.symbols(f"s0:{N * p}", real=True), dtype=object).reshape(N, p)
    fits = start * targets + x * more
    excess = sp.diff(interference(scales, fits), x, 2).subs(x, 0) / 2  # limit of q⁴·excess
    # q·growth = Var(fits) − Var(scales)/x: its limit is the derivative of x times it at 0.
    of_fits = growth(np.zeros(N, dtype=object), fits)
    of_scales = growth(scales, np.zeros((N, p), dtype=object))
    gain = sp.diff(x * of_fits + of_scales, x).subs(x, 0)
    spread = np.square(targets - targets.mean(axis=0)).sum(axis=1).mean()
    named = f"b_i* = {', '.join(str(row) for row in exact)}"
    return [
        identity(f"q(q⁺ − q) → V, hence q² ~ 2Vt, for {named}", gain, spread),
        identity(
            f"lim q⁴·excess ÷ (2V)² is the stated limit of t²·excess, for {named}",
            excess / (2 * spread) ** 2,
            decay_constant(targets),
        ),
    ]


def _plain(value: Any) -> Any:
    """A float, unless it is a SymPy expression."""
    return value if isinstance(value, sp.Basic) else float(value)

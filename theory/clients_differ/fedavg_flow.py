"""FedAvg-LoRA with different clients: interference in closed form, sublinear decay (theory.md §10).

Problem: `Y_i = X_i a* b_i*ᵀ`, population limit; each client runs gradient flow of ‖a bᵀ − a* b_i*ᵀ‖² on both
factors to its optimum, the server averages a and b.
Exact result: the flow conserves `‖a‖² − ‖b‖²`. With its value q at the server, client i ends at a = α_i a*,
b = b_i*/α_i, `α_i² = (q + sqrt(q² + 4‖b_i*‖²))/2`, so after the first round the angle is 0 and the excess
risk is `‖Cov(α_i, b_i*/α_i)‖²`: pure interference. Over rounds `q⁺ − q = Var(b_i*/α_i) − Var(α_i) ≥ 0`, so
`q ~ sqrt(2Vt)`, V = mean ‖b_i* − b̄*‖², and `t²·excess → ‖Cov(‖b_i*‖², b_i*)‖²/(16 V²)`: exponent exactly 2
wherever that covariance is not zero. Clients of equal ‖b_i*‖ do not interfere at all.
"""

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float, Shaped

from verification.finding import ProofStep
from verification.proof.identities import identity, sized_identity
from verification.proof.means import average, mean


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
    targets: Float[np.ndarray, "N p"], rounds: int, kept: float = 1.0
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Excess risk and q after each round of FedAvg-LoRA, by the closed form, from a unit a and b = 0.

    `kept` is the share of ‖a‖² − ‖b‖² that clients keep in a round: all of it.
    """
    q = 1.0
    excess, sizes = np.empty(rounds), np.empty(rounds)
    for t in range(rounds):
        q *= kept
        scales, fits = client_optima(q, targets)
        excess[t] = interference(scales, fits)
        q += growth(scales, fits)
        sizes[t] = q
    return excess, sizes


def derive(kept: Any = 1) -> tuple[ProofStep, ...]:
    """Conservation, the clients' optima, the covariance, the growth of q, the asymptotics.

    Args:
        kept: share of ‖a‖² − ‖b‖² that local optima keep; 1 for the true statement.
    """
    return (*_derive_optimum(kept), *_derive_average(), *_derive_asymptotics())


def _derive_optimum(kept: Any) -> list[ProofStep]:
    d, p = sp.symbols("d p", integer=True, positive=True)
    a, da = (sp.MatrixSymbol(name, d, 1) for name in ("a", "da"))
    b, db = (sp.MatrixSymbol(name, p, 1) for name in ("b", "db"))
    R = sp.MatrixSymbol(
        "R", d, p
    )  # a bᵀ − T, whatever the target T; the flow is ȧ = −2 R b, ḃ = −2 Rᵀ a
    q, n = sp.symbols("q n", positive=True)
    scale, root = client_scale(kept * q, n), sp.sqrt((kept * q) ** 2 + 4 * n**2)
    along, across = sp.symbols("alpha w_perp", real=True)
    beta, target = sp.symbols("beta n", positive=True)
    # In the plane of a* and the start: a = (α, w), b = β b_i*/‖b_i*‖, from b = 0 and α > 0.
    plane = (along * beta - target) ** 2 + (across * beta) ** 2
    return [
        sized_identity("gradient flow conserves ‖a‖² − ‖b‖² for any target matrix: aᵀȧ = (bᵀḃ)ᵀ",
            a.T * da, (b.T * db).T,
            where={da: -2 * R * b, db: -2 * R.T * a}),
        identity("α_i² − ‖b_i*‖²/α_i² = q", scale**2 - n**2 / scale**2, q),
        identity("α_i² is the only positive one: the two values multiply to −‖b_i*‖²",
            scale**2 * (kept * q - root) / 2, -(n**2)),
        identity("the part of a across a* shrinks at rate 2‖b‖² and nothing feeds it: it ends at 0",
            -sp.Derivative(plane, across), -2 * across * beta**2),
        *(
            identity(f"on the edges of α, β > 0 the flow points inwards: {name} grows at {name} = 0",
                -sp.Derivative(plane, here), 2 * target * there, where={here: 0})
            for name, here, there in (("α", along, beta), ("β", beta, along))
        ),
    ]  # fmt: skip


def _derive_average() -> list[ProofStep]:
    """Any number of clients: one coordinate b of the b_i, whose squares add up over the coordinates."""
    alpha, b, other = sp.symbols("alpha b other", real=True)
    q, x = sp.symbols("q x", positive=True)
    clients = {alpha: "alpha", b: "b"}
    mean_a, mean_b = mean(alpha, clients), mean(b, clients)
    pairs = average(average((b - other) ** 2, {b: "b"}), {other: "b"}) / 2
    scale = sp.sqrt(q + x**2)  # α_i as a function of x = ‖b_i‖
    return [
        identity("any N: ā b̄ − b̄* = −Cov(α_i, b_i), b̄* = mean α_i b_i, coordinate by coordinate",
            mean_a * mean_b - average(alpha * b, clients),
            -average((alpha - mean_a) * (b - mean_b), clients)),
        *(
            identity(f"any N: the square of the mean of {name} is the mean square less the variance; so "
                "‖ā‖² − ‖b̄‖² = mean(α_i² − ‖b_i‖²) + Var(b_i) − Var(α_i)", centre**2,
                average(one**2, clients) - average((one - centre) ** 2, clients))
            for name, one, centre in (("α_i", alpha, mean_a), ("b_i", b, mean_b))
        ),
        identity("q > 0: α_i is a function of ‖b_i‖ with slope² = 1 − q/(q + ‖b_i‖²) < 1 …",
            sp.Derivative(scale, x) ** 2, 1 - q / (q + x**2)),
        identity("… and variances are half the mean squared difference of two clients, for any N: so "
            "Var(α_i) ≤ Var(b_i), q never falls", average((b - mean_b) ** 2, clients), pairs),
    ]  # fmt: skip


def _derive_asymptotics() -> list[ProofStep]:
    """Limits as q → ∞; covariances do not see the shift α_i − sqrt q."""
    n, q, square, own, other = sp.symbols("n q square own other", positive=True)
    x = sp.Symbol("x", positive=True)  # 1/q²
    grown = sp.sqrt((1 + sp.sqrt(1 + 4 * n**2 * x)) / 2)  # α_i/√q
    first, second = n**2 / 2, sp.Integer(1)  # as the second and third step say
    beta, r, s = sp.symbols(
        "beta r s", real=True
    )  # a coordinate of b_i*, and whatever orders are higher
    clients = {square: "square", beta: "beta", r: "r", s: "s"}
    alpha = 1 + x * first.subs(n, sp.sqrt(square)) + x**2 * r  # α_i/√q
    fit = second * beta + x * s  # √q b_i
    cov = average(alpha * fit, clients) - average(alpha, clients) * average(fit, clients)
    variance, of_scales = (
        average(one**2, clients) - average(one, clients) ** 2 for one in (fit, alpha)
    )
    stated = mean(square * beta, clients) - mean(square, clients) * mean(beta, clients)
    C2, V = sp.symbols("C2 V", positive=True)
    return [
        identity("α_i/√q is a function of x = 1/q² (squares)", client_scale(q, n) ** 2 / q, grown**2,
            where={x: 1 / q**2}),
        identity("q^(3/2) (α_i − √q) → ‖b_i*‖²/2: it is 1 at x = 0, and this its slope",
            sp.Matrix([grown, sp.Derivative(grown, x)]), sp.Matrix([1, first]), where={x: 0}),
        identity("√q b_i → b_i*", 1 / grown, second, where={x: 0}),
        identity("any N and b_i*, by power sums: q² Cov(α_i, b_i) → Cov(‖b_i*‖², b_i*)/2 in each coordinate",
            sp.Matrix([cov, sp.Derivative(cov, x)]), sp.Matrix([0, stated / 2]), where={x: 0}),
        identity("any N and b_i*: q(q⁺ − q) → V, hence q² ~ 2Vt: Var(√q b_i) → Var(b_i*) in each coordinate, "
            "q Var(α_i) → 0", sp.Matrix([variance, of_scales, sp.Derivative(of_scales, x)]),
            sp.Matrix([mean(beta**2, clients) - mean(beta, clients) ** 2, 0, 0]), where={x: 0}),
        identity("so t²·excess → (C²/4)/(2V)² = C²/(16V²), C² the sum of the squared covariances",
            own / other**2, C2 / (16 * V**2), where={own: C2 / 4, other: 2 * V}),
        *_derive_decay(3, 1, first, second, n),
    ]  # fmt: skip


def _derive_decay(N: int, p: int, slope: Any, start: Any, n: sp.Symbol) -> list[ProofStep]:
    """That the functions here have these limits, at N generic targets in R^p and generic higher orders.

    Args:
        slope, start: limits of `q^(3/2)(α_i − √q)`, a function of n = ‖b_i*‖, and of `√q b_i / b_i*`.
    """
    x = sp.Symbol("x", positive=True)  # 1/q²
    targets, more = (
        np.array(sp.symbols(f"{name}0:{N * p}", real=True), dtype=object).reshape(N, p)
        for name in "ts"
    )
    # α_i = √q·scales_i and b_i = fits_i/√q, whose higher orders are free symbols.
    slopes = np.array([slope.subs(n, sp.sqrt(target @ target)) for target in targets])
    scales = 1 + x * slopes + x**2 * np.array(sp.symbols(f"r0:{N}", real=True), dtype=object)
    fits = start * targets + x * more
    excess = sp.Derivative(interference(scales, fits), x, 2) / 2  # q⁴·excess, in the limit x = 0
    # q·growth = Var(fits) − Var(scales)/x: its limit is the derivative of x times it at 0.
    of_fits = growth(np.zeros(N, dtype=object), fits)
    of_scales = growth(scales, np.zeros((N, p), dtype=object))
    gain = sp.Derivative(x * of_fits + of_scales, x)
    spread = np.square(targets - targets.mean(axis=0)).sum(axis=1).mean()
    named = f"for {N} generic b_i* in R^{p}"
    return [
        identity(f"q(q⁺ − q) → V by the growth as it is computed, {named}", gain, spread,
            where={x: 0}),
        identity(f"q⁴·excess → (2V)² times the stated limit of t²·excess, as they are computed, {named}",
            excess, decay_constant(targets) * (2 * spread) ** 2, where={x: 0}),
    ]  # fmt: skip


def _plain(value: Any) -> Any:
    """A float, unless it is a SymPy expression."""
    return value if isinstance(value, sp.Basic) else float(value)

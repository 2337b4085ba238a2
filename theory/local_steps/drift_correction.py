"""Two cures of covariate shift: a pooled b-step, and control variates on either factor (theory.md §16).

Problem: `Y_i = X_i W_i`, features of any covariances S_i, m → ∞; mean loss f(A, B).
Pooled b-step: the server solves `AᵀS̄A B = mean_i AᵀS_iW_i`; the a-step is a gradient step on f, so fixed
points are the stationary points of f. Control variates (`rolora-cv`): client i takes K steps along
`g_i − c_i + c`; with the Hessian h of a coordinate and `P = (1 − (1 − ηh)ᴷ)/(Kηh)` a round is
`c_i⁺ = P_ig_i + (1 − P_i)(c_i − c)`, `x⁺ = x − Kηc⁺`: a fixed point has c = 0, c_i = g_i, so ∇f = 0.
Local rates where all h_i are alike: (1 − ηh)ᴷ of x, as without, and 1 − P of the control variates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from verification.finding import ProofStep
from verification.proof.identities import follows, identity, rational_identity, sized_identity
from verification.proof.means import average, mean


def moved_share(power: Any, work: Any) -> Any:
    """P = (1 − power)/work: what K local steps move, over K steps along the first gradient. Ours.

    Args:
        power: (1 − ηh)ᴷ.
        work: Kηh.
    """
    return (1 - power) / work


def next_control(share: Any, gradient: Any, own: Any, common: Any) -> Any:
    """A client's control variate after a round: `P g + (1 − P)(c_i − c)`. Ours."""
    return share * gradient + (1 - share) * (own - common)


def drifted_point(powers: Float[np.ndarray, " N"], optima: Float[np.ndarray, "N p"]) -> np.ndarray:
    """Where K local steps without control variates settle: optima weighted by 1 − (1 − ηh_i)ᴷ. Ours."""
    weights = 1.0 - powers
    return np.asarray(weights @ optima / weights.sum())


def round_matrix(h: Float[np.ndarray, " N"], eta: float, steps: int) -> Float[np.ndarray, "n n"]:
    """The round of x and c_1 … c_N about a fixed point, for clients' Hessians h_i of one coordinate. Ours."""
    N = len(h)
    share = moved_share((1.0 - eta * h) ** steps, steps * eta * h)
    made = np.zeros((N + 1, N + 1))
    made[1:, 0] = share * h
    made[1:, 1:] = (1.0 - share)[:, None] * (np.eye(N) - 1.0 / N)
    made[0] = -steps * eta * made[1:].mean(axis=0)
    made[0, 0] += 1.0
    return made


def half_jacobian(
    hessians: Float[np.ndarray, "N n n"],
    crosses: Float[np.ndarray, "N n k"],
    eta: float,
    steps: int,
) -> Float[np.ndarray, "nN w"]:
    """A factor's corrected round about a stationary point: (x, y, c_1 … c_N) to (x, c_1 … c_N). Ours.

    Args:
        hessians: the clients', of the factor x that moves.
        crosses: derivatives of their gradients of x in the other factor y.
    """
    N, n, k = crosses.shape
    one = np.eye(n)
    made = np.zeros((N, n, n + k + N * n))
    for i, (h, cross) in enumerate(zip(hessians, crosses, strict=True)):
        # P_i = (1 − (1 − ηH)ᴷ)/(KηH), which is the mean of the powers below K.
        powers = [np.linalg.matrix_power(one - eta * h, power) for power in range(steps)]
        share = np.mean(powers, axis=0)
        among = np.kron(np.eye(N)[i] - 1.0 / N, one - share)  # of c_i − c
        made[i] = np.concatenate([share @ h, share @ cross, among], axis=1)
    x = np.eye(n, made.shape[2]) - steps * eta * made.mean(axis=0)
    return np.concatenate([x, made.reshape(N * n, -1)])


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The pooled b-step's fixed points; K corrected steps, their fixed points and local rates.

    Args:
        stretch: multiplies P in the stated memory 1 − P; 1 for the true statement.
    """
    return (*_derive_pooled(), *_derive_round(), *_derive_fixed_point(), *_derive_rates(stretch))


def _derive_pooled() -> list[ProofStep]:
    d, r, p = sp.symbols("d r p", integer=True, positive=True)
    shapes = {"A": (d, r), "B": (r, p), "S": (d, d), "W": (d, p), "C": (r, p)}
    A, B, S, W, right = (sp.MatrixSymbol(name, *size) for name, size in shapes.items())
    step = 2 * S @ (A @ B - W) @ B.T
    return [
        sized_identity("every d, r, p, with S̄W° = mean_i S_iW_i: A's mean gradient 2S̄(AB − W°)Bᵀ has no "
            "part along "
            "A, up to AᵀS̄AB − AᵀS̄W°, which the pooled b-step makes 0: where A's span stays ∇f = 0",
            A.T @ step, 2 * (A.T @ S @ A @ B - right) @ B.T, where={right: A.T * S * W}),
        sized_identity("and so is B's gradient, 2AᵀS̄(AB − W°)", 2 * A.T @ S @ (A @ B - W),
            2 * (A.T @ S @ A @ B - right), where={right: A.T * S * W}),
        sized_identity("with S̄ = I a round is Oja's rule for W°, rate and all: Â = A + 2η(I − AAᵀ)W°W°ᵀA",
            (A @ B - W) @ B.T, A @ A.T @ W @ W.T @ A - W @ W.T @ A, where={B: A.T * W}),
    ]  # fmt: skip


def _derive_round() -> list[ProofStep]:
    x, g, own, common, eta, h, power = sp.symbols("x g c_i c eta h power", positive=True)
    K, y, moved = sp.symbols("K y y_K", positive=True)
    pull = g - own + common
    path = x - (1 - power) / h * pull
    share = moved_share(power, K * eta * h)
    clients = {y: "y", own: "own"}
    control = own - common + (x - y) / (K * eta)
    return [
        rational_identity("a coordinate with Hessian h after k corrected steps: x − (1 − (1 − ηh)ᵏ)/h·(g "
            "− c_i + c); "
            "one more takes the power one further", path - eta * (h * (path - x) + pull),
            x - (1 - power * (1 - eta * h)) / h * pull),
        rational_identity("which is x at power 1, no step", path, x + (power - 1) * pull / h),
        rational_identity("so c_i⁺ = c_i − c + (x − y_i)/(Kη) is P g + (1 − P)(c_i − c)",
            own - common + (x - moved) / (K * eta), next_control(share, g, own, common), where={moved: path}),
        identity("any N: c⁺, the mean, is (x − x⁺)/(Kη), if c was the mean of the c_i",
            average(control, clients),
            (x - mean(y, clients)) / (K * eta), where={common: mean(own, clients)}),
    ]  # fmt: skip


def _derive_fixed_point() -> list[ProofStep]:
    share, g, own, x, low, high = sp.symbols("P g c_i x low high", positive=True)
    e, of_share, of_g, of_own, of_common = sp.symbols("epsilon dP dg dc_i dc", real=True)
    moved = next_control(share + e * of_share, own + e * of_g, own + e * of_own, e * of_common)
    return [
        identity("x⁺ = x says c = 0, and c_i⁺ = c_i then P_i(g_i − c_i) = 0: with P_i ≠ 0 every c_i is "
            "g_i, their "
            "mean is ∇f = c = 0", next_control(share, g, own, 0) - own, share * (g - own)),
        identity("and where ∇f = 0, c_i = g_i and c = 0 stay", next_control(share, g, g, 0), g),
        identity("about it c_i⁺ moves by P dg + (1 − P)(dc_i − dc): P, which the other factor moves, "
            "multiplies g_i − c_i + c = 0", moved - own,
            e * next_control(share, of_g, of_own, of_common) + e**2 * of_share * (of_g - of_own + of_common)),
        rational_identity("while without correction a round leaves x where mean_i (1 − (1 − ηh_i)ᴷ)(x − "
            "x_i) = 0: for "
            "two clients at the weighted mean, which for K = 1 has the weights h_i",
            low * (x - g) + high * (x - own), (low + high) * (x - (low * g + high * own) / (low + high))),
    ]  # fmt: skip


def _derive_rates(stretch: Any) -> list[ProofStep]:
    h, eta, power, K, x, best, mine = sp.symbols("h eta power K x best mine", positive=True)
    common, u = sp.symbols("c u", real=True)
    share = moved_share(power, K * eta * h)
    gap, slope = h * (best - mine), h * (x - best)  # g_i − ḡ, which stays, and ḡ
    after = next_control(share, slope + gap, common + gap + u, common)
    return [
        rational_identity("h_i alike: c⁺ = P ḡ, so x⁺ − x* = (1 − ηh)ᴷ(x − x*)",
            x - K * eta * share * slope - best,
            power * (x - best)),
        rational_identity("and c_i − c − (g_i − ḡ) = u shrinks by 1 − P", after - share * slope - gap,
            (1 - stretch * share) * u),
        rational_identity("P = 1 at K = 1: control variates forget at once",
            share, 1, where={power: 1 - eta * h, K: 1}),
        follows("and P falls like 1/(Kηh) with the steps: 1/(Kηh) − P ≥ 0", 1 / (K * eta * h) - share,
            (1 / (K * eta * h), power)),
    ]  # fmt: skip

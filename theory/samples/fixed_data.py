"""Fixed data (the same X_i in every round): the exact local rate of RoLoRA (theory.md §7).

Problem: `Y_i = X_i a* b*ᵀ`, Algorithm 2 on the same samples in every half-step, `G_i = X_iᵀX_i/m`,
`Ḡ = mean_i G_i`, κ = 2η‖b*‖².
Exact result: small angles are multiplied by `J = P(I − κ Ḡ(I − a* gᵀ))P` with P = I − a*a*ᵀ and
`g = mean_i G_i a*/(a*ᵀG_i a*)`; the local rate is the spectral radius of J.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from verification.finding import ProofStep
from verification.proof.identities import generic_symmetric, identity, sized_identity


def fit_direction(grams: Any, a_star: Any) -> Any:
    """`g = mean_i G_i a*/(a*ᵀG_i a*)`: the b-step answers a small move x of a by `b̄ = (1 − gᵀx) b*`.

    Args:
        grams: the G_i: array (N, d, d), float64, or a list of SymPy matrices.
        a_star: unit vector: array (d,), or a SymPy column.
    """
    images = [gram @ a_star for gram in grams]
    scaled = [image / _inner(a_star, image) for image in images]
    return sum(scaled[1:], scaled[0]) / len(scaled)


def round_jacobian(grams: Any, a_star: Any, kappa: Any, answered: Any = 1) -> Any:
    """`J = P(I − κ Ḡ(I − a* gᵀ))P`, shape (d, d). Arguments as for `fit_direction`.

    `answered` is the share of the b-step's answer a* gᵀ that is counted: all of it. Source: theory.md §7.
    """
    one: Any = np.eye(len(a_star)) if isinstance(a_star, np.ndarray) else sp.eye(a_star.rows)
    mean = sum(grams[1:], grams[0]) / len(grams)
    project = one - _outer(a_star, a_star)
    answer = one - answered * _outer(a_star, fit_direction(grams, a_star))
    return project @ (one - kappa * (mean @ answer)) @ project


def local_rate(
    grams: Float[np.ndarray, "N d d"],
    a_star: Float[np.ndarray, " d"],
    kappa: float,
    answered: float = 1.0,
) -> float:
    """Spectral radius of `round_jacobian`: the factor by which small angles shrink in the long run.

    Above 1 the truth repels. Arguments as for `round_jacobian`, as arrays.
    """
    eigenvalues = np.linalg.eigvals(round_jacobian(grams, a_star, kappa, answered))
    return float(np.max(np.abs(eigenvalues)))


def mean_fit(grams: Any, a: Any, a_star: Any) -> Any:
    """b-step: `b̄ = β̄ b*` with `β̄ = mean_i a*ᵀG_i a/(aᵀG_i a)`. Arguments as for `fit_direction`."""
    fits = [_inner(a, gram @ a_star) / _inner(a, gram @ a) for gram in grams]
    return sum(fits[1:], fits[0]) / len(fits)


def gradient_step(mean_gram: Any, a: Any, a_star: Any, beta: Any, kappa: Any) -> Any:
    """a-step before normalisation, `a − κ β Ḡ(β a − a*)`; of b* only κ matters."""
    return a - kappa * beta * (mean_gram @ (beta * a - a_star))


def derive(answered: Any = 1) -> tuple[ProofStep, ...]:
    """J as the derivative of the literal round at a*, the round itself by differentiating the loss.

    Args:
        answered: share of the b-step's answer that the stated J has; 1 for the true statement.
    """
    return (*_derive_round(), *_derive_jacobian(answered))


def _derive_round() -> list[ProofStep]:
    """The literal round from the loss, for every width; what is linear in the G_i holds for their mean."""
    kappa, beta, e = sp.symbols("kappa beta epsilon", real=True)
    d = sp.Symbol("d", integer=True, positive=True)
    a, a_star, y, slope = (sp.MatrixSymbol(name, d, 1) for name in ("a", "A", "y", "g"))
    G = sp.MatrixSymbol("G", d, d)
    rest, moved = beta * a - a_star, beta * (a + e * y) - a_star
    three = sp.Matrix(sp.symbols("a0:3", real=True)), sp.Matrix(sp.symbols("s0:3", real=True))
    grams = [generic_symmetric(f"g{i}_", 3) for i in range(2)]
    sizes = [
        [(left.T @ gram @ right)[0, 0] for left, right in product(three, three)] for gram in grams
    ]
    losses = [beta**2 * aa - beta * (a_s + s_a) + ss for aa, a_s, s_a, ss in sizes]
    first, second = sp.symbols("f0 f1", real=True)
    halves = [mean_fit([gram], *three) for gram in grams]
    return [
        sized_identity("b-step, every d: a client's loss at β b* is β² aᵀGa − β(aᵀGa* + a*ᵀGa) + a*ᵀGa*",
            rest.T @ G @ rest, beta**2 * a.T @ G @ a - beta * (a.T @ G @ a_star + a_star.T @ G @ a)
            + a_star.T @ G @ a_star),
        identity("least where its slope is 0, as it is computed (d = 3)", sp.Derivative(losses[0], beta),
            sp.Integer(0), where={beta: halves[0]}),
        identity("the mean over clients, as it is computed (two)", mean_fit(grams, *three),
            (first + second) / 2, where=dict(zip((first, second), halves, strict=True))),
        sized_identity("a-step, every d: along y the loss has the slope 2β yᵀG(βa − a*)",
            moved.T @ G @ moved - rest.T @ G @ rest,
            e * beta * (y.T @ G @ rest + rest.T @ G @ y) + e**2 * beta**2 * y.T @ G @ y),
        sized_identity("κ/2 times that gradient is the stated step", a - kappa / 2 * slope,
            gradient_step(G, a, a_star, beta, kappa), where={slope: 2 * beta * G @ rest}),
    ]  # fmt: skip


def _derive_jacobian(answered: Any) -> list[ProofStep]:
    """Derivative at a* in three dimensions, in coordinates with a* the first axis."""
    kappa, e = sp.symbols("kappa epsilon", real=True)
    grams = [generic_symmetric(f"g{i}_", 3) for i in range(2)]
    a_star = sp.Matrix([1, 0, 0])
    x = sp.Matrix([0, *sp.symbols("x1:3", real=True)])  # a small move is orthogonal to a*
    # The length sqrt(1 + ε²‖x‖²) of a* + εx differs from 1 at second order only.
    a = a_star + e * x
    fit = mean_fit(grams, a, a_star)
    moved = gradient_step((grams[0] + grams[1]) / 2, a, a_star, fit, kappa)
    along = moved[0]
    slope = sp.Matrix([sp.Derivative(entry / along, e) for entry in moved[1:]])
    stated = (round_jacobian(grams, a_star, kappa, answered) @ x)[1:, :]
    # Every dimension and number of clients: only these numbers enter the b-step, one client at a time.
    p, q, w = sp.symbols("p q w", positive=True)  # a*ᵀGx, xᵀGx, a*ᵀGa*
    beta = (w + e * p) / (w + 2 * e * p + e**2 * q)
    f = sp.Symbol("f", real=True)  # gᵀx
    d = sp.Symbol("d", integer=True, positive=True)
    A, X, G = sp.MatrixSymbol("A", d, 1), sp.MatrixSymbol("X", d, 1), sp.MatrixSymbol("G", d, d)
    literal = (A + e * X) - kappa * (1 - e * f) * G * ((1 - e * f) * (A + e * X) - A)
    linear = A + e * (X - kappa * G * (X - f * A))
    return [
        identity("a* is a fixed point", moved, a_star, where={e: 0}),
        identity("two clients, d = 3, generic Gram matrices: the derivative at a* is J", slope, stated,
            where={e: 0}),
        identity(
            "every d and N: d b_i = −(a*ᵀG_i x)/(a*ᵀG_i a*), whose mean is −gᵀx", sp.Derivative(beta, e),
            -p / w, where={e: 0}),
        sized_identity("every d and N: a⁺ = a* + ε(x − κ Ḡ(x − a* gᵀx)) and terms of order ε²", literal,
            linear - kappa * e**2 * G * (f**2 * A - 2 * f * X + e * f**2 * X)),
    ]  # fmt: skip


def _inner(left: Any, right: Any) -> Any:
    return left @ right if isinstance(left, np.ndarray) else (left.T @ right)[0, 0]


def _outer(left: Any, right: Any) -> Any:
    return np.outer(left, right) if isinstance(left, np.ndarray) else left @ right.T

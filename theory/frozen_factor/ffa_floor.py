"""The floor FFA-LoRA cannot pass, with its exact constant (theory.md §8).

Rank-1 linear model `Y_i = X_i a* b*ᵀ`; a⁰ stays frozen at angle distance δ⁰ = s from a*, each of N clients
solves least squares for b on its m samples, the server averages. Two losses carry the name "expected
global loss", and both are B² s² (1 + c̃) with c̃ = O(1/(Nm)):

* on the samples the clients trained on: c̃ = −2/M + 1/(N²m) + (N−1)/(N²(m−2)), M = N·m, which is
  −1/M + 2(N−1)/(N² m(m−2)): negative for m ≥ 4, because least squares fits part of what it cannot learn;
* on new samples: c̃ = 1/(N(m−2)), positive: the error of the estimated b.
"""

from functools import partial
from typing import Any

import sympy as sp

from theory.frozen_factor import client_sums
from theory.samples import moments
from verification.finding import ProofStep
from verification.proof.identities import identity, nonnegative_on_box, sized_identity


def training_constant(clients: Any, samples: Any) -> Any:
    """c̃ of the loss on the training samples, per-client least squares then averaging.

    For m > 2, or N = 1. Source: theory.md §8. Works on numbers and SymPy expressions.
    """
    pooled = clients * samples
    if clients == 1:
        return -2 / pooled + 1 / samples
    return -2 / pooled + 1 / (clients**2 * samples) + (clients - 1) / (clients**2 * (samples - 2))


def pooled_constant(pooled: Any) -> Any:
    """c̃ of the training loss when B is the joint least-squares fit on all M = N·m samples: −1/M.

    No choice of B, by any method, has a smaller training loss. Source: theory.md §8.
    """
    return -1 / pooled


def fresh_constant(clients: Any, samples: Any) -> Any:
    """c̃ of the expected loss on new samples, per-client least squares: Var ρ̄ = 1/(N(m−2)), m > 2."""
    return moments.student_variance(samples) / (samples * clients)


def loss_in_frame(beta: Any, c: Any, s: Any, gg: Any, gh: Any, hh: Any) -> Any:
    """Loss per B² of b = β b* on samples with |X a|² = gg, (X a)·(X u) = gh, |X u|² = hh (each over m).

    a* = c·a + s·u. The residual is X(β a − a*) b*ᵀ.
    """
    return (beta - c) ** 2 * gg - 2 * (beta - c) * s * gh + s**2 * hh


ARGUED = (
    ("|X_i a|² is χ²_m, t_i = (X_i a)·(X_i u)/|X_i a| normal and the rest of |X_i u|² χ²_(m−1), independent; "
        "and what one client brings is independent of what another does",
        "since X_i a and X_i u are independent standard normal vectors, whose parts along and across another "
        "are independent (Cochran's theorem), and samples are drawn anew for each client"),
)  # fmt: skip
"""What the derivation takes from probability: statement and reason."""


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """Both constants from the normal equation and the moments of Student's t, with their size.

    Args:
        stretch: multiplies both stated constants; 1 for the true statement.
    """
    steps = (*moments.derive((-1, 1)), *client_sums.derive())
    return (*steps, *_closed_form(), *_constants(stretch), *_size())


def _closed_form() -> list[ProofStep]:
    beta, c, s, gg, gh, hh, rho, kk, fit = sp.symbols("beta c s gg gh hh rho kk fit", real=True)
    m = sp.Symbol("m", integer=True, positive=True)
    g, h = (sp.MatrixSymbol(name, m, 1) for name in ("g", "h"))  # X a and X u
    residual = beta * g - (c * g + s * h)
    loss = loss_in_frame(beta, c, s, gg, gh, hh)
    best = c + s * gh / gg
    truth = c**2 * gg + 2 * c * s * gh + s**2 * hh
    return [
        sized_identity("loss of b = β b*, any m: |X(β a − a*)|² is the quadratic in β",
            residual.T @ residual,
            loss_in_frame(beta, c, s, g.T @ g, (g.T @ h + h.T @ g) / 2, h.T @ h)),
        identity("least squares: β_i = c + s ρ_i, ρ_i = gh/gg", sp.Derivative(loss, beta), 0,
            where={beta: best}),
        identity("no other β has a smaller loss: it grows by gg (β − β_i)²",
            loss - loss.subs(beta, fit), gg * (beta - fit) ** 2, where={fit: best}),
        identity("nor has a b with a part k across b*, which adds gg ‖k‖²/‖b*‖²",
            gg * (beta**2 + kk) - 2 * (c * gg + s * gh) * beta + truth - loss, gg * kk),
        identity("loss of the averaged b̄: s²(ρ̄² gg − 2 ρ̄ gh + hh)", loss,
            s**2 * (rho**2 * gg - 2 * rho * gh + hh), where={beta: c + s * rho}),
    ]  # fmt: skip


def _constants(stretch: Any) -> list[ProofStep]:
    N, m, M = sp.symbols("N m M", positive=True)
    t = sp.Symbol("t", real=True)
    x, y, z = sp.symbols("x y z", positive=True)
    laws: dict[sp.Symbol, moments.Law] = {
        t: moments.normal_moment,
        x: lambda power: moments.chi_squared_moment(m, power // 2),  # |X_i a|; even powers
        z: partial(moments.chi_squared_moment, m),  # another client's
        y: partial(moments.chi_squared_moment, m - 1),  # the rest of |X_i u|²
    }
    rho, gh, hh = t / x, t * x, t**2 + y

    def mean(expression: Any) -> Any:
        return moments.expected(expression, laws)

    squares = client_sums.pair_sum(N, mean(rho**2 * x**2), mean(rho**2 * z)) / N**3
    trained = squares - 2 * client_sums.own_sum(N, mean(rho * gh)) / N**2 + mean(hh)
    fresh = client_sums.own_sum(N, mean(rho**2)) / N**2
    return [
        identity("odd in t, of mean 0: ρ, ρ·|X a|², (X a)·(X u)",
            sp.Matrix([mean(rho), mean(rho * x**2), mean(gh)]), sp.zeros(3, 1)),
        identity("any N and m: E[training loss]/(B²s²) = E[ρ̄² gg − 2 ρ̄ gh + hh] = 1 + c̃", trained / m,
            1 + stretch * training_constant(N, m)),
        identity("any N and m > 2: E[loss on new samples]/(B²s²) = 1 + E ρ̄² = 1 + 1/(N(m−2))",
            loss_in_frame(0, 0, 1, 1, 0, 1) + fresh, 1 + stretch * fresh_constant(N, m)),
        identity("joint least squares is one client with M samples: c̃ = −1/M", pooled_constant(M),
            training_constant(N, M), where={N: 1}),
    ]  # fmt: skip


def _size() -> list[ProofStep]:
    N, m = sp.symbols("N m", positive=True)
    gap = training_constant(N, m) - pooled_constant(N * m)
    box = {N: (1, sp.oo), m: (3, sp.oo)}
    return [
        identity(
            "c̃ = −1/M + 2(N−1)/(N² m (m−2)): negative for m ≥ 4 at every N, not for m = 3 and N ≥ 3", gap,
            2 * (N - 1) / (N**2 * m * (m - 2))),
        nonnegative_on_box("c̃ ≥ −1/M: the floor is at least (1 − 1/M) B² s²", gap, box),
        nonnegative_on_box(
            "c̃ ≤ 1/M, so |c̃| ≤ 1/(Nm): the paper's O(1/(Nm)) holds with constant 1, for m ≥ 3",
            1 / (N * m) - training_constant(N, m), box),
        nonnegative_on_box(
            "on new samples 0 < c̃ ≤ 3/(Nm), for m ≥ 3", 3 / (N * m) - fresh_constant(N, m), box),
    ]  # fmt: skip

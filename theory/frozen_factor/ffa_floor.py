"""The floor FFA-LoRA cannot pass, with its exact constant (theory.md §8).

Rank-1 linear model `Y_i = X_i a* b*ᵀ`; a⁰ stays frozen at angle distance δ⁰ = s from a*, each of N clients
solves least squares for b on its m samples, the server averages. Two losses carry the name "expected
global loss", and both are B² s² (1 + c̃) with c̃ = O(1/(Nm)):

* on the samples the clients trained on: c̃ = −2/M + 1/(N²m) + (N−1)/(N²(m−2)), M = N·m, which is
  −1/M + 2(N−1)/(N² m(m−2)): negative for m ≥ 4, because least squares fits part of what it cannot learn;
* on new samples: c̃ = 1/(N(m−2)), positive: the error of the estimated b.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import sympy as sp

from theory.samples import moments
from verification.finding import ProofStep
from verification.proof.identities import identity, nonnegative_on_box


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


def derive() -> tuple[ProofStep, ...]:
    """Both constants from the normal equation and the moments of Student's t, with their size."""
    return (*moments.derive((-1, 1)), *_closed_form(), *_constants(), *_size())


def _closed_form() -> list[ProofStep]:
    beta, c, s, gg, gh, hh, rho = sp.symbols("beta c s gg gh hh rho", real=True)
    g, h = sp.Matrix(sp.symbols("g1:4", real=True)), sp.Matrix(sp.symbols("h1:4", real=True))
    residual = beta * g - (c * g + s * h)
    literal = {gg: g.dot(g), gh: g.dot(h), hh: h.dot(h)}
    loss = loss_in_frame(beta, c, s, gg, gh, hh)
    best = sp.solve(sp.diff(loss, beta), beta)[0]
    return [
        identity("loss of b = β b*: |X(β a − a*)|² expands to the quadratic in β (three samples, symbolic)",
            residual.dot(residual), loss.subs(literal)),
        identity("least squares: β_i = c + s ρ_i, ρ_i = gh/gg", best, c + s * gh / gg),
        identity("loss of the averaged b̄: s²(ρ̄² gg − 2 ρ̄ gh + hh)", loss.subs(beta, c + s * rho),
            s**2 * (rho**2 * gg - 2 * rho * gh + hh)),
    ]  # fmt: skip


def _constants() -> list[ProofStep]:
    N, m, M = sp.symbols("N m M", positive=True)
    scaled = sp.cancel(N**3 * training_constant(N, m))
    degree = sp.degree(scaled, N) if scaled.is_polynomial(N) else sp.oo
    return [
        *(step for count in (1, 2, 3, 4) for step in _expected_losses(count, m)),
        ProofStep(
            "N³ c̃ is a polynomial of degree ≤ 3 in N, as is N³ E[loss] (N equal terms and N(N−1) equal"
            " pairs): agreement at N = 1, 2, 3, 4 is agreement at every N",
            bool(degree <= 3),
            f"degree {degree}",
        ),
        identity(
            "joint least squares is one client with M samples: c̃ = −1/M",
            pooled_constant(M),
            training_constant(1, M),
        ),
    ]


def _expected_losses(count: int, m: sp.Symbol) -> list[ProofStep]:
    t = sp.symbols(f"t1:{count + 1}", real=True)  # (X_i a)·(X_i u)/|X_i a| ~ N(0, 1)
    x = sp.symbols(f"x1:{count + 1}", positive=True)  # |X_i a|² ~ χ²_m
    y = sp.symbols(f"y1:{count + 1}", positive=True)  # the rest of |X_i u|² ~ χ²_(m−1)
    laws: dict[sp.Symbol, moments.Law] = dict.fromkeys(t, moments.normal_moment)
    laws |= dict.fromkeys(x, partial(moments.chi_squared_moment, m))
    laws |= dict.fromkeys(y, partial(moments.chi_squared_moment, m - 1))
    rho = sum(ti / sp.sqrt(xi) for ti, xi in zip(t, x, strict=True)) / count
    gg = sum(x) / (count * m)
    gh = sum(ti * sp.sqrt(xi) for ti, xi in zip(t, x, strict=True)) / (count * m)
    hh = sum(ti**2 + yi for ti, yi in zip(t, y, strict=True)) / (count * m)
    return [
        identity(
            f"N = {count}, any m: E[training loss]/(B²s²) = 1 + c̃",
            moments.expectation(loss_in_frame(rho, 0, 1, gg, gh, hh), laws),
            1 + training_constant(count, m),
        ),
        identity(
            f"N = {count}, any m > 2: E[loss on new samples]/(B²s²) = 1 + 1/(N(m−2))",
            moments.expectation(loss_in_frame(rho, 0, 1, 1, 0, 1), laws),
            1 + fresh_constant(count, m),
        ),
    ]


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

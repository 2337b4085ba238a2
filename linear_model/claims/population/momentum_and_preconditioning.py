"""Heavy ball on A, and a preconditioned a-step, against ill-conditioned targets (theory.md §15)."""

from __future__ import annotations

from typing import Any

import numpy as np

from linear_model.claims.population import literal_rounds
from theory.population import best_rank_r
from theory.population import momentum_and_preconditioning as theory
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly

SMALL = 1e-5
"""Tangent of a start; what the linear recursion leaves out is of relative order of its square."""
DEEP = 1e-5
"""Modes are followed until so little is left of them."""


def clients_of(
    evidence: Evidence, values: np.ndarray, d: int, clients: int
) -> tuple[np.ndarray, np.ndarray]:
    """Targets (N, d, p) whose mean has these singular values, and its left singular vectors, all d."""
    rng = evidence.rng("targets", d, clients, len(values))
    left = np.linalg.qr(rng.standard_normal((d, d))).Q
    right = np.linalg.qr(rng.standard_normal((len(values) + 1, len(values)))).Q
    own = rng.standard_normal((clients, d, len(values) + 1))
    mean = left[:, : len(values)] @ np.diag(values) @ right.T
    return np.asarray(mean + own - own.mean(axis=0)), left


@claim(
    "momentum-and-preconditioning",
    "Heavy ball and preconditioning against ill-conditioned targets",
    statement="With infinitely many samples and a mean target of condition number c, heavy ball on A with "
    "η = 2/(σ_1 + "
    "σ_r)² and β = ρ² has the local rate ρ = (c − 1)/(c + 1), where plain steps have (c² − 1)/(c² + 1) at "
    "best. An "
    "a-step times (B̄B̄ᵀ)⁻¹ shrinks every tangent by (1 − 2η)/(1 + 2ηt²) whatever c: exact in one round "
    "at η = ½.",
    latex=r"\rho=\frac{c-1}{c+1}<\frac{2\rho}{1+\rho^2}=\frac{c^2-1}{c^2+1},\qquad "
    r"t^{+}=\frac{(1-2\eta)\,t}{1+2\eta t^2}",
    source=OURS,
    assumptions=(
        "any clients whose mean target has rank r; other targets: gaps λ_i − λ_j in place of σ²",
        "isotropic features and the population limit m → ∞",
        "b-step by least squares, one averaged gradient step on A, QR",
        "momentum: small angles",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    says="a rate ρ 2 % larger",
    exact="after t rounds the slowest modes are at ρᵗ(1 + t(1 ± ρ)), a double root's; any targets: "
    "preconditioned "
    "modes shrink by 1 − 2η(1 − λ_j/λ_i), at η = ½ orthogonal iteration's λ_j/λ_i",
    order=88,
)
def check(
    evidence: Evidence,
    *,
    d: int = 8,
    clients: int = 4,
    values: tuple[float, ...] = (1.5, 1.0, 0.5),
    stretch: float = 1.0,
) -> None:
    """Derive both; follow the extreme modes and random starts through loops over clients.

    Args:
        d: width, above the rank.
        clients: N.
        values: singular values of the mean target, of two sizes at least; their number is r.
        stretch: multiplies the stated rate ρ; 1 for the true statement.
    """
    sizes = np.sort(np.array(values, dtype=np.float64))[::-1]
    if len(sizes) < 2 or not 0.0 < sizes[-1] < 0.95 * sizes[0] or sizes[0] > 20.0 * sizes[-1]:
        raise ValueError(
            "values must be at least two positive numbers, the largest between 1/0.95 and 20 times the "
            "smallest,"
            f" got {values}"
        )
    between(len(sizes) + 1, 30, d=d)
    between(1, 30, clients=clients)
    targets, left = clients_of(evidence, sizes, d, clients)
    label = f"d = {d}, N = {clients}, σ = {', '.join(f'{v:g}' for v in sizes)}"
    rows = [
        row
        for side in (1, -1)
        for row in _momentum(evidence, targets, left, sizes, side, stretch, label)
    ]
    _preconditioned(evidence, targets, left, sizes, label)
    _any_targets(evidence, d, clients)
    evidence.steps(*theory.derive(exactly(stretch)))
    evidence.argued(
        "near the best subspace heavy ball's tangents obey the mode's recursion",
        because="A − A_before is V_2(T − T_before) to first order, since neither the a-step, which is "
        "across A, "
        "nor QR moves A along itself but to second order",
    )
    evidence.method(
        "SymPy: roots, double roots' closed forms, matrix symbols of any size; beside it loops over "
        "clients from "
        f"tangents of {SMALL:g}, and preconditioned rounds from random starts"
    )
    evidence.table(rows, PLOT)


PLOT = Plot(
    "round", (Series("measured", "heavy ball, loop over clients", Mark.POINTS),
        Series("theory", "closed form of the double root", Mark.LINE),
        Series("plain", "best plain rate", Mark.DASHED)),
    "round", "tangent over its start",
    "The modes of the smallest and of the largest singular value under heavy ball at its best step and "
    "momentum. "
    "They fall like ρᵗ times a line in t, far faster than plain steps at their best.", group="mode",
    ylog=True,
)  # fmt: skip


def _momentum(
    evidence: Evidence,
    targets: np.ndarray,
    left: np.ndarray,
    sizes: np.ndarray,
    side: int,
    stretch: float,
    label: str,
) -> list[dict[str, Any]]:
    """One extreme mode through rounds of the loop with heavy ball on A, against its closed form."""
    r, large, small = len(sizes), sizes[0], sizes[-1]
    rho = stretch * theory.momentum_rate(large, small)
    eta, beta = theory.heavy_ball_step(large, small), theory.momentum_rate(large, small) ** 2
    A = left[:, :r].copy()
    A[:, -1 if side == 1 else 0] += SMALL * left[:, r]
    A = before = literal_rounds.orthonormal(A)
    plain = best_rank_r.best_rate(small**2, large**2)
    name = "smallest" if side == 1 else "largest"
    rows, gaps = [], []
    t, seen = 0, 1.0
    while seen > DEEP and t < 400:
        moved, _ = literal_rounds.client_loop(A, targets, eta)
        A, before = literal_rounds.orthonormal(moved + beta * (A - before)), A
        t += 1
        seen = float(np.linalg.norm(left[:, r:].T @ A @ np.linalg.inv(left[:, :r].T @ A))) / SMALL
        stated = abs(float(theory.end_mode(rho, (side * rho) ** t, t, side)))
        gaps.append(abs(stated / seen - 1.0))
        rows.append(
            {"mode": name, "round": t, "measured": seen, "theory": stated, "plain": plain**t}
        )
    words = (
        f"mode of the {name} singular value: relative gap to its closed form, {t} rounds, {label}"
    )
    why = "the start's tangent squared, and rounding at tangents of 1e-10"
    evidence.equal(words, 0.0, max(gaps), rounding=1e-4, why=why)
    if side == 1:
        words = f"rate of heavy ball, the double root's line in t taken out, {label}"
        measured = (seen / (1.0 + t * (1.0 - rho))) ** (1.0 / t)
        evidence.equal(words, rho, measured, rounding=1e-5, why=why)
    return rows


def _loop(A: np.ndarray, targets: np.ndarray, eta: float) -> np.ndarray:
    """Â of the preconditioned round, client by client."""
    B = np.mean([np.linalg.lstsq(A, W, rcond=None)[0] for W in targets], axis=0)
    inverse = np.linalg.inv(B @ B.T)
    return np.asarray(
        A - eta * np.mean([2.0 * (A @ B - W) @ B.T @ inverse for W in targets], axis=0)
    )


def _preconditioned(
    evidence: Evidence, targets: np.ndarray, left: np.ndarray, sizes: np.ndarray, label: str
) -> None:
    """Principal tangents of random starts through preconditioned rounds, and one round at η = ½."""
    r, d = len(sizes), len(left)

    def tangents(A: np.ndarray) -> np.ndarray:
        return np.asarray(
            np.linalg.svd(left[:, r:].T @ A @ np.linalg.inv(left[:, :r].T @ A), compute_uv=False)
        )

    gaps = []
    for place, eta in enumerate((0.1, 0.3, 0.8)):
        A = literal_rounds.start_of(evidence, d, r, place)
        for _ in range(8):
            stated = np.sort(np.abs(theory.preconditioned_tangent(tangents(A), eta)))[::-1]
            A = literal_rounds.orthonormal(_loop(A, targets, eta))
            gaps.append(np.max(np.abs(tangents(A) - stated) / np.maximum(stated, 1e-3)))
    words = f"preconditioned: relative gap of the principal tangents to the map, 24 rounds, {label}"
    evidence.equal(words, 0.0, max(gaps), rounding=1e-9, why="rounding")
    last = tangents(_loop(literal_rounds.start_of(evidence, d, r), targets, 0.5)).max()
    words = f"preconditioned: largest tangent after one round at η = ½ from a random start, {label}"
    evidence.equal(words, 0.0, last, rounding=1e-9, why="rounding")


def _any_targets(evidence: Evidence, d: int, clients: int) -> None:
    """A mean target of full rank: the slowest mode's factor."""
    sizes = np.linspace(1.5, 0.5, d)
    rank = max(1, d // 3)
    targets, left = clients_of(evidence, sizes, d, clients)
    for eta in (0.3, 0.5):
        A = left[:, :rank].copy()
        A[:, -1] += SMALL * left[:, rank]
        A = _loop(literal_rounds.orthonormal(A), targets, eta)
        seen = np.linalg.norm(left[:, rank:].T @ A @ np.linalg.inv(left[:, :rank].T @ A)) / SMALL
        stated = theory.preconditioned_factor(sizes[rank - 1] ** 2, sizes[rank] ** 2, eta)
        words = f"preconditioned, W̄ of full rank: the slowest mode's factor, η = {eta}, d = {d}, r = {rank}"
        evidence.equal(words, stated, float(seen), rounding=1e-8, why="the start's tangent squared")

"""Clients that differ in covariance and target leave RoLoRA a bias, FedAvg-LoRA a larger one (§16)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from linear_model.claims.population import literal_rounds
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.problem import Problem
from linear_model.simulation import simulate
from linear_model.spectra import shifted_covariances
from theory.local_steps import covariate_shift
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly

SHIFT = 2e-3
"""Spread of the covariances where the first order is measured; ± and twice it take out the next orders."""
WIDE = 0.5
ROUNDS = 3_000
LAST = 200
FLOW_TIME = 60.0


def problem_of(targets: np.ndarray, shifts: np.ndarray, shift: float, rank: int) -> Problem:
    """Clients of these targets and of covariances I + shift·E_i."""
    clients, d, _ = targets.shape
    S = np.eye(d) + shift * shifts
    return Problem(d=d, clients=clients, samples=rank + 2, rank=rank, B_star=targets, covariances=S)


def shared_targets(evidence: Evidence, d: int, clients: int) -> np.ndarray:
    """W_i = a*b_i*ᵀ with b_i* of length 1 in three different directions and more, (N, d, 3)."""
    b = evidence.rng("shared", clients).standard_normal((clients, 3)) + np.array([1.5, 0.0, 0.0])
    b /= np.linalg.norm(b, axis=1)[:, None]
    return np.asarray(np.eye(1, d)[0][None, :, None] * b[:, None, :])


def fixed_point(of: Problem) -> tuple[np.ndarray, np.ndarray]:
    """A and the B̄ fitted to it after so many rounds of the loop that its span stands still."""
    targets, A = of.A_star @ of.B_star, of.optimum.A
    assert of.covariances is not None
    mean = targets.mean(axis=0)
    values = np.square(np.linalg.svd(mean, compute_uv=False))
    gap = values[0] + values[of.rank - 1] - (values[of.rank] if of.rank < len(values) else 0.0)
    for _ in range(ROUNDS):
        moved, _ = literal_rounds.client_loop(A, targets, 1.0 / gap, list(of.covariances))
        # The columns may turn within the span for ever: the averaged B leaves a gradient along it.
        if np.abs(moved - A @ (A.T @ moved)).max() < 1e-15:
            break
        A = literal_rounds.orthonormal(moved)
    return A, literal_rounds.client_loop(A, targets, 0.0, list(of.covariances))[1]


def excess_of(of: Problem, product: np.ndarray) -> float:
    """Excess risk of a shared model over the best of rank r, by its definition."""
    assert of.optimum.metric is not None
    S, best = of.optimum.metric
    gap = product - best
    return float((gap * (S @ gap)).sum() - of.optimum.tail)


def second_order(value: Callable[[float], float]) -> float:
    """Half the second derivative at 0 of a function that vanishes there to second order."""
    one, two = ((value(h) + value(-h)) / (2.0 * h**2) for h in (SHIFT, 2.0 * SHIFT))
    return (4.0 * one - two) / 3.0


@claim(
    "covariate-shift-bias",
    "Covariate shift ends exactness: RoLoRA's bias, and FedAvg-LoRA's larger one",
    statement="Clients with feature covariances I + E_i, mean_i E_i = 0, and different targets pull "
    "RoLoRA's fixed "
    "point off the best shared model: to second order in E its excess risk is ‖Δ‖² + "
    "Σ((v_jᵀW̄)Δ_iᵀ)²/(λ_i − λ_j), "
    "Δ = −mean_i AᵀE_iA·AᵀW_i. Clients that share a target of rank ≤ r leave none. Where all share a*, "
    "FedAvg-LoRA's "
    "exact mean has ‖(I − a*a*ᵀ)Zb̄*‖²/‖b̄*‖² more, Z = mean_i E_iW_i.",
    latex=r"\Delta=-\frac1N\sum_iA^{\top}E_iA\,A^{\top}W_i,\quad \text{excess}=\|\Delta\|^2+\sum_{i\le r<j}"
    r"\frac{(v_j^{\top}\bar W\Delta_i^{\top})^2}{\lambda_i-\lambda_j}+O(E^3)",
    source=OURS,
    assumptions=(
        "population limit m → ∞, features of covariance S_i with mean I",
        "RoLoRA with averaged least-squares solutions for B, one averaged gradient step on A",
        "λ_r > λ_{r+1} for the eigenvalues of W̄W̄ᵀ, and a step for which the fixed point is stable",
        "to leading order in the spread E of the covariances",
        "for FedAvg-LoRA: rank 1, one a*, local optima by gradient flow, and ‖b_i*‖ all equal",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    says="a bias Δ 2 % larger",
    exact="the mean of ratios (AᵀS_iA)⁻¹AᵀS_iW_i is off the ratio of means by a covariance of AᵀE_iA and "
    "AᵀW_i; a "
    "mean target of rank r leaves A right to first order, and B wrong",
    order=207,
)
def check(
    evidence: Evidence,
    *,
    d: int = 7,
    outputs: int = 4,
    clients: int = 5,
    rank: int = 2,
    stretch: float = 1.0,
) -> None:
    """Derive the bias; measure fixed points of the loop, the laboratory's, and FedAvg-LoRA's.

    Args:
        d: width.
        outputs: p, at most d.
        clients: N.
        rank: r, below p.
        stretch: multiplies Δ in what is stated; 1 for the true statement.
    """
    between(3, 15, d=d)
    between(2, d, outputs=outputs)
    between(2, 20, clients=clients)
    between(1, outputs - 1, rank=rank)
    targets = literal_rounds.targets_of(evidence, clients, d, outputs)
    shifts = shifted_covariances(0.5, clients, d, evidence.rng("shifts", clients, d))
    shifts = (shifts - np.eye(d)) / 0.5
    label = f"d = {d}, p = {outputs}, N = {clients}, r = {rank}"
    rolora = _first_order(evidence, targets, shifts, rank, stretch, label)
    _wide(evidence, targets, shifts, rank, label)
    _shared(evidence, shifts, label, stretch)
    evidence.steps(*covariate_shift.derive(exactly(stretch)))
    evidence.argued(
        "RoLoRA's fixed point near the best model is smooth in E, and its first order that of the "
        "linearised round",
        because="the round is smooth there, and its derivative in A, with the eigenvalues 1 − 2η(λ_i − "
        "λ_j) at "
        "E = 0, is no identity in any direction: the implicit function theorem",
    )
    evidence.argued(
        "FedAvg-LoRA's clients end at W_i, and lengths of a alike, whatever their covariances",
        because="gradient flow conserves ‖a‖² − ‖b‖² for any covariance, as in claim "
        "fedavg-heterogeneity, and "
        "its optimum abᵀ = a*b_i*ᵀ does not depend on it",
    )
    evidence.method(
        "SymPy: matrix symbols of any size; a plain loop over clients run to its fixed point at spreads "
        f"±{SHIFT:g} and twice that, and the population simulator"
    )
    evidence.note(
        "The excess risk is that of the A a round starts from with the B fitted to it. The averaged B "
        "leaves a "
        "gradient along A, which turns the columns of a fixed point's A within their span from round to "
        "round."
    )
    evidence.table(_rows(targets, shifts, rank, rolora), PLOT)


PLOT = Plot(
    "shift", (Series("measured", "RoLoRA's fixed point", Mark.POINTS),
        Series("theory", "to second order in the spread", Mark.LINE),
        Series("pooled", "with a pooled b-step", Mark.DASHED)),
    "spread of the covariances", "excess risk over the best shared model",
    "Clients with different targets of full rank and different feature covariances. What RoLoRA settles "
    "at grows "
    "with the square of the covariances' spread; solving for B over all clients' statistics leaves nothing.",
    xlog=True, ylog=True,
)  # fmt: skip


def _first_order(
    evidence: Evidence,
    targets: np.ndarray,
    shifts: np.ndarray,
    rank: int,
    stretch: float,
    label: str,
) -> float:
    """Excess and angle over the spread against theory; returns the stated coefficient of the excess."""
    mean = targets.mean(axis=0)
    left = np.linalg.svd(mean)[0]
    bias = stretch * covariate_shift.fit_bias(left[:, :rank], shifts, targets)
    stated = covariate_shift.excess(bias, left, mean)

    def settled(shift: float) -> float:
        of = problem_of(targets, shifts, shift, rank)
        A, B = fixed_point(of)
        return excess_of(of, A @ B)

    words = f"RoLoRA's excess risk over the spread squared, {label}"
    measured = second_order(settled)
    why = "fourth order in the spread, and rounding of risks of 1e-6"
    evidence.equal(words, stated, measured, rounding=1e-5 * stated, why=why)
    rows = left.T @ mean
    values = np.square(rows).sum(axis=1)
    tangents = covariate_shift.tangent_bias(
        rows[rank:] @ bias.T, values[None, :rank], values[rank:, None]
    )
    off = []
    for shift in (SHIFT, -SHIFT):
        of = problem_of(targets, shifts, shift, rank)
        A, best = fixed_point(of)[0], of.optimum.A
        aside = A @ np.linalg.inv(best.T @ A) - best  # tangents to the best subspace
        off.append(aside @ best.T @ left[:, :rank] / shift)
    seen = left[:, rank:].T @ (off[0] + off[1]) / 2.0
    size = float(np.linalg.norm(tangents))
    words = f"length of the tangents to the best subspace over the spread, {label}"
    evidence.equal(
        words, size, float(np.linalg.norm(seen)), rounding=1e-3 * size, why="second order"
    )
    return stated


def _wide(
    evidence: Evidence, targets: np.ndarray, shifts: np.ndarray, rank: int, label: str
) -> None:
    """At a wide spread: the laboratory against the loop, and no bias for a shared target."""
    of = problem_of(targets, shifts, WIDE, rank)
    A, B = fixed_point(of)
    mean = targets.mean(axis=0)
    eta = 0.5 / float(np.linalg.norm(mean, 2)) ** 2
    start = literal_rounds.start_of(evidence, of.d, rank)
    stream = evidence.stream("wide")
    run = simulate(
        of, Algorithm2(eta=eta), simulator="population", rounds=1_500, start=start, **stream
    )
    words = f"excess risk the population simulator settles at, spread {WIDE}, against the loop's, {label}"
    settled, before = run.recovery[0, [-1, -LAST - 1]] ** 2
    evidence.equal(
        words, excess_of(of, A @ B), settled, rounding=1e-11 + 10.0 * abs(settled - before),
        why=f"rounding, and ten times what the last {LAST} rounds still moved it, which covers what is to "
        "come as long as they leave less than ten elevenths",
    )  # fmt: skip
    u, s, v = np.linalg.svd(mean)
    same = np.broadcast_to(u[:, :rank] @ np.diag(s[:rank]) @ v[:rank], targets.shape)
    alike = problem_of(same, shifts, WIDE, rank)
    A, B = fixed_point(alike)
    words = f"excess risk where all share a target of rank r, spread {WIDE}, {label}"
    evidence.equal(words, 0.0, excess_of(alike, A @ B), rounding=1e-12, why="rounding")


def _shared(evidence: Evidence, shifts: np.ndarray, label: str, stretch: float) -> None:
    """Where all share a*: FedAvg-LoRA's exact mean, by gradient flow, against RoLoRA's fixed point."""
    clients, d, _ = shifts.shape
    targets = shared_targets(evidence, d, clients)
    mean = targets.mean(axis=0)
    moved = covariate_shift.moved_mean(shifts, targets)
    along = float(np.linalg.norm(moved[0])) * stretch
    across = float(np.linalg.norm(moved[1:] @ mean[0]) / np.linalg.norm(mean[0]))

    def of_mean(shift: float) -> float:
        return excess_of(problem_of(targets, shifts, shift, 1), mean)

    def of_rolora(shift: float) -> float:
        of = problem_of(targets, shifts, shift, 1)
        A, B = fixed_point(of)
        return excess_of(of, A @ B)

    why = "fourth order in the spread, and rounding"
    for words, stated, value in (
        ("excess risk of the mean a*b̄*ᵀ", covariate_shift.fedavg_excess(across, along), of_mean),
        ("RoLoRA's excess risk", along**2, of_rolora),
    ):
        quantity = f"{words} over the spread squared, all share a*, {label}"
        allowed = 1e-5 * stated + 1e-8
        evidence.equal(quantity, stated, second_order(value), rounding=allowed, why=why)
    best = problem_of(targets, shifts, WIDE, 1).optimum.metric
    assert best is not None
    words = f"largest gap of the best matrix to W̄ + mean_i E_iW_i, spread {WIDE}, {label}"
    gap = float(np.abs(best[1] - mean - WIDE * moved).max())
    evidence.equal(words, 0.0, gap, rounding=1e-13, why="rounding")
    product = _flow_round(targets, np.eye(d) + WIDE * shifts)
    words = f"largest gap of FedAvg-LoRA's product after a round of gradient flow to a*b̄*ᵀ, {label}"
    gap = float(np.abs(product - mean).max())
    evidence.equal(words, 0.0, gap, rounding=1e-6, why="the integrator's tolerance and finite time")


def _flow_round(targets: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Āb̄ᵀ after every client followed the flow of both factors from a common start."""
    clients, d, p = targets.shape
    a = np.zeros((d, 1))
    a[:2, 0] = 0.9, 0.5

    def velocity(_: float, state: np.ndarray) -> np.ndarray:
        A = state[: clients * d].reshape(clients, d, 1)
        B = state[clients * d :].reshape(clients, 1, p)
        pull = -2.0 * covariances @ (A @ B - targets)
        of_A, of_B = pull @ B.transpose(0, 2, 1), A.transpose(0, 2, 1) @ pull
        return np.concatenate([of_A.ravel(), of_B.ravel()])

    begin = np.concatenate([np.tile(a.ravel(), clients), np.zeros(clients * p)])
    end = solve_ivp(velocity, (0.0, FLOW_TIME), begin, method="DOP853", rtol=1e-10, atol=1e-12)
    last = end.y[:, -1]
    A, B = last[: clients * d].reshape(clients, d), last[clients * d :].reshape(clients, p)
    return np.outer(A.mean(axis=0), B.mean(axis=0))


def _rows(
    targets: np.ndarray, shifts: np.ndarray, rank: int, coefficient: float
) -> list[dict[str, Any]]:
    rows = []
    for shift in (0.01, 0.03, 0.1, 0.2, 0.4, 0.6):
        of = problem_of(targets, shifts, shift, rank)
        A, B = fixed_point(of)
        best = of.optimum
        assert best.metric is not None
        pooled = np.linalg.solve(
            best.A.T @ best.metric[0] @ best.A, best.A.T @ best.metric[0] @ best.metric[1]
        )
        least = max(excess_of(of, best.A @ pooled), 1e-16)
        row = {"shift": shift, "measured": excess_of(of, A @ B), "theory": coefficient * shift**2}
        rows.append({**row, "pooled": least})
    return rows

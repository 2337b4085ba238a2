"""RoLoRA's round is Oja's rule for the mean target (theory.md §15)."""

from __future__ import annotations

from typing import Any

import numpy as np

from linear_model.claims.population import literal_rounds
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.problem import Problem
from linear_model.simulation import simulate
from theory.population import oja_identity
from theory.population.angle import angle_distance
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly

ROUNDS = 40
KAPPA = 0.9
"""Step 2η‖W̄‖² of the rounds, below 2."""


@claim(
    "oja-identity",
    "RoLoRA is Oja's rule for the mean target",
    statement="With infinitely many samples, and any targets W_i, one round moves an orthonormal A to "
    "A + 2η(I − AAᵀ)SA before QR, S = W̄W̄ᵀ: Oja's subspace rule for the mean target alone; where "
    "2ηAᵀSA = I it is power iteration on S.",
    latex=r"\hat A=A+2\eta\,(I-AA^{\top})\,SA,\quad S=\bar W\bar W^{\top},\ \bar W=\sum_ip_iW_i",
    source=OURS,
    assumptions=(
        "any targets W_i, of any rank, with left and right factors of their own",
        "isotropic features and the population limit m → ∞",
        "b-step by least squares, one averaged gradient step on A",
        "A has orthonormal columns",
    ),
    expected=Verdict.PROVED,
    mutant={"projected": 0.98},
    says="a step from which 98 % of AAᵀSA is taken off",
    exact="the step is the Riemannian gradient's of tr AᵀSA on the Grassmannian: least squares in B leaves "
    "the loss ‖W̄‖² − tr AᵀSA",
    order=86,
)
def check(
    evidence: Evidence,
    *,
    d: int = 12,
    outputs: int = 6,
    clients: int = 8,
    rank: int = 2,
    projected: float = 1.0,
) -> None:
    """Derive the step; compare it with a loop over clients and with the laboratory.

    Args:
        d: width.
        outputs: p.
        clients: N.
        rank: r, below d and at most p.
        projected: share of AAᵀSA that the stated step takes off; 1 for the true statement.
    """
    between(2, 60, d=d)
    between(1, 60, outputs=outputs)
    between(1, 50, clients=clients)
    between(1, min(d - 1, outputs), rank=rank)
    targets = literal_rounds.targets_of(evidence, clients, d, outputs)
    mean = targets.mean(axis=0)
    S, eta = mean @ mean.T, KAPPA / (2.0 * float(np.linalg.norm(mean, 2)) ** 2)
    label = f"d = {d}, p = {outputs}, N = {clients}, r = {rank}"
    A = literal_rounds.start_of(evidence, d, rank)
    first, gaps, path = A, [], [A]
    for _ in range(ROUNDS):
        literal, _ = literal_rounds.client_loop(A, targets, eta)
        gaps.append(float(np.max(np.abs(literal - oja_identity.oja_step(A, S, eta, projected)))))
        A = literal_rounds.orthonormal(literal)
        path.append(literal_rounds.orthonormal(oja_identity.oja_step(path[-1], S, eta, projected)))
    words = f"largest gap between Oja's step and a loop over clients, {ROUNDS} rounds, {label}"
    evidence.equal(words, 0.0, max(gaps), rounding=1e-13, why="rounding")
    _laboratory(evidence, targets, first, path, eta, label)
    _power(evidence, S, first[:, :1], label, projected)
    evidence.steps(*oja_identity.derive(exactly(projected)))
    evidence.method(
        "SymPy: matrix symbols of any size, any number of clients and weights; a plain loop over clients and "
        "the population simulator beside it"
    )


PLOT = Plot(
    "round", (Series("measured", "RoLoRA, population rounds", Mark.POINTS),
        Series("theory", "Oja's rule for the mean target", Mark.LINE)),
    "round", "angle to the principal subspace",
    "Clients whose targets have full rank and share neither left nor right factors. RoLoRA's rounds are "
    "Oja's rule for their mean, and lead to its principal subspace.", ylog=True,
)  # fmt: skip


def _laboratory(
    evidence: Evidence,
    targets: np.ndarray,
    start: np.ndarray,
    path: list[np.ndarray],
    eta: float,
    label: str,
) -> None:
    """The population simulator's angles and excess risks against Oja's path, of which they are all."""
    clients, d, _ = targets.shape
    rank = start.shape[1]
    problem = Problem(d=d, clients=clients, samples=rank + 2, rank=rank, B_star=targets)
    method, stream = Algorithm2(eta=eta), evidence.stream()
    run = simulate(problem, method, simulator="population", rounds=ROUNDS, start=start, **stream)
    best = problem.optimum.A
    angles = np.array([float(angle_distance(A, best, orthonormal=True)) for A in path])
    words = f"largest gap between its angles and the population simulator's, {label}"
    gap = float(np.max(np.abs(angles - run.angle[0])))
    evidence.equal(words, 0.0, gap, rounding=1e-10, why="rounding over the rounds")
    rows: list[dict[str, Any]] = [
        {"round": t, "measured": float(run.angle[0, t]), "theory": float(angles[t])}
        for t in range(ROUNDS + 1)
    ]
    evidence.table(rows, PLOT)


def _power(evidence: Evidence, S: np.ndarray, a: np.ndarray, label: str, projected: float) -> None:
    """One step of rank 1 at 2η‖W̄ᵀa‖² = 1 against Sa."""
    eta = 1.0 / (2.0 * float((a.T @ S @ a)[0, 0]))
    gap = oja_identity.oja_step(a, S, eta, projected) - 2.0 * eta * S @ a
    words = f"rank 1 at 2η‖W̄ᵀa‖² = 1: largest gap to power iteration, {label}"
    evidence.equal(words, 0.0, float(np.max(np.abs(gap))), rounding=1e-12, why="rounding")

"""RoLoRA converges to the best rank-r approximation of the mean target (theory.md §15)."""

from __future__ import annotations

from typing import Any

import numpy as np

from linear_model.claims.population import literal_rounds
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.methods.ffa_least_squares import FFALeastSquares
from linear_model.problem import Problem
from linear_model.simulation import simulate
from linear_model.spectra import singular_values
from theory.population import best_rank_r
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly

SMALL = 1e-5
"""Size of a tangent whose factor is measured; what it leaves out is of relative order of its square."""
ROUNDS = 4
SHARES = (None, 0.5, 1.04)
"""Steps over the threshold 1/(λ_1 − λ_d); None for the best one."""
FAR = 200
STARTS = 12


def problem_of(evidence: Evidence, d: int, outputs: int, clients: int, rank: int) -> Problem:
    """Clients with full-rank targets whose mean has the singular values of a linear spectrum."""
    values = singular_values("linear", outputs, 4.0)
    rng = evidence.rng("targets", d, outputs, clients)
    left, right = (np.linalg.qr(rng.standard_normal((n, outputs))).Q for n in (d, outputs))
    own = rng.standard_normal((clients, d, outputs))
    targets = left @ np.diag(values) @ right.T + own - own.mean(axis=0)
    return Problem(d=d, clients=clients, samples=rank + 2, rank=rank, B_star=targets)


@claim(
    "best-rank-r-of-the-mean",
    "RoLoRA converges to the best rank-r approximation of the mean target",
    statement="With infinitely many samples and any targets, RoLoRA converges from almost every start to the "
    "best rank-r approximation of W̄ as long as η(λ_1 − λ_d) < 1, λ_j the eigenvalues of W̄W̄ᵀ; local rate "
    "max_{i≤r<j} |1 − 2η(λ_i − λ_j)|. FFA-LoRA's excess stays ‖(I − A_0A_0ᵀ)W̄‖² − Σ_{j>r} λ_j.",
    latex=r"A^tB^t\to[\bar W]_r,\quad \text{rate}=\max_{i\le r<j}|1-2\eta(\lambda_i-\lambda_j)|,\quad "
    r"\text{FFA: }\|(I-A_0A_0^{\top})\bar W\|_F^2-\sum_{j>r}\lambda_j",
    source=OURS,
    assumptions=(
        "any targets W_i; λ_r > λ_{r+1} for the eigenvalues of W̄W̄ᵀ",
        "isotropic features and the population limit m → ∞",
        "b-step by least squares, one averaged gradient step on A, QR",
        "η(λ_1 − λ_d) < 1",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    says="a local rate with eigenvalues 2 % larger",
    exact="the best step 1/(λ_r − λ_{r+1} + λ_1 − λ_d) has rate (wide − narrow)/(wide + narrow) of these "
    "gaps; the threshold is sharp; rank 1 converges from every start not orthogonal to v_1",
    order=87,
)
def check(
    evidence: Evidence,
    *,
    d: int = 9,
    outputs: int = 6,
    clients: int = 5,
    rank: int = 2,
    stretch: float = 1.0,
) -> None:
    """Derive the map and the ascent; measure the rate, random starts and FFA-LoRA's excess.

    Args:
        d: width.
        outputs: p, at most d.
        clients: N.
        rank: r, below p.
        stretch: multiplies the eigenvalues in the stated local rate; 1 for the true statement.
    """
    between(3, 30, d=d)
    between(2, d, outputs=outputs)
    between(1, 50, clients=clients)
    between(1, outputs - 1, rank=rank)
    problem = problem_of(evidence, d, outputs, clients, rank)
    values, vectors = np.linalg.eigh(_square(problem))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    narrow, wide = values[rank - 1] - values[rank], values[0] - values[-1]
    label = f"d = {d}, p = {outputs}, N = {clients}, r = {rank}"
    for share in SHARES:
        eta = best_rank_r.best_step(narrow, wide)
        if share is not None:
            eta = share * best_rank_r.threshold_step(wide)
        measured = _factor(problem, vectors, eta)
        stated = best_rank_r.local_rate(stretch * values, rank, eta)
        step = "best step" if share is None else f"{share:g} of the threshold"
        words = f"local rate of a loop over clients, {step}, {label}"
        why = "the start's tangent squared, 1e-10, and rounding of tangents of 1e-5 and below"
        evidence.equal(words, stated, measured, rounding=1e-8, why=why)
        if share is None:
            best = best_rank_r.best_rate(stretch * narrow, stretch * wide)
            words = f"the same by its closed form, {label}"
            evidence.equal(words, best, measured, rounding=1e-8, why=why)
    _global(evidence, problem, (narrow, wide), label)
    _frozen(evidence, problem, label)
    _rank_one(evidence, problem, values, vectors, label)
    evidence.steps(*best_rank_r.derive(exactly(stretch)))
    _argue(evidence)
    evidence.method(
        "SymPy: matrix symbols of any size, the ascent entry by entry; a plain loop over clients from small "
        f"tangents, and the population simulator from {STARTS} random starts"
    )


PLOT = Plot(
    "round", (Series("measured", "RoLoRA, random starts", Mark.POINTS),
        Series("theory", "local rate", Mark.LINE)),
    "round", "excess risk over the best rank-r model",
    "Random starts on clients with full-rank targets, at the best step. Every start ends at the best rank-r "
    "approximation of the mean target; in the end the excess falls by the square of the local rate.",
    group="start", ylog=True,
)  # fmt: skip


def _argue(evidence: Evidence) -> None:
    evidence.argued(
        "the ascent leads every start to the invariant subspaces of S, (I − AAᵀ)SA = 0",
        because="tr AᵀSA is bounded and rises by at least a multiple of ‖G‖², as h is bounded, so G → 0",
    )
    evidence.argued(
        "almost every start leads to the leading one",
        because="any other invariant subspace has eigenvalues λ_j > λ_i, j outside and i inside, and there "
        "the derivative's 1 + 2η(λ_j − λ_i) > 1: a strict saddle. The starts that end at saddles are a null "
        "set by the centre-stable manifold theorem (Lee et al. 2019), since the map is real-analytic with a "
        "derivative that is invertible but on a null set, so preimages of null sets are null sets",
    )
    evidence.argued(
        "the best rank-r approximation of W̄ has its leading left singular vectors as A and A W̄ as B",
        because="Eckart and Young 1936; by the steps above tr Λ_1 − tr AᵀSA = tr K(TᵀTΛ_1 − TᵀΛ_2T) ≥ 0",
    )


def _square(problem: Problem) -> np.ndarray:
    mean = problem.A_star @ problem.mean_B
    return np.asarray(mean @ mean.T)


def _factor(problem: Problem, vectors: np.ndarray, eta: float) -> float:
    """The largest factor a round, of the modes w_jv_iᵀ at the ends of the spectrum, by the loop."""
    r, targets = problem.rank, problem.A_star @ problem.B_star
    found = []
    for i, j in ((r - 1, r), (0, problem.d - 1)):
        top, rest = vectors[:, :r], vectors[:, r:]
        A = top.copy()
        A[:, i] += SMALL * vectors[:, j]
        A = literal_rounds.orthonormal(A)
        tangents = []
        for _ in range(ROUNDS):
            A = literal_rounds.orthonormal(literal_rounds.client_loop(A, targets, eta)[0])
            tangent = (rest.T @ A) @ np.linalg.inv(top.T @ A)
            tangents.append(float(np.linalg.norm(tangent)))
        # A mode that the step all but removes has left the other ones' rounding.
        found.append(tangents[0] / SMALL)
        if tangents[-1] > 1e-3 * SMALL:
            found[-1] = (tangents[-1] / SMALL) ** (1.0 / ROUNDS)
    return max(found)


def _global(evidence: Evidence, problem: Problem, gaps: tuple[float, float], label: str) -> None:
    narrow, wide = gaps
    rows: list[dict[str, Any]] = []
    for name, eta in (
        ("best step", best_rank_r.best_step(narrow, wide)),
        ("0.97 of the threshold", 0.97 * best_rank_r.threshold_step(wide)),
    ):
        rate = max(abs(1.0 - 2.0 * eta * narrow), abs(1.0 - 2.0 * eta * wide))
        rounds = min(FAR + int(18.0 / -np.log(rate)), 20_000)
        run = simulate(
            problem, Algorithm2(eta=eta), simulator="population", rounds=rounds, trials=STARTS,
            **evidence.stream("global"),
        )  # fmt: skip
        words = (
            f"largest excess risk after {rounds} rounds, {STARTS} random starts, {name}, {label}"
        )
        evidence.equal(words, 0.0, run.excess[:, -1].max(), rounding=1e-12, why="rounding")
        words = f"largest angle to the best subspace there, {name}, {label}"
        evidence.equal(
            words, 0.0, run.angle[:, -1].max(), rounding=1e-7, why="rounding, over the gap"
        )
        if not rows:
            for t in range(0, min(rounds, 200), 4):
                for k in range(3):
                    seen = float(run.excess[k, t])
                    line = {"theory": float(run.excess[k, 0]) * rate ** (2 * t)}
                    if seen > 1e-13:
                        rows.append({"start": str(k + 1), "round": t, "measured": seen, **line})
    evidence.table(rows, PLOT)


def _frozen(evidence: Evidence, problem: Problem, label: str) -> None:
    A = literal_rounds.start_of(evidence, problem.d, problem.rank, "ffa")
    run = simulate(
        problem,
        FFALeastSquares(),
        simulator="population",
        rounds=2,
        start=A,
        **evidence.stream("ffa"),
    )
    stated = best_rank_r.excess(A, problem.A_star @ problem.mean_B)
    words = f"FFA-LoRA's excess risk, {label}"
    evidence.equal(words, stated, run.excess[0, -1], rounding=1e-11, why="rounding")


def _rank_one(
    evidence: Evidence, problem: Problem, values: np.ndarray, vectors: np.ndarray, label: str
) -> None:
    """No round of rank 1 beats the uniform rate, from starts all but orthogonal to v_1 and near it."""
    targets, d = problem.A_star @ problem.B_star, problem.d
    eta, over = 0.8 * best_rank_r.threshold_step(values[0] - values[-1]), []
    gaps = values[0] - values[1:]
    far = best_rank_r.far_factor(gaps, values[1:] - values[-1], eta)
    bounds = np.maximum(np.abs(1.0 - 2.0 * eta * gaps), far)
    rng = evidence.rng("rank one", d)
    for tilt in (1e-6, 1e-2, 1.0, 1e3):
        a = vectors @ np.concatenate([[tilt], rng.standard_normal(d - 1)])
        for _ in range(3):
            a = literal_rounds.orthonormal(a.reshape(d, 1))
            after = literal_rounds.client_loop(a, targets, eta)[0]
            before, now = (np.abs(vectors.T @ x)[:, 0] for x in (a, after))
            over.append(float(np.max(now[1:] / now[0] * before[0] / before[1:] - bounds)))
            a = after
    words = "rank 1, start across v_1 along v_2: what is left of that tangent in a round"
    at = vectors[:, [1]] + 1e-9 * vectors[:, [0]]
    after = literal_rounds.client_loop(literal_rounds.orthonormal(at), targets, eta)[0]
    seen = (vectors[:, 1] @ after[:, 0]) / (vectors[:, 0] @ after[:, 0]) * 1e-9
    stated = best_rank_r.far_factor(values[0] - values[1], 0.0, eta)
    evidence.equal(
        f"{words}, {label}", stated, seen, rounding=1e-6, why="rounding of a part of 1e-9"
    )
    words = f"rank 1: most that a tangent's factor exceeds the uniform rate by, {label}"
    evidence.at_most(words, 0.0, max(over), rounding=1e-9, why="rounding of small components")

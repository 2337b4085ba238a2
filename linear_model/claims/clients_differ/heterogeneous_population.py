"""Heterogeneous clients do not bias RoLoRA, and leave FFA-LoRA its floor (theory.md §10)."""

from __future__ import annotations

from typing import Any

import numpy as np

from linear_model.methods.algorithm2 import Algorithm2
from linear_model.methods.ffa_least_squares import FFALeastSquares
from linear_model.problem import Problem, step_size
from linear_model.simulation import simulate
from theory.clients_differ import heterogeneity
from theory.population import population_map
from verification.claim import PAPER, claim
from verification.evidence import Evidence, between
from verification.finding import Mark, Plot, Series
from verification.verdict import Verdict

ROUNDS = 60
KAPPAS = (0.3, 1.2, 1.7)
SAMPLES = 2_000
OUTPUTS = 3


def problem_of(evidence: Evidence, clients: int, d: int, samples: int = 100) -> Problem:
    """Clients with clearly different b_i*, whose mean has length 2."""
    targets = evidence.rng("targets").standard_normal((clients, 1, OUTPUTS))
    targets += np.array([2.0, 0.0, 0.0]) - targets.mean(axis=0)
    return Problem(d=d, clients=clients, samples=samples, B_star=targets)


@claim(
    "heterogeneous-population",
    "Different clients do not bias RoLoRA",
    statement="Clients with different b_i* change the round map only through their mean, κ = 2η‖b̄*‖²; "
    "RoLoRA's excess risk over the best shared model goes to 0, FFA-LoRA's stays s0²‖b̄*‖².",
    latex=r"\bar b=\cos\theta\,\bar b^{*},\quad \kappa=2\eta\|\bar b^{*}\|^2,\quad "
    r"\text{excess}=\sin^2\theta\,\|\bar b^{*}\|^2\to 0,\quad \text{FFA: } s_0^2\|\bar b^{*}\|^2",
    source=f"{PAPER}, heterogeneous clients (appendix)",
    assumptions=(
        "rank 1, one a* shared by the clients",
        "population limit m → ∞",
        "no label noise",
        "b̄* ≠ 0 and κ < 2",
    ),
    expected=Verdict.PROVED,
    mutant={"of_mean": False},
    says="the same with κ = 2η mean‖b_i*‖² and that strength in the excess risk",
    exact="finite samples: E s² settles at (d − 1)κ²τ²/(‖b̄*‖⁴Nm)/(1 − (1 − κ)²) at first order in 1/m, "
    "τ² = mean_i (b̄*ᵀ(b_i* − b̄*))²",
    order=200,
)
def check(
    evidence: Evidence, *, clients: int = 4, d: int = 6, angle: float = 0.9, of_mean: bool = True
) -> None:
    """Derive the round, then run population and finite samples.

    Args:
        clients: N.
        d: width.
        angle: angle distance of the start.
        of_mean: whether the strength is that of the clients' mean; False for the mean of their strengths.
    """
    between(2, 100, clients=clients)
    between(2, 50, d=d)
    between(0.01, 0.99, angle=angle)
    problem = problem_of(evidence, clients, d)
    mean_norm = float(np.linalg.norm(problem.mean_B))
    every_norm = float(np.sqrt(np.square(problem.B_star).sum((1, 2)).mean()))
    strength = mean_norm if of_mean else every_norm
    _frozen(evidence, problem, angle, strength)
    _population(evidence, problem, angle, strength)
    _finite(evidence, problem_of(evidence, clients, d, SAMPLES), mean_norm)
    if of_mean:
        evidence.steps(*heterogeneity.derive())
    evidence.method(
        "SymPy with generic client targets and matrix symbols; population rounds, and Gram-matrix runs at "
        f"m = {SAMPLES} for what finite samples add"
    )
    evidence.note(
        "With finitely many samples the differing b_i* act like label noise of σ = τ/‖b̄*‖: RoLoRA's "
        "angle keeps a floor of order 1/(Nm) that no number of rounds removes."
    )


def _frozen(evidence: Evidence, problem: Problem, angle: float, strength: float) -> None:
    """FFA-LoRA's excess against its floor."""
    ffa, stream = FFALeastSquares(pooled=False), evidence.stream("ffa")
    run = simulate(problem, ffa, simulator="population", rounds=3, start=angle, **stream)
    words, theory = (
        f"FFA-LoRA's excess risk, start angle {angle}",
        heterogeneity.excess(angle, strength),
    )
    evidence.equal(words, theory, run.excess[0, -1], rounding=1e-12, why="rounding")


def _population(evidence: Evidence, problem: Problem, angle: float, strength: float) -> None:
    """RoLoRA's rounds against the map and the excess risk it leaves."""
    mean_norm = float(np.linalg.norm(problem.mean_B))
    floor = float(heterogeneity.excess(angle, mean_norm))
    worst_map = worst_excess = last = 0.0
    rows: list[dict[str, Any]] = []
    for kappa in KAPPAS:
        eta = step_size(problem, kappa=kappa)
        method, stream = Algorithm2(eta=eta), evidence.stream()
        run = simulate(
            problem, method, simulator="population", rounds=ROUNDS, start=angle, **stream
        )
        sines = run.angle[0]
        tangents = sines / np.sqrt((1.0 - sines) * (1.0 + sines))
        stated = heterogeneity.effective_kappa(eta, strength)
        after = population_map.next_tangent(tangents[:-1], stated)
        kept = heterogeneity.excess_after_round(tangents[:-1], stated, strength)
        seen = tangents[:-1] > 1e-9  # below, the population simulator's rounding is all there is
        gaps = np.abs(tangents[1:] - after)[seen] / tangents[:-1][seen]
        worst_map = max(worst_map, float(np.max(gaps)))
        missed = float(np.max(np.abs(run.excess[0, 1:] - kept)[seen]))
        worst_excess = max(worst_excess, missed / mean_norm**2)
        last = max(last, float(run.excess[0, -1]))
        for t in 1 + np.flatnonzero(seen & (kept > 1e-14)):
            pair = {"measured": float(run.excess[0, t]), "theory": float(kept[t - 1])}
            rows.append({"kappa": kappa, "round": int(t), **pair, "ffa": floor})
    words = (
        f"largest relative gap between the map with κ = 2η‖b̄*‖² and {len(KAPPAS) * ROUNDS} rounds"
    )
    why = "rounding of angles down to 1e-9, relative to themselves"
    evidence.equal(words, 0.0, worst_map, rounding=1e-6, why=why)
    words = (
        "largest gap between the stated excess risk after a round and the simulated one, over ‖b̄*‖²"
    )
    why = "rounding of 1 − cosine differences"
    evidence.equal(words, 0.0, worst_excess, rounding=1e-12, why=why)
    words = f"RoLoRA's excess risk after {ROUNDS} rounds, worst of κ = {KAPPAS}"
    evidence.at_most(words, 1e-15, last)
    evidence.table(rows, _plot(problem.clients))


def _plot(clients: int) -> Plot:
    return Plot(
        x="round",
        series=(
            Series("measured", "RoLoRA, population rounds", Mark.POINTS),
            Series("theory", "RoLoRA, closed form", Mark.LINE),
            Series("ffa", "FFA-LoRA's floor", Mark.DASHED),
        ),
        xlabel="round",
        ylabel="excess risk over the best shared model",
        caption=f"{'Four' if clients == 4 else clients} clients with different b_i*. RoLoRA's excess risk "
        "falls geometrically at the rate set by the mean target alone; FFA-LoRA stays where its random A "
        "put it. Points are not drawn where only rounding is left.",
        group="kappa",
        ylog=True,
    )


def _finite(evidence: Evidence, problem: Problem, mean_norm: float) -> None:
    """Stationary s² of Gram-matrix runs with many samples, one time average per trial."""
    kappa, burn_in, averaged = 0.8, 8, 12
    along = problem.B_star[:, 0] @ problem.mean_B[0] - mean_norm**2
    spread = float(np.sqrt(np.mean(along**2)))
    method, trials = Algorithm2(kappa=kappa), evidence.pick(2_500, 20_000)
    rounds, stream = burn_in + averaged, evidence.stream("finite")
    run = simulate(problem, method, rounds=rounds, trials=trials, start=1e-3, **stream)
    pool = problem.pooled_samples
    theory = float(heterogeneity.sampling_floor(kappa, spread, mean_norm, problem.d, pool))
    evidence.mean(
        f"E s² in the long run with m = {SAMPLES} fresh samples, κ = {kappa}",
        np.square(run.angle[:, -averaged:]).mean(axis=1),
        equals=theory,
        correction=theory * 4.0 * problem.d / pool,
        why=f"corrections of relative order d/M, here {400.0 * problem.d / pool:.1f} %",
    )

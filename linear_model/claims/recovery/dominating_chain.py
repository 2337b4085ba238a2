"""Claim `dominating-chain`: failures at small widths by a chain on a grid, never ahead of the angle."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from linear_model.claims.literal import Literal, in_blocks, near
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.problem import Problem
from linear_model.run import Run
from linear_model.simulation import simulate
from theory.recovery import sharp_recovery, sharp_step
from theory.recovery.sharp import dominating
from theory.recovery.sharp_step import Box
from verification.claim import OURS, claim
from verification.evidence import Evidence, between, exactly
from verification.finding import Mark, Plot, Series
from verification.verdict import Verdict

EPSILON, DELTA, WITHIN = 1e-6, 0.01, 150
STILL = Box(0.0, 1.0, 1.0, 0.0, 0.0, 0.0)
"""A box without noise."""
THRESHOLDS = ((10, 1.0, 10), (10, 0.5, 5), (100, 1.0, 115), (100, 0.5, 43))
"""d, κ and pooled samples of one client on which more than `DELTA` of random starts do not get there."""
WITHIN_FACTOR = 10.0
"""The samples found are at most so many times those."""


@claim(
    "dominating-chain",
    "At small widths too: failures by a chain that dominates the angle",
    statement="The angle after T rounds is above ε with at most the probability with which a chain on a grid "
    "of angles is, whose rows bound P(tan θ⁺ > g) for every angle of a state: from cells of the noise's law, "
    "in each of which a round is bounded as in claim sharp-recovery. It needs no noise to keep to a box, so "
    "that at d = 10, ε = 1e-6 and κ = 1 eleven pooled samples a dimension of ten clients are enough for 99 % "
    "of random starts.",
    latex=r"P(\tan\theta_T>g_k)\le (P^T\mathbf 1_{>k})_{\rm start},\quad "
    r"\sum_k P_k v_k=v_0+\sum_k (v_{k+1}-v_k)P(\text{beyond }k)",
    source=OURS,
    assumptions=(
        "rank 1",
        "homogeneous clients",
        "no label noise",
        "fresh samples in each half-step",
        "κ between 0.2 and 1.8, d up to 300: beyond, paths of boxes are used",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    control_at={"alone": True},
    says="the factors of a step 2 % longer than the one taken",
    exact="the samples found are at most ten times, from d = 100 on twice, those on which over 1 % of random "
    "starts fail; probabilities of cells are those of χ², normal and Student laws, and |ρ̄|'s tails the "
    "bounds of `sharp_tails.slope_tail`",
    order=126,
)
def check(
    evidence: Evidence,
    *,
    d: int = 10,
    clients: int = 10,
    samples: int = 12,
    kappa: float = 1.0,
    alone: bool = False,
    stretch: float = 1.0,
) -> None:
    """Prove the chain's steps; hold it to runs of the angle's chain and of a plain loop, and to closed forms.

    Args:
        d, clients, samples: d, N and m.
        kappa: step size.
        alone: whether to leave out the thresholds and the table.
        stretch: multiplies the step that the factors are for; 1 for the true statement.
    """
    between(2, sharp_recovery.CHAINED, d=d)
    between(1, 1_000, clients=clients)
    between(3, 100_000, samples=samples)
    between(*sharp_recovery.CHAINED_STEPS, kappa=kappa)
    evidence.share(48)
    cell = d, clients, samples, kappa
    stated = _stated(cell, "random")
    angle = _run(evidence, cell, WITHIN, evidence.pick(4_000, 40_000), "own").angle
    _held(evidence, "chain of the angle", cell, stated, angle)
    _literal(evidence)
    _formulas(evidence, stretch)
    if not alone:
        _thresholds(evidence)
        evidence.table(_rows(stated, angle), PLOT)
    evidence.steps(*dominating.derive(exactly(stretch)))
    _tell(evidence)


def _stated(cell: tuple[int, int, int, float], start: dominating.Start) -> np.ndarray:
    return dominating.failures(*cell, start, sharp_recovery.tangent(EPSILON), WITHIN)


def _run(
    evidence: Evidence, cell: tuple[int, int, int, float], rounds: int, trials: int, name: str
) -> Run:
    d, clients, samples, kappa = cell
    stream = evidence.stream(name, d, clients, samples, round(1e6 * kappa))
    problem, method = Problem(d=d, clients=clients, samples=samples), Algorithm2(kappa=kappa)
    return simulate(
        problem, method, simulator="chain", rounds=rounds, trials=trials, start="random", **stream
    )


def _held(
    evidence: Evidence,
    name: str,
    cell: tuple[int, int, int, float],
    stated: np.ndarray,
    angle: np.ndarray,
) -> None:
    """Failures of runs at the rounds that are stated to fail with 1/2, 1/10 and 1/100."""
    words = "d = {}, N = {}, m = {}, κ = {:g}".format(*cell)
    for level in (0.5, 0.1, 0.01):
        rounds = int(np.argmax(stated <= level))
        if stated[rounds] > level or rounds >= angle.shape[1]:
            continue
        evidence.proportion(
            f"probability of an angle above {EPSILON:g} after {rounds} rounds, {words} ({name})",
            int(np.count_nonzero(angle[:, rounds] > EPSILON)), len(angle),
            at_most=float(stated[rounds]),
            why="cells' worst cases, the grid, and the tails of ρ̄",
        )  # fmt: skip


def _literal(evidence: Evidence) -> None:
    """A plain loop over clients that draw their samples, from a start at sin θ = 0.8."""
    d, clients, samples, kappa, start = cell = 6, 3, 24, 0.9, 0.8
    stated = _stated(cell[:4], start)
    rounds = int(np.argmax(stated <= DELTA))
    truth = [np.eye(d, 1)] * clients

    def run(count: int, rng: np.random.Generator) -> np.ndarray:
        T = rng.standard_normal((count, d - 1, 1))
        T *= start / sqrt(1 - start**2) / np.linalg.norm(T, axis=1, keepdims=True)
        A, sines = near(T), []
        for _ in range(rounds + 1):
            sines.append(np.linalg.norm(A[:, 1:, 0], axis=1))
            A, _ = Literal(truth, samples).round(A, kappa / 2, rng)
        return np.stack(sines, axis=1)

    angle = in_blocks(evidence, evidence.pick(400, 4_000), run, "dominated")
    _held(evidence, "loop over clients with their samples", cell[:4], stated, angle)


def _formulas(evidence: Evidence, stretch: float) -> None:
    """Each formula where it is known in closed form."""
    kappa, tiny = 0.4, 1e-6
    target = sharp_recovery.tangent(EPSILON)
    begun = 1.0 / target / sqrt(1.0 + 1.0 / target**2)  # |cos θ| is uniform in three dimensions
    found = dominating.failures(3, 2, 50, kappa, "random", target, 0)
    for quantity, theory, seen in (
        ("largest tan θ⁺/tan θ of a small angle without noise, κ = 0.4", 1.0 - kappa,
            float(sharp_step.largest_factor(tiny, stretch * kappa, STILL))),
        ("the same with h = 1/2 across", sqrt((1 - kappa) ** 2 + kappa**2 / 4),
            float(sharp_step.largest_factor(tiny, stretch * kappa, Box(0.0, 1.0, 1.0, 0.0, 0.0, 0.5)))),
        ("tan θ where sin θ = 0.6", 0.75, sharp_recovery.tangent(0.6)),
        ("failure of random starts in three dimensions before the first round", begun, float(found[0])),
    ):  # fmt: skip
        evidence.equal(quantity, theory, seen, rounding=1e-5, why="the tangent, and the grid")
    rounds = sharp_recovery.rounds(DELTA, 10, 10, 200, 1.0, EPSILON)
    failed = dominating.failures(10, 10, 200, 1.0, "random", target, int(rounds))[-1]
    evidence.at_most("failure that the chain states for the rounds found, d = 10, N = 10, m = 200", DELTA,
        float(failed))  # fmt: skip


def _thresholds(evidence: Evidence) -> None:
    """On a tenth of the samples found, or half from d = 100 on, more starts fail than are allowed."""
    for d, kappa, few in evidence.pick(THRESHOLDS[1:2], THRESHOLDS):
        enough = sharp_recovery.samples(DELTA, d, 1, kappa, EPSILON)
        factor = WITHIN_FACTOR if d < 100 else 2.0
        words = f"d = {d}, N = 1, κ = {kappa:g}"
        evidence.at_most(
            f"samples found over {few}, on which too many fail, {words}", factor, enough / few
        )
        angle = _run(evidence, (d, 1, few, kappa), WITHIN, evidence.pick(1_000, 4_000), "few").angle
        evidence.proportion(
            f"probability of an angle above {EPSILON:g} after {WITHIN} rounds on {few} samples, {words}",
            int(np.count_nonzero(angle[:, -1] > EPSILON)), len(angle), at_least=DELTA,
        )  # fmt: skip


def _rows(stated: np.ndarray, angle: np.ndarray) -> list[dict[str, Any]]:
    rounds = range(min(stated.size, angle.shape[1], 60))
    return [
        {"round": t, "stated": float(stated[t]), "seen": float(np.mean(angle[:, t] > EPSILON))}
        for t in rounds
    ]


PLOT = Plot(
    "round",
    (Series("seen", "runs not there", Mark.POINTS), Series("stated", "at most, by the chain", Mark.LINE)),
    "rounds", "probability of sin θ > 1e-6",
    "Ten clients with twelve samples each at d = 10, random starts: the share of runs that have not arrived, "
    "and the chain's bound on it.", ylog=True,
)  # fmt: skip


def _tell(evidence: Evidence) -> None:
    evidence.argued(
        "the chain fails at least as often as the angle",
        because="induction: its probabilities v of failure in the rounds left rise with the state, and the "
        "mean of what rises is at most its mean over a law that is farther out at every level",
    )
    evidence.argued(
        "cells of a |ρ̄| that is at least as large, and of one that is at most as large, serve at once",
        because="all three are increasing functions of one uniform number; given the clients' lengths ρ̄ is "
        "normal of variance S, and 1/S ≤ Σ|X_i a|² of mean M: by Jensen P(|ρ̄| ≤ y) ≤ erf(y√(M/2))",
    )
    evidence.argued(
        "near the equator tan θ⁺ > g has at most the stated probability, whatever the cotangent",
        because="in each cell of γ, w and h the cotangent is monotone in ρ̄ with the stated slope at least, "
        "so that the ρ̄ in question lie in an interval, and such a law gives most to a centred one",
    )
    evidence.argued(
        "a round in a cell is bounded as claim sharp-recovery proves, for the signs of ρ̄ and w it has",
        because="those inequalities are proved sign by sign; signs are fair and independent of the sizes",
    )
    evidence.method(
        "SymPy for the induction and the factor; cells by exact laws; runs of the exact chain and a plain "
        "loop over clients beside it"
    )
    evidence.note("Any grid and any cells are a proof; finer ones are sharper and slower.")

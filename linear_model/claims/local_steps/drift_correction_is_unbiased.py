"""A pooled b-step, or control variates, take the bias of covariate shift away (theory.md §16)."""

from __future__ import annotations

from typing import Any

import numpy as np

from linear_model.claims.local_steps import literal_local
from linear_model.claims.local_steps.alternation import alternation
from linear_model.claims.population import literal_rounds
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.methods.local_steps import LocalSteps
from linear_model.problem import Problem
from linear_model.simulation import simulate
from linear_model.spectra import shifted_covariances
from theory.local_steps import drift_correction
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly

SHIFT = 0.6
ROUNDS = 1_200
PLAIN = 300
"""Rounds of RoLoRA without correction, whose factors do not stand still."""
LITERAL = 40
BLOCK = 60
"""Rounds of one factor alone, the other frozen."""


def problem_of(evidence: Evidence, d: int, outputs: int, clients: int, rank: int) -> Problem:
    """Clients with targets of full rank and covariances of spread `SHIFT`."""
    targets = literal_rounds.targets_of(evidence, clients, d, outputs)
    S = shifted_covariances(SHIFT, clients, d, evidence.rng("shifts", clients, d))
    return Problem(d=d, clients=clients, samples=rank + 2, rank=rank, B_star=targets, covariances=S)


@claim(
    "drift-correction-is-unbiased",
    "A pooled b-step, and RoLoRA with control variates, are unbiased",
    statement="For any targets and feature covariances, with infinitely many samples: Algorithm 2 with a "
    "pooled "
    "b-step, and RoLoRA with control variates and any K local steps, have exactly the stationary points "
    "of the mean "
    "loss as fixed points. Where clients' Hessians h agree, a round of a factor leaves (1 − ηh)ᴷ of its "
    "error, with or "
    "without control variates, and these forget at 1 − (1 − (1 − ηh)ᴷ)/(Kηh). Rounds of B and A in turn "
    "contract near a stationary point at the spectral radius of their Jacobians' product.",
    latex=r"\text{fixed}\iff\nabla f=0,\quad c_i^{+}=P_ig_i+(1-P_i)(c_i-c),\quad x^{+}=x-K\eta c^{+},\quad "
    r"P=\frac{1-(1-\eta h)^K}{K\eta h}",
    source=OURS,
    assumptions=(
        "any targets W_i and positive definite feature covariances S_i",
        "population limit m → ∞",
        "control variates: every client takes part in every round, with the same K plain gradient steps",
        "0 < ηh < 2 for the Hessians of either factor",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    says="control variates that forget at 1 − 1.02 P",
    exact="without control variates the factor settles where the optima are weighted by 1 − (1 − ηh_i)ᴷ, "
    "biased for "
    "K > 1; the pooled b-step needs N·m > r + 1 samples, not m > r + 1",
    order=208,
)
def check(
    evidence: Evidence,
    *,
    d: int = 6,
    outputs: int = 4,
    clients: int = 4,
    rank: int = 2,
    steps: int = 10,
    stretch: float = 1.0,
) -> None:
    """Derive both; measure what they settle at, and one factor's rounds, client by client.

    Args:
        d: width.
        outputs: p, at most d.
        clients: N.
        rank: r, below p.
        steps: local steps K.
        stretch: multiplies P in the stated memory; 1 for the true statement.
    """
    between(3, 12, d=d)
    between(2, d, outputs=outputs)
    between(2, 10, clients=clients)
    between(1, outputs - 1, rank=rank)
    between(2, 50, steps=steps)
    of = problem_of(evidence, d, outputs, clients, rank)
    label = f"d = {d}, p = {outputs}, N = {clients}, r = {rank}"
    _pooled(evidence, of, label)
    _few_samples(evidence, rank, d)
    _corrected(evidence, of, steps, f"{label}, K = {steps}")
    _block(evidence, of, steps, stretch, f"N = {clients}, K = {steps}, d = {d}")
    small = problem_of(evidence, min(d, 6), min(outputs, 4), min(clients, 4), min(rank, 2))
    assert small.covariances is not None
    targets = small.A_star @ small.B_star
    alternation(evidence, targets, small.covariances, small.rank, _step(steps), steps)
    evidence.steps(*drift_correction.derive(exactly(stretch)))
    evidence.argued(
        "the steps of a coordinate hold for matrices: in B's rounds h_i is an eigenvalue of 2AᵀS_iA, in "
        "A's of "
        "2S_i or of its products with those of BBᵀ",
        because="with the other factor frozen a client's loss is quadratic, K steps are a polynomial in its "
        "Hessian, which is symmetric, and c_i⁺ and x⁺ are linear in what the polynomial is applied to",
    )
    evidence.argued(
        "P_i is invertible for 0 < ηh < 2",
        because="then |1 − ηh| < 1, so (1 − ηh)ᴷ < 1 and P > 0 for every K",
    )
    evidence.note(
        "Without control variates and without QR, RoLoRA's factors need not settle at all: the biased "
        "rounds keep "
        "pushing A and B along A G, G⁻¹B, which leaves the product alone, until one of them is too long "
        "for the "
        "step. Its excess risk then grows again."
    )
    evidence.method(
        "SymPy: matrix symbols of any size, any number of clients; plain loops over clients and the "
        "population "
        "simulator beside it"
    )


PLOT = Plot(
    "round", (Series("corrected", "with control variates", Mark.LINE),
        Series("measured", "RoLoRA", Mark.POINTS)),
    "round", "excess risk over the best shared model",
    "Clients with different targets and feature covariances, several local steps a round. RoLoRA keeps "
    "at an "
    "excess that no number of rounds removes; with control variates it goes on to the best shared model.",
    ylog=True,
)  # fmt: skip


def _pooled(evidence: Evidence, of: Problem, label: str) -> None:
    """The pooled b-step, by loop and by simulator, beside averaged solutions."""
    assert of.covariances is not None
    targets, mean = of.A_star @ of.B_star, of.B_star.mean(axis=0)
    eta = 0.5 / float(np.linalg.norm(mean, 2)) ** 2
    start = literal_rounds.start_of(evidence, of.d, of.rank)
    options = {"simulator": "population", "rounds": ROUNDS, "start": start, **evidence.stream()}
    pooled, averaged = (
        simulate(of, Algorithm2(eta=eta, pooled=pool), **options) for pool in (True, False)
    )
    words = f"excess risk a pooled b-step settles at, spread {SHIFT}, {label}"
    evidence.equal(words, 0.0, pooled.excess[0, -1], rounding=1e-11, why="rounding")
    words = f"excess risk averaged solutions settle at there, {label}"
    evidence.at_least(words, 1e-6, averaged.recovery[0, -1] ** 2)
    A, gap = start, 0.0
    for t in range(1, LITERAL + 1):
        square = sum(A.T @ S @ A for S in of.covariances)
        right = sum(A.T @ S @ W for S, W in zip(of.covariances, targets, strict=True))
        B = np.linalg.solve(square, right)
        pull = [2.0 * S @ (A @ B - W) @ B.T for S, W in zip(of.covariances, targets, strict=True)]
        A = literal_rounds.orthonormal(A - eta * np.mean(pull, axis=0))
        gap = max(gap, abs(_excess(of, A @ B) - pooled.excess[0, t]))
    words = f"largest gap of its excess risk to a loop over clients, {LITERAL} rounds, {label}"
    evidence.equal(words, 0.0, gap, rounding=1e-11, why="rounding")


def _few_samples(evidence: Evidence, rank: int, d: int) -> None:
    """Rounds on as few samples a client as the rank, where a client's own solution has no mean."""
    of = Problem(d=d, clients=40, samples=rank, rank=rank, B_star=np.eye(rank, rank + 1))
    stream = evidence.stream("few")
    run = simulate(of, Algorithm2(kappa=0.6, pooled=True), rounds=250, trials=5, **stream)
    words = (
        f"largest angle after 250 rounds of fresh samples, m = r = {rank} a client, N = 40, d = {d}"
    )
    evidence.equal(words, 0.0, run.angle[:, -1].max(), rounding=1e-6, why="finitely many rounds")


def _excess(of: Problem, product: np.ndarray) -> float:
    assert of.optimum.metric is not None
    S, best = of.optimum.metric
    gap = product - best
    return float((gap * (S @ gap)).sum() - of.optimum.tail)


def _step(steps: int) -> float:
    """η of K local steps."""
    return min(0.5 / steps, 0.15)


def _corrected(evidence: Evidence, of: Problem, steps: int, label: str) -> None:
    """Control variates: the simulator to the end, its first rounds by the loop, RoLoRA beside it."""
    assert of.covariances is not None
    start = literal_rounds.start_of(evidence, of.d, of.rank)
    eta = _step(steps)
    options = {"simulator": "population", "start": start, **evidence.stream()}
    runs = {
        name: simulate(of, LocalSteps(name, eta=eta, local_steps=steps), rounds=rounds, **options)
        for name, rounds in (("rolora-cv", 2 * ROUNDS), ("rolora", PLAIN))
    }
    words = f"excess risk RoLoRA with control variates settles at, {label}"
    last = float(np.abs(runs["rolora-cv"].excess[0, -2:]).max())
    evidence.equal(words, 0.0, last, rounding=1e-10, why="rounding, and finitely many rounds")
    words = f"least excess risk of RoLoRA in rounds {PLAIN // 2} to {PLAIN} there, {label}"
    evidence.at_least(words, 1e-6, runs["rolora"].excess[0, PLAIN // 2 :].min())
    clients = literal_local.clients_of(of.A_star @ of.B_star, of.covariances)
    by_hand = literal_local.Corrected(start, np.zeros((of.rank, of.outputs)), clients, eta, steps)
    gap = 0.0
    for t in range(1, LITERAL + 1):
        by_hand.round("B" if t % 2 else "A")
        seen = runs["rolora-cv"].excess[0, t]
        gap = max(gap, abs(_excess(of, by_hand.A @ by_hand.B) - seen))
    words = f"largest gap of its excess risk to a loop over clients, {LITERAL} rounds, {label}"
    evidence.equal(words, 0.0, gap, rounding=1e-11, why="rounding")
    rows: list[dict[str, Any]] = []
    for t in range(2, PLAIN, 6):
        pair = {
            "corrected": runs["rolora-cv"].excess[0, t],
            "measured": runs["rolora"].excess[0, t],
        }
        rows.append({"round": t, **{name: max(float(v), 1e-15) for name, v in pair.items()}})
    evidence.table(rows, PLOT)


def _block(evidence: Evidence, of: Problem, steps: int, stretch: float, label: str) -> None:
    """Rounds of B alone at a frozen unit a: the exact rate, what RoLoRA settles at, and alike Hessians."""
    assert of.covariances is not None
    targets = of.A_star @ of.B_star
    a = literal_rounds.start_of(evidence, of.d, 1, "block")
    h = 2.0 * np.array([float((a.T @ S @ a)[0, 0]) for S in of.covariances])
    eta = 0.8 / (steps * float(h.mean()))
    optima = np.array(
        [
            (a.T @ S @ W)[0] / (a.T @ S @ a)[0, 0]
            for S, W in zip(of.covariances, targets, strict=True)
        ]
    )
    clients = literal_local.clients_of(targets, of.covariances)
    B = np.zeros((1, of.outputs))
    for _ in range(400):
        B = literal_local.b_round(a, B, clients, eta, steps)
    stated = drift_correction.drifted_point((1.0 - eta * h) ** steps, optima)
    words = f"largest gap of the B that RoLoRA settles at for a frozen a to the weighted optima, {label}"
    evidence.equal(words, 0.0, float(np.abs(B - stated).max()), rounding=1e-12, why="rounding")
    _rounds_of_b(evidence, a, clients, (h, eta, steps), optima, label)
    even = [(np.eye(of.d), W) for W in targets]
    cv = literal_local.Corrected(a, np.zeros((1, of.outputs)), even, eta, steps)
    slopes = [-2.0 * a.T @ W for W in targets]
    apart = [slope - np.mean(slopes, axis=0) for slope in slopes]
    share = float(drift_correction.moved_share((1.0 - 2.0 * eta) ** steps, 2.0 * eta * steps))
    ratios: list[float] = []
    before = None
    for _ in range(4):
        cv.round("B")
        common = np.mean(cv.own["B"], axis=0)
        left = np.linalg.norm([c - common - own for c, own in zip(cv.own["B"], apart, strict=True)])
        ratios += [] if before is None else [float(left / before)]
        before = left
    words = f"what control variates remember a round, isotropic features, {label}"
    evidence.equal(words, 1.0 - stretch * share, max(ratios), rounding=1e-9, why="rounding")


def _rounds_of_b(
    evidence: Evidence,
    a: np.ndarray,
    clients: literal_local.Clients,
    sizes: tuple[np.ndarray, float, int],
    optima: np.ndarray,
    label: str,
) -> None:
    """B and the control variates after rounds of the loop against powers of the stated matrix."""
    h, eta, steps = sizes
    cv = literal_local.Corrected(a, np.zeros((1, optima.shape[1])), clients, eta, steps)
    best = h @ optima / h.sum()
    at = h[:, None] * (best - optima)  # g_i there
    state = np.concatenate([cv.B - best, np.zeros_like(at) - at])
    matrix, gap = drift_correction.round_matrix(h, eta, steps), 0.0
    for _ in range(BLOCK):
        cv.round("B")
        state = matrix @ state
        seen = np.concatenate([cv.B - best, np.concatenate(cv.own["B"]) - at])
        gap = max(gap, float(np.abs(seen - state).max()))
    words = f"largest gap of B and its control variates to {BLOCK} stated rounds, {label}"
    evidence.equal(words, 0.0, gap, rounding=1e-11, why="rounding")

"""Claim `limits-of-pooling`: with local steps, clients do not replace samples a client (theory.md §6)."""

from __future__ import annotations

from typing import Any

import numpy as np

from linear_model.claims.literal import Literal, in_blocks, near, tangents, ways
from theory.local_steps import limits_of_pooling as theory
from theory.samples import mean_square_rate as rate
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import Asked, exactly

START = 1e-6
"""Tangents before the round: the formula's corrections are of order START²."""
LENGTH = 1.5
"""‖b*‖."""
MANY = 100
"""Clients that stand for infinitely many."""
CURVE = {1: (0.5, 1.0, 1.5), 2: (0.5, 1.0, 1.5), 3: (0.25, 0.5, 1.0), 5: (0.25, 0.5, 1.0)}
"""K of the picture, and steps over κ: with more of them longer steps leave the mean to rare large samples."""


class Exhausted(Literal):
    """Clients whose local steps on A have come to rest: the nearest A that fits their samples."""

    def _moved(
        self, A: np.ndarray, B: np.ndarray, W: np.ndarray, _eta: float, rng: np.random.Generator
    ) -> np.ndarray:
        X, Y = self._drawn(A, W, rng)
        turned, back = np.swapaxes(X, -1, -2), np.swapaxes(B, -1, -2)
        wanted = Y @ back / (B @ back) - X @ A
        return np.asarray(A + turned @ (np.linalg.inv(X @ turned) @ wanted))


def target(d: int) -> np.ndarray:
    """The first unit vector times a b* of length `LENGTH`."""
    return np.outer(np.eye(d)[0], LENGTH * np.array([0.6, 0.8]))


def ratios(
    evidence: Evidence, literal: Literal, d: int, kappa: float, trials: int, *axes: str | int
) -> np.ndarray:
    """E‖T⁺‖²/‖T‖² of literal rounds from a small angle, the mean over its directions: (trials,)."""
    starts = ways(d, np.array([START]))

    def run(count: int, rng: np.random.Generator) -> np.ndarray:
        A = np.broadcast_to(starts, (count, *starts.shape))
        A, _ = literal.moved(A, kappa / (2.0 * LENGTH**2), rng)
        return np.asarray(np.square(tangents(A)).sum(axis=(2, 3)).mean(axis=1) / START**2)

    return in_blocks(evidence, trials, run, *axes)


@claim(
    "limits-of-pooling",
    "Local steps on A end what pooling can do",
    statement="With K ≥ 2 local steps on A, fresh data and infinitely many clients a round still leaves "
    "μ = E tr(I − κG)^K/d of a small angle, (1 − κ)² + κ²(d + 1)/m at K = 2: m a client counts. For every N, "
    "E‖x⁺‖²/‖x‖² = μ² + (α + (d − 2)β − μ² + v(d − 1)β)/N; K → ∞ leaves at least (1 − m/d)² if m < d.",
    latex=r"\mu=\tfrac1d\,\mathbb E\,\mathrm{tr}(I-\kappa G)^K,\quad "
    r"\mu|_{K=2}=(1-\kappa)^2+\kappa^2\tfrac{d+1}m,\quad "
    r"\frac{\mathbb E\|x^+\|^2}{\|x\|^2}=\mu^2+\tfrac1N\bigl(\alpha+(d-2)\beta-\mu^2+v(d-1)\beta\bigr)",
    source=OURS,
    assumptions=(
        "rank 1",
        "homogeneous clients",
        "no label noise",
        "fresh samples in each half-step; the same in every round for the spectral radius",
        "K local gradient steps on A on one batch, b-step by least squares",
        "m > 2",
        "the angle tends to 0",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    control_at={"alone": True},
    says="mean squares and Jacobians 2 % larger",
    exact="K = 2 shrinks the angle for N → ∞ only if κ < 2m/(m + d + 1), and at best by (d + 1)/(m + d + 1)",
    order=192,
)
def check(
    evidence: Evidence,
    *,
    d: int = 16,
    clients: int = 3,
    samples: int = 12,
    kappa: float = 0.4,
    local_steps: int = 2,
    alone: bool = False,
    stretch: float = 1.0,
) -> None:
    """Derive the factors; measure literal rounds with few and many clients, K → ∞, and kept data.

    Args:
        d: width.
        clients: N.
        samples: m, at least 8: with fewer the tails are too heavy for the intervals.
        kappa: step size; with more local steps and d well above m only short ones have light tails.
        local_steps: K.
        alone: whether to leave out many clients and the picture.
        stretch: multiplies the stated mean squares and Jacobians; 1 for the true statement.
    """
    between(3, 100, d=d)
    between(1, 100, clients=clients)
    between(8, 1_000, samples=samples)
    between(1, 5, local_steps=local_steps)
    between(0.05, 1.2 * float(theory.two_step_best(samples, d)), kappa=kappa)
    trials = evidence.pick(8_000, 30_000)
    at = (kappa, d, clients, samples)
    own = Literal([target(d)] * clients, samples, local_steps=local_steps)
    words = f"E‖x⁺‖²/‖x‖², d = {d}, N = {clients}, m = {samples}, κ = {kappa:g}, K"
    found = ratios(evidence, own, d, kappa, trials, "own", local_steps)
    stated = stretch * theory.mean_square(*at, local_steps)
    evidence.mean(f"{words} = {local_steps}", found, equals=stated)
    rested = Exhausted([target(d)] * clients, samples)
    if samples < d:
        found = ratios(evidence, rested, d, kappa, trials, "rested")
        stated = stretch * theory.exhausted_mean_square(d, clients, samples)
        evidence.mean(f"{words} → ∞", found, equals=stated)
    evidence.precise()
    rows = [] if alone else _many(evidence, d, samples, kappa, stretch)
    _kept(evidence, own, d, kappa, stretch)
    evidence.steps(*theory.derive(exactly(stretch)))
    for statement, because in theory.ARGUED:
        evidence.argued(statement, because=because)
    evidence.method(
        "SymPy: a client's K steps for any sizes, the mean of N, Wishart trace moments by recursion; beside "
        f"it literal rounds, client by client, {trials:,} from tangents of {START:g} in several directions"
    )
    evidence.table(lambda: [row | one.columns() for row, one in rows], PLOT)


PLOT = Plot(
    x="kappa",
    series=(
        Series("measured", f"literal rounds, N = {MANY}", Mark.POINTS, "low", "high"),
        Series("theory", f"theory, N = {MANY}", Mark.LINE),
        Series("infinite", "infinitely many clients", Mark.DASHED),
    ),
    xlabel="step size κ = 2η‖b*‖²",
    ylabel="E‖x⁺‖²/‖x‖² in one round",
    caption="One averaged step (K = 1) gains from every client; with K ≥ 2 local steps a hundred clients are "
    "nearly as good as infinitely many, and those leave what the samples of one client decide. A longer step "
    "makes it worse where m is below d. Bars: intervals at 1e-6 together.",
    group="cell",
    ylog=True,
)


def _many(
    evidence: Evidence, d: int, samples: int, kappa: float, stretch: float
) -> list[tuple[dict[str, Any], Asked]]:
    """A hundred clients at several K: a row of the table each, and what was asked."""
    rows = []
    for K in evidence.pick((1, 2), tuple(CURVE)):
        for share in CURVE[K]:
            step = share * kappa
            literal = Literal([target(d)] * MANY, samples, local_steps=K)
            seen = ratios(
                evidence, literal, d, step, evidence.pick(150, 400), "many", K, round(1e6 * step)
            )
            stated = stretch * theory.mean_square(step, d, MANY, samples, K)
            words = f"the same, N = {MANY}, d = {d}, m = {samples}, κ = {step:g}, K = {K}"
            asked = evidence.mean(words, seen, equals=stated)
            infinite = theory.mean_factor(step, d, samples, K) ** 2
            row = {"cell": f"K = {K}", "kappa": step, "theory": stated, "infinite": infinite}
            rows.append((row, asked))
            if K == 2 and share == 1.0:
                evidence.state(
                    "and it stays above what two averaged steps leave, ((1 − κ)² + κ²q)²",
                    asked,
                    at_least=rate.rate_squared(step, rate.noise_ratio(d, MANY, samples)) ** 2,
                    certify=True,
                )
    return rows


def _kept(evidence: Evidence, own: Literal, d: int, kappa: float, stretch: float) -> None:
    """Data that the clients keep: the literal round's derivative, and thirty literal rounds."""
    rng, clients, K = evidence.rng("kept"), len(own.targets), own.local_steps
    X = rng.standard_normal((clients, own.samples, d))
    grams = np.swapaxes(X, -1, -2) @ X / own.samples
    a_star = np.eye(d)[0]
    stated = stretch * theory.fixed_jacobian(grams, a_star, kappa, K)[1:, 1:]

    def moved(T: np.ndarray) -> np.ndarray:
        """Tangents after one literal round on these samples: (T, d − 1)."""
        A = near(T[..., None])
        Y = X @ target(d)
        fits = []
        for x, y in zip(X, Y, strict=True):
            z = x @ A
            fits.append(np.swapaxes(z, -1, -2) @ y / np.square(z).sum(axis=1, keepdims=True))
        B = np.mean(fits, axis=0)
        back, ends = np.swapaxes(B, -1, -2), []
        for x, y in zip(X, Y, strict=True):
            mine = A
            for _ in range(K):
                mine = mine - kappa / LENGTH**2 / own.samples * (x.T @ ((x @ mine @ B - y) @ back))
            ends.append(mine)
        return tangents(np.mean(ends, axis=0))[..., 0]

    one = np.eye(d - 1)
    measured = ((moved(START * one) - moved(-START * one)) / (2.0 * START)).T
    words = f"the same samples in every round, d = {d}, N = {clients}, m = {own.samples}, K = {K}"
    size = float(np.max(np.abs(measured)))
    gap = float(np.max(np.abs(measured - stated))) / size
    why = "rounding of differences over 2e-6, and their third order"
    evidence.equal(f"relative gap of the Jacobian, {words}", 0.0, gap, rounding=1e-7, why=why)
    radius = float(np.max(np.abs(np.linalg.eigvals(measured))))
    evidence.equal(
        f"its spectral radius, {words}",
        stretch * theory.fixed_rate(grams, a_star, kappa, K),
        radius,
        rounding=1e-4 * size,
        why="the same, where an eigenvalue may be badly conditioned",
    )

"""Claim `rank-r-mean-square`: each singular direction has its own mean-square rate (theory.md §12)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log
from typing import Any

import numpy as np

from linear_model.claims.literal import Literal, in_blocks, near, tangents, ways
from theory.samples import mean_square_rate as rate
from theory.samples import rank_r_mean_square as theory
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import Asked, exactly

START = 1e-6
"""Tangents before the round: the formula's corrections are of order START²."""
SMALL = 1e-4
"""σ over σ_1 in the long runs."""
AVERAGED = 12
STEPS = (0.6, 1.3)
"""κ_1 of the picture beside the user's own."""


@dataclass(frozen=True)
class Shape:
    """Sizes of one problem: B* = diag(sizes), A* the first unit vectors."""

    d: int
    clients: int
    samples: int
    sizes: tuple[float, ...]

    @property
    def rank(self) -> int:
        """Number of singular values."""
        return len(self.sizes)

    @property
    def ratio(self) -> float:
        """q_r."""
        return float(theory.noise_ratio(self.d, self.rank, self.clients, self.samples))

    def literal(self, label: float = 0.0) -> Literal:
        """Its literal round."""
        target = np.eye(self.d, self.rank) @ np.diag(self.sizes)
        return Literal([target] * self.clients, self.samples, label=label)

    def words(self) -> str:
        """The sizes, for the reader."""
        return f"r = {self.rank}, N = {self.clients}, m = {self.samples}, d = {self.d}"


OTHER = Shape(9, 2, 14, (2.0, 1.6, 1.0))


@claim(
    "rank-r-mean-square",
    "Rank r on fresh samples: every singular direction by itself",
    statement="Near the solution the tangent columns T_j in the eigenbasis of B*B*ᵀ do not mix, and "
    "E‖T_j⁺‖²/‖T_j‖² → (1 − κ_j)² + κ_j²q_r with κ_j = 2ησ_j², q_r = (d − r + 1 + (d − r)w)/M, "
    "w = r/(N(m − r − 1)); label noise leaves (d − r)κ_j²σ²(1 + w)/(σ_j²M)/(1 − (1 − κ_j)² − κ_j²q_r).",
    latex=r"\frac{\mathbb E\|T_j^+\|^2}{\|T_j\|^2}\to(1-\kappa_j)^2+\kappa_j^2q_r,\quad "
    r"q_r=\frac{d-r+1+(d-r)w}{Nm},\ w=\frac{r}{N(m-r-1)},\quad \mathbb E\|T_j\|_\infty^2\sim"
    r"\frac{(d-r)\kappa_j^2\sigma^2(1+w)}{\sigma_j^2Nm\,(1-(1-\kappa_j)^2-\kappa_j^2q_r)}",
    source=OURS,
    assumptions=(
        "rank r, homogeneous clients",
        "X_i and label noise i.i.d. Gaussian",
        "fresh samples in each half-step",
        "one averaged gradient step on A a round",
        "m > r + 1, and κ_j < 2/(1 + q_r) for the floor",
        "the angles tend to 0; first order in σ² for the floor",
        "a stationary law exists, and t → ∞ may be exchanged with σ → 0 (assumed, not proved)",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    control_at={"alone": True},
    says="a noise ratio and floors 2 % larger",
    exact="the best step 1/((1 + q_r)(σ_1² + σ_r²)) has mean-square rate "
    "1 − (1 − ((σ_1² − σ_r²)/(σ_1² + σ_r²))²)/(1 + q_r)",
    order=191,
)
def check(
    evidence: Evidence,
    *,
    d: int = 16,
    clients: int = 3,
    samples: int = 12,
    sizes: tuple[float, ...] = (1.0, 0.9),
    kappa: float = 1.0,
    alone: bool = False,
    stretch: float = 1.0,
) -> None:
    """Derive rate and floor; measure both on literal rounds, a column at a time.

    Args:
        d: width, more than the rank.
        clients: N.
        samples: m, at least rank + 8: with fewer the tails are too heavy for the intervals.
        sizes: singular values of B*, one a rank.
        kappa: step 2ησ_1², up to 0.8 of the threshold.
        alone: whether to leave out the further shape and steps.
        stretch: multiplies q_r and the floors; 1 for the true statement.
    """
    between(1, 5, rank=len(sizes))
    between(len(sizes) + 2, 100, d=d)
    between(1, 100, clients=clients)
    between(len(sizes) + 8, 1_000, samples=samples)
    for size in sizes:
        between(0.3, 10.0, sizes=size)
    own = Shape(d, clients, samples, tuple(sorted(sizes, reverse=True)))
    between(0.1, 0.8 * float(rate.threshold_kappa(own.ratio)), kappa=kappa)
    trials = evidence.pick(12_000, 40_000)
    cells = [(own, kappa, trials)]
    if not alone:
        cells += [(own, step, trials // 2) for step in STEPS]
        cells += [(OTHER, kappa_at_best(OTHER), trials)]
    found = [
        pair for shape, step, runs in cells for pair in _rates(evidence, shape, step, runs, stretch)
    ]
    _floors(evidence, own, kappa, evidence.pick(3_600, 24_000), stretch)
    evidence.precise()
    evidence.steps(*theory.derive(exactly(stretch)))
    for statement, because in theory.ARGUED:
        evidence.argued(statement, because=because)
    evidence.method(
        "SymPy, any sizes: linearised round, its columns and their second moments; beside it literal rounds, "
        f"client by client, {trials:,} from tangents of {START:g} in several directions, and long runs at "
        f"σ/σ_1 = {SMALL:g}"
    )
    evidence.table(
        lambda: [row | asked.columns() | asked.errors(row["theory"]) for row, asked in found], PLOT
    )


PLOT = Plot(
    x="kappa",
    series=(
        Series("measured", "literal rounds", Mark.POINTS, "low", "high"),
        Series("theory", "(1 − κ_j)² + κ_j² q_r", Mark.LINE),
    ),
    xlabel="step of the column, κ_j = 2ησ_j²",
    ylabel="E‖T_j⁺‖²/‖T_j‖² in one round",
    caption="Each tangent column in the eigenbasis of B*B*ᵀ shrinks by the parabola of its own step κ_j, "
    "whatever the other columns do. One η gives every column another κ_j, so the condition number of B* "
    "decides how many of them are near the bottom. Bars: intervals at 1e-6 together.",
    group="cell",
)


def kappa_at_best(shape: Shape) -> float:
    """κ_1 at the step that is best for the slowest column."""
    first, last = max(shape.sizes), min(shape.sizes)
    return 2.0 * float(theory.best_step(first, last, shape.ratio)) * first**2


def _rates(
    evidence: Evidence, shape: Shape, kappa: float, trials: int, stretch: float
) -> list[tuple[dict[str, Any], Asked]]:
    """One literal round: for each column a row of the table, and what was asked."""
    eta = kappa / (2.0 * shape.sizes[0] ** 2)
    literal = shape.literal()

    small = START * 10.0 ** -np.arange(shape.rank)
    starts = ways(shape.d, small)

    def run(count: int, rng: np.random.Generator) -> np.ndarray:
        A, _ = literal.moved(np.broadcast_to(starts, (count, *starts.shape)), eta, rng)
        after = np.square(tangents(A, shape.rank)).sum(axis=2).mean(axis=1)
        return np.asarray(after / np.square(small))

    ratios = in_blocks(evidence, trials, run, "round", shape.d, shape.rank, round(1e6 * kappa))
    found = []
    for j, size in enumerate(shape.sizes):
        step = 2.0 * eta * size**2
        row = {"cell": shape.words(), "column": j + 1, "kappa": step, "runs": trials}
        row["theory"] = float(rate.rate_squared(step, stretch * shape.ratio))
        words = f"E‖T_{j + 1}⁺‖²/‖T_{j + 1}‖², {shape.words()}, κ_{j + 1} = {step:.4g}"
        found.append((row, evidence.mean(words, ratios[:, j], equals=row["theory"])))
    if kappa == kappa_at_best(shape):
        best = theory.best_rate_squared(max(shape.sizes), min(shape.sizes), stretch * shape.ratio)
        for j in (0, shape.rank - 1):
            words = f"the same against the best step's rate, column {j + 1}, {shape.words()}"
            evidence.state(words, found[j][1], float(best))
    return found


def _floors(evidence: Evidence, shape: Shape, kappa: float, trials: int, stretch: float) -> None:
    """Each column's stationary mean square under label noise, one time average per independent run."""
    eta, sigma = kappa / (2.0 * shape.sizes[0] ** 2), SMALL * shape.sizes[0]
    literal = shape.literal(label=sigma)
    arguments = shape.d, shape.rank, shape.clients, shape.samples
    steps = [2.0 * eta * size**2 for size in shape.sizes]
    floors = [
        float(theory.floor(step, sigma, size, *arguments))
        for step, size in zip(steps, shape.sizes, strict=True)
    ]
    slowest = max(float(rate.rate_squared(step, shape.ratio)) for step in steps)
    burn_in = max(4, ceil(log(1e-4) / log(slowest)))

    def run(count: int, rng: np.random.Generator) -> np.ndarray:
        T = rng.standard_normal((count, shape.d - shape.rank, shape.rank))
        # From the floor itself, or near it: what is left of the start is then smaller still.
        A = near(T * np.sqrt(np.array(floors) / (shape.d - shape.rank)))
        seen = np.zeros((count, shape.rank))
        for number in range(burn_in + AVERAGED):
            A, _ = literal.round(A, eta, rng)
            if number >= burn_in:
                seen += np.square(tangents(A, shape.rank)).sum(axis=1) / AVERAGED
        return seen

    squares = in_blocks(evidence, trials, run, "floor")
    for j, stated in enumerate(floors):
        words = f"E‖T_{j + 1}‖²/σ² in the long run, {shape.words()}, κ_{j + 1} = {steps[j]:.4g}"
        evidence.mean(words, squares[:, j] / sigma**2, equals=stretch * stated / sigma**2)

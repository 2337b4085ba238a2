"""Claim `mean-square-rate`: how fast the squared angle shrinks on fresh samples, exactly."""

from typing import Any

import numpy as np

from linear_model.methods.algorithm2 import Algorithm2
from linear_model.problem import Problem
from linear_model.simulation import simulate
from theory.samples import mean_square_rate as rate
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import Asked, exactly
from verification.statistics import mean_estimate

START = 1e-6
"""Angle distance before the round: the formula's correction is of order START², below 1e-11."""
SHAPES = ((5, 20, 50), (1, 12, 30), (40, 8, 400))
"""(N, m, d)."""


def one_round_ratios(
    evidence: Evidence,
    shape: tuple[int, int, int],
    kappa: float,
    trials: int,
    name: str,
    *axes: int,
    simulator: str = "chain",
) -> np.ndarray:
    """(s⁺/s)² of independent rounds from a small angle, shape (trials,); the draws go by name and axes."""
    clients, samples, d = shape
    method, problem = Algorithm2(kappa=kappa), Problem(d=d, clients=clients, samples=samples)
    stream = evidence.stream(name, *shape, *axes)
    run = simulate(
        problem, method, simulator=simulator, rounds=1, trials=trials, start=START, **stream
    )
    return np.square(run.angle[:, 1] / START)


@claim(
    "mean-square-rate",
    "The exact mean-square rate on fresh samples",
    statement="As the angle goes to 0, E[s⁺²]/s² → (1−κ)² + κ²q with q = (d + (d−1)v)/(Nm), "
    "v = 1/(N(m−2)); it is least, q/(1+q), at κ° = 1/(1+q) and below 1 iff κ < 2/(1+q).",
    latex=r"\frac{\mathbb{E}[s_+^2]}{s^2}\to(1-\kappa)^2+\kappa^2q,\quad"
    r" q=\frac{d+(d-1)v}{Nm},\quad v=\frac{1}{N(m-2)}",
    source=OURS,
    assumptions=(
        "rank 1",
        "homogeneous clients",
        "no label noise",
        "fresh samples in each half-step",
        "m > 2",
        "the angle tends to 0",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 0.97},
    control_at={"alone": True},
    says="a noise ratio q 3 % smaller",
    order=130,
)
def check(
    evidence: Evidence,
    *,
    clients: int = 5,
    samples: int = 20,
    d: int = 50,
    kappa: float = 0.5,
    alone: bool = False,
    stretch: float = 1.0,
) -> None:
    """Derive the rate; measure one round at small angle with the chain and Gram matrices.

    Args:
        clients: N.
        samples: m, at least 8: with fewer the ratio's tails are too heavy for the intervals.
        d: width.
        kappa: step size, tried beside 1, 1.5 and the best one.
        alone: whether to leave out the further shapes, the Gram matrices and the picture's steps.
        stretch: multiplies q; 1 for the true statement.
    """
    between(8, 100_000, samples=samples)
    between(0.01, 2.0, kappa=kappa)
    trials = evidence.pick(30_000, 600_000)
    own = (clients, samples, d)
    shapes = (own,) if alone else tuple(dict.fromkeys((own, *SHAPES[1:])))
    ours: list[Asked] = []
    rows: list[tuple[dict[str, Any], Asked]] = []
    for shape in shapes:
        found = _steps(evidence, shape, kappa, trials, stretch)
        rows += found
        ours += [asked for _, asked in found if shape in SHAPES]
    if not alone:
        rows.append(_one(evidence, own, (1.0, "1"), trials // 5, stretch, "gram"))
        ours += [rows[-1][1]] if own in SHAPES else []
    evidence.precise(ours)
    evidence.steps(*rate.derive(exactly(stretch)))
    evidence.method(
        "SymPy derivation from the literal round, its small-angle limit and exact moments; beside it one "
        f"round from s = {START:g}, {trials:,} trials a cell with the angle chain, and Gram matrices at one"
    )
    evidence.argued(
        "the limit s → 0 passes under the expectation, for m > 2",
        because="where s|ρ̄| ≤ 1 and the step is short, |x| ≤ ½, the bound above dominates s⁺²/s²; elsewhere "
        "s⁺²/s² ≤ 1/s², and that happens with probability o(s²), because ρ̄ and the pull p along a have "
        "finite second moments",
    )
    evidence.argued(
        "new samples pull with the laws put in: γ ~ χ²_M/M along V = ρ̄ a − u, independent leaks across it",
        because="a standard normal sample's coordinates along V and across it are independent in every "
        "rotated frame, and V is fixed by the b-step's own samples",
    )
    evidence.note("Intervals rest on the central limit theorem for the mean of many i.i.d. rounds.")
    curve = [] if alone else _curve(evidence, shapes, trials // 10)
    evidence.table(
        lambda: sorted(
            [row | asked.columns() | asked.errors(row["theory"]) for row, asked in rows] + curve,
            key=lambda row: (row["cell"], row["kappa"]),
        ),
        _plot(trials // 10),
    )


def _steps(
    evidence: Evidence, shape: tuple[int, int, int], kappa: float, trials: int, stretch: float
) -> list[tuple[dict[str, Any], Asked]]:
    """A shape at the given step, 1, 1.5 and the best one."""
    clients, samples, d = shape
    q = float(rate.noise_ratio(d, clients, samples))
    best = float(rate.optimal_kappa(q))
    steps = {step: f"{step:g}" for step in (kappa, 1.0, 1.5)} | {best: f"κ° = {best:.3f}"}
    found = [_one(evidence, shape, step, trials, stretch) for step in steps.items()]
    words = "the same against the best rate q/(1+q), N = {}, m = {}, d = {}".format(*shape)
    evidence.state(words, found[-1][1], float(rate.best_rate_squared(stretch * q)))
    return found


def _one(
    evidence: Evidence,
    shape: tuple[int, int, int],
    step: tuple[float, str],
    trials: int,
    stretch: float,
    simulator: str = "chain",
) -> tuple[dict[str, Any], Asked]:
    """One round at one step against the rate: a row of the table, and what was asked."""
    clients, samples, d = shape
    kappa, name = step
    row = _row(shape, kappa, simulator, stretch)
    words = f"E[s⁺²]/s², N = {clients}, m = {samples}, d = {d}, κ = {name} ({simulator})"
    ratios = one_round_ratios(
        evidence, shape, kappa, trials, simulator, round(1e6 * kappa), simulator=simulator
    )
    return row, evidence.mean(words, ratios, equals=row["theory"])


def _row(
    shape: tuple[int, int, int], kappa: float, simulator: str = "chain", stretch: float = 1.0
) -> dict[str, Any]:
    clients, samples, d = shape
    q = stretch * float(rate.noise_ratio(d, clients, samples))
    sizes = {"clients": clients, "samples": samples, "d": d}
    cell = {"cell": f"N={clients} m={samples} d={d}", "kappa": kappa, "simulator": simulator}
    return {**sizes, **cell, "theory": float(rate.rate_squared(kappa, q))}


def _curve(
    evidence: Evidence, shapes: tuple[tuple[int, int, int], ...], trials: int
) -> list[dict[str, Any]]:
    """More steps for the picture, with 99 % intervals; they decide nothing."""
    rows = []
    for shape in shapes:
        for kappa in np.linspace(0.1, 1.9, 13):
            step = round(1e6 * kappa)
            ratios = one_round_ratios(evidence, shape, float(kappa), trials, "curve", step)
            estimate = mean_estimate(ratios, 0.01)
            row = _row(shape, float(kappa))
            rows.append(row | estimate.columns() | estimate.errors(row["theory"]))
    return rows


def _plot(rounds: int) -> Plot:
    return Plot(
        x="kappa",
        series=(
            Series("measured", "measured", Mark.POINTS, "low", "high"),
            Series("theory", "(1 − κ)² + κ² q", Mark.LINE),
        ),
        xlabel="step size κ = 2η‖b*‖² (dimensionless)",
        ylabel="E[s⁺²]/s² in one round",
        caption="Mean-square contraction of the angle in one round on fresh samples: exact parabola "
        f"and measurements (at least {rounds:,} rounds a point). The best step κ° = 1/(1 + q) lies "
        "left of 1 because the step multiplies the sampling noise; the parabola crosses 1 at 2/(1 + q).",
        group="cell",
    )

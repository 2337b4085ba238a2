"""Claim `rank-r-ffa-floor`: the floor's constant at rank r."""

from typing import Any

import numpy as np

from linear_model.claims.frozen_factor.literal_ffa import training_losses
from linear_model.methods.ffa_least_squares import FFALeastSquares
from linear_model.problem import Problem
from linear_model.simulation import simulate
from theory.frozen_factor import rank_r_floor
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import Asked, exactly
from verification.statistics import mean_estimate
from verification.streams import design

WIDTH = 6
OUTPUTS = 3
SETTINGS = ((1, 12, 2), (4, 12, 3), (10, 14, 2), (6, 20, 4))
"""(N, m, r); the last two in full runs only."""


@claim(
    "rank-r-ffa-floor",
    "FFA-LoRA's floor at rank r",
    statement="With A⁰ frozen and V = (I − A⁰A⁰ᵀ)A*B*, least squares per client and averaging give the "
    "expected training loss ‖V‖²(1 + c̃_r), c̃_r = −2r/M + (r/(N²m))(1 + (N−1)m/(m−r−1)), M = Nm.",
    latex=r"\mathbb{E}\,\mathrm{loss}=\|(I-A^0A^{0\top})A^*B^*\|_F^2\,(1+\tilde c_r),\quad"
    r" \tilde c_r=-\frac{2r}{M}+\frac{r}{N^2m}\Big(1+\frac{(N-1)m}{m-r-1}\Big)",
    source=OURS,
    assumptions=("homogeneous clients", "no label noise", "m > r + 1 samples a client"),
    expected=Verdict.DERIVED,
    mutant={"stretch": 0.96},
    control_at={"alone": True},
    says="every constant c̃_r taken 4 % smaller in size",
    exact="Joint least squares: −r/M; new samples: r/(N(m−r−1)).",
    order=170,
)
def check(
    evidence: Evidence,
    *,
    clients: int = 1,
    samples: int = 12,
    rank: int = 2,
    alone: bool = False,
    stretch: float = 1.0,
) -> None:
    """Derive the constant; measure it on literal data and in the simulator.

    Args:
        clients: N.
        samples: m, at least r + 9: with fewer the tails of c̃_r's samples are too heavy for the intervals.
        rank: r, below the width 6.
        alone: whether to leave out the further settings and the picture.
        stretch: multiplies every constant; 1 for the true statement.
    """
    between(1, 1_000, clients=clients)
    between(1, WIDTH - 1, rank=rank)
    between(rank + 9, 1_000, samples=samples)
    trials = evidence.pick(80_000, 300_000)
    further = () if alone else evidence.pick(SETTINGS[1:2], SETTINGS[1:])
    ours: list[Asked] = []
    rows: list[tuple[dict[str, Any], Asked]] = []
    for setting in dict.fromkeys(((clients, samples, rank), *further)):
        found = _constants(evidence, *setting, trials, stretch)
        rows += found
        ours += [asked for _, asked in found if setting in SETTINGS]
    evidence.precise(ours)
    evidence.steps(*rank_r_floor.derive(exactly(stretch)))
    for statement, because in rank_r_floor.ARGUED:
        evidence.argued(statement, because=because)
    evidence.method(
        "SymPy derivation from the trace of a projection and the mean of an inverse Wishart matrix; "
        f"beside it least squares on {trials:,} literal data sets a cell, and Gram matrices for new samples"
    )
    evidence.note("Intervals rest on the central limit theorem for the mean of many i.i.d. trials.")
    evidence.extra_table("constants", [row | asked.errors(row["theory"]) for row, asked in rows])
    if not alone:
        pictured = evidence.pick(4_000, 40_000)
        evidence.table(_curve(evidence, pictured), _plot(pictured))


def _constants(
    evidence: Evidence, clients: int, samples: int, rank: int, trials: int, stretch: float
) -> list[tuple[dict[str, Any], Asked]]:
    """Every constant of one setting against its measurement: rows of the table, and what was asked."""
    # The same problem for every seed, so that the spread of the losses is known beforehand.
    rng = design(evidence.id, "problem", rank)
    A_star, A_start = (np.linalg.qr(rng.standard_normal((WIDTH, rank)))[0] for _ in range(2))
    B_star = rng.standard_normal((rank, OUTPUTS))
    target = A_star @ B_star
    floor = float(np.sum((target - A_start @ (A_start.T @ target)) ** 2))
    stream = evidence.stream("training", clients, samples, rank)
    losses = training_losses(
        A_start, target, clients=clients, samples=samples, trials=trials, **stream
    )
    run = simulate(
        Problem(d=WIDTH, clients=clients, samples=samples, rank=rank, A_star=A_star, B_star=B_star),
        FFALeastSquares(),
        simulator="gram",
        rounds=1,
        trials=trials // 8,
        start=A_start,
        **evidence.stream(clients, samples, rank),
    )
    constant = stretch * float(rank_r_floor.training_constant(clients, samples, rank))
    pooled = stretch * float(rank_r_floor.pooled_constant(clients * samples, rank))
    fresh = stretch * float(rank_r_floor.fresh_constant(clients, samples, rank))
    rows = []
    for name, theory, sampled in (
        ("expected training loss over ‖V‖²", 1.0 + constant, losses.averaged),
        ("c̃_r on the training samples", constant, losses.averaged - losses.unlearned),
        ("c̃_r of joint least squares", pooled, losses.pooled - losses.unlearned),
        ("expected loss on new samples over ‖V‖²", 1.0 + fresh, run.loss[:, 1] / floor),
    ):
        where = f"{name}, N = {clients}, m = {samples}, r = {rank}"
        asked = evidence.mean(where, sampled, equals=theory)
        row = {"clients": clients, "samples": samples, "rank": rank, "quantity": name}
        rows.append((row | {"theory": theory, "measured": asked.measured}, asked))
    return rows


def _curve(evidence: Evidence, trials: int) -> list[dict[str, Any]]:
    """The constant against the rank, N = 4, m = 12, V one direction of the width's last axis."""
    rows = []
    for rank in (1, 2, 3, 4, 5):
        start, target = np.eye(WIDTH, rank), np.eye(WIDTH)[:, -1:]
        stream = evidence.stream("curve", rank)
        losses = training_losses(start, target, clients=4, samples=12, trials=trials, **stream)
        joint = float(rank_r_floor.pooled_constant(48, rank))
        row = {"theory": float(rank_r_floor.training_constant(4, 12, rank)), "joint": joint}
        seen = mean_estimate(losses.averaged - losses.unlearned, 0.01).columns()
        rows.append({"rank": rank, **row, **seen})
    return rows


def _plot(trials: int) -> Plot:
    return Plot(
        x="rank",
        series=(
            Series("measured", "least squares on literal data", Mark.POINTS, "low", "high"),
            Series("theory", "c̃_r, averaged least squares", Mark.LINE),
            Series("joint", "−r/M, joint least squares", Mark.DASHED),
        ),
        xlabel="rank r",
        ylabel="constant c̃_r (dimensionless)",
        caption="How far the training loss lies below the part of the signal a frozen A cannot express, "
        f"N = 4 clients of m = 12 samples. Points: means of {trials:,} data sets with 99 % intervals. "
        "Averaging the clients' fits overfits less than joint least squares, and the more so the closer "
        "the rank comes to m; the solid line is exact.",
    )

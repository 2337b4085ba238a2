"""Claim `rank-r-ffa-floor`: the floor's constant at rank r."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from linear_model.claims.literal_ffa import training_losses
from linear_model.methods.ffa_least_squares import FFALeastSquares
from linear_model.problem import Problem
from linear_model.simulation import simulate
from theory.frozen_factor import rank_r_floor
from verification.budget import Budget
from verification.claim import OURS
from verification.claim import OldClaim as Claim
from verification.finding import Comparison, Finding, Mark, Plot, Relation, Series, Table, conclude
from verification.statistics import ALPHA, mean_estimate
from verification.streams import generator
from verification.verdict import Verdict

ID = "rank-r-ffa-floor"
LARGEST_ERROR = 0.005
"""Largest standard error allowed, over the value."""
WIDTH = 6
OUTPUTS = 3


def check(budget: Budget) -> Finding:
    """Derive the constant; measure it on literal data and in the simulator."""
    quick = ((1, 12, 2), (4, 12, 3))
    return _check(budget, budget.pick(quick, (*quick, (10, 14, 2), (6, 20, 4))))


def negative_control(budget: Budget) -> Finding:
    """The same measurement against a constant c̃_r that is 7 % smaller in size."""
    return _check(budget, ((1, 12, 2),), stretch=0.93)


def _check(budget: Budget, cells: Sequence[tuple[int, int, int]], stretch: float = 1.0) -> Finding:
    trials = budget.pick(80_000, 300_000)
    alpha = ALPHA / (4 * len(cells))
    comparisons: list[Comparison] = []
    rows: list[dict[str, Any]] = []
    detectable = 0.0
    worst = 0.0
    for clients, samples, rank in cells:
        where = f"N = {clients}, m = {samples}, r = {rank}"
        # The same problem for every seed, so that the spread of the losses is known beforehand.
        rng = generator(0, ID, "problem", rank)
        A_star, A_start = (np.linalg.qr(rng.standard_normal((WIDTH, rank)))[0] for _ in range(2))
        B_star = rng.standard_normal((rank, OUTPUTS))
        target = A_star @ B_star
        floor = float(np.sum((target - A_start @ (A_start.T @ target)) ** 2))
        losses = training_losses(
            A_start,
            target,
            clients=clients,
            samples=samples,
            trials=trials,
            seed=budget.seed,
            axes=(ID, "training", clients, samples, rank),
        )
        run = simulate(
            Problem(
                d=WIDTH, clients=clients, samples=samples, rank=rank, A_star=A_star, B_star=B_star
            ),
            FFALeastSquares(),
            simulator="gram",
            rounds=1,
            trials=trials // 8,
            seed=budget.seed,
            start=A_start,
            axes=(ID, clients, samples, rank),
        )
        constant = stretch * float(rank_r_floor.training_constant(clients, samples, rank))
        pooled = stretch * float(rank_r_floor.pooled_constant(clients * samples, rank))
        fresh = stretch * float(rank_r_floor.fresh_constant(clients, samples, rank))
        measured = (
            ("expected training loss over ‖V‖²", 1.0 + constant, losses.averaged),
            ("c̃_r on the training samples", constant, losses.averaged - losses.unlearned),
            ("c̃_r of joint least squares", pooled, losses.pooled - losses.unlearned),
            ("expected loss on new samples over ‖V‖²", 1.0 + fresh, run.loss[:, 1] / floor),
        )
        for name, theory, sampled in measured:
            estimate = mean_estimate(sampled, alpha)
            comparisons.append(estimate.compare(f"{name}, {where}", theory))
            worst = max(worst, estimate.relative_error)
            detectable = max(detectable, estimate.detectable)
            rows.append(
                {
                    "clients": clients,
                    "samples": samples,
                    "rank": rank,
                    "quantity": name,
                    "theory": theory,
                    "measured": estimate.mean,
                    "standard error": estimate.standard_error,
                    "standard errors off": (estimate.mean - theory) / estimate.standard_error,
                }
            )
    comparisons.append(
        Comparison(
            "largest standard error over its value",
            theory=LARGEST_ERROR,
            measured=worst,
            relation=Relation.LE,
            why="a design limit, so that agreement means something",
        )
    )
    return conclude(
        Verdict.PROVED,
        "SymPy derivation from the trace of a projection and the mean of an inverse Wishart matrix; "
        f"beside it least squares on {trials:,} literal data sets a cell, and Gram matrices for new samples",
        comparisons=comparisons,
        proof=rank_r_floor.derive() if stretch == 1.0 else (),
        trials=trials,
        alpha=ALPHA,
        detectable=detectable,
        seed=budget.seed,
        notes=("Intervals rest on the central limit theorem for the mean of many i.i.d. trials.",),
        table=_curve(budget) if stretch == 1.0 else None,
        plot=_plot(budget) if stretch == 1.0 else None,
        extra_tables={"constants": Table.from_rows(rows)},
    )


def _curve(budget: Budget) -> Table:
    """The constant against the rank, N = 4, m = 12, V one direction of the width's last axis."""
    rows = []
    for rank in (1, 2, 3, 4, 5):
        target = np.zeros((WIDTH, 1))
        target[-1] = 1.0
        losses = training_losses(
            np.eye(WIDTH, rank),
            target,
            clients=4,
            samples=12,
            trials=budget.pick(4_000, 40_000),
            seed=budget.seed,
            axes=(ID, "curve", rank),
        )
        estimate = mean_estimate(losses.averaged - losses.unlearned, 0.01)
        rows.append(
            {
                "rank": rank,
                "theory": float(rank_r_floor.training_constant(4, 12, rank)),
                "joint": float(rank_r_floor.pooled_constant(48, rank)),
                "measured": estimate.mean,
                "low": estimate.interval[0],
                "high": estimate.interval[1],
            }
        )
    return Table.from_rows(rows)


def _plot(budget: Budget) -> Plot:
    trials = budget.pick(4_000, 40_000)
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


CLAIM = Claim(
    id=ID,
    title="FFA-LoRA's floor at rank r",
    statement="With A⁰ frozen and V = (I − A⁰A⁰ᵀ)A*B*, least squares per client and averaging give the "
    "expected training loss ‖V‖²(1 + c̃_r), c̃_r = −2r/M + (r/(N²m))(1 + (N−1)m/(m−r−1)), M = Nm.",
    latex=r"\mathbb{E}\,\mathrm{loss}=\|(I-A^0A^{0\top})A^*B^*\|_F^2\,(1+\tilde c_r),\quad"
    r" \tilde c_r=-\frac{2r}{M}+\frac{r}{N^2m}\Big(1+\frac{(N-1)m}{m-r-1}\Big)",
    source=OURS,
    assumptions=("homogeneous clients", "no label noise", "m > r + 1 samples a client"),
    expected=Verdict.PROVED,
    check=check,
    negative_control=negative_control,
    control="every constant c̃_r taken 7 % smaller in size",
    exact="Joint least squares: −r/M; new samples: r/(N(m−r−1)).",
)

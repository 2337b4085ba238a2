"""Small claims of every kind, for tests of the runner, the reports and the exit status."""

from __future__ import annotations

import numpy as np

from verification.budget import Budget
from verification.claim import OURS, Claim
from verification.finding import (
    Comparison,
    Finding,
    Mark,
    Plot,
    ProofStep,
    Relation,
    Series,
    Table,
    conclude,
)
from verification.statistics import mean_estimate
from verification.verdict import Verdict


def _mean(budget: Budget, mean: float) -> Finding:
    rng = budget.rng("fake-mean")
    samples = rng.standard_normal((40, 40)) @ rng.standard_normal((40, 200)) / 40 + 1.0
    estimate = mean_estimate(samples, 1e-6)
    x = np.geomspace(1, 1000, 30)
    table = Table.from_rows(
        [
            {
                "n": float(v),
                "bound": 3 / v,
                "seen": 1 / v,
                "low": 0.8 / v,
                "high": 1.3 / v,
                "kappa": k,
            }
            for k in (0.5, 1.0)
            for v in x * k
        ]
    )
    return conclude(
        Verdict.CONSISTENT,
        "8,000 simulated values",
        comparisons=[
            Comparison(
                "mean of the samples", mean, estimate.mean, interval=estimate.interval, why="CLT"
            ),
            Comparison("an upper bound", 3.0, 1.0, Relation.LE, why="the bound uses a union bound"),
        ],
        trials=8000,
        alpha=1e-6,
        detectable=estimate.detectable,
        seed=budget.seed,
        table=table,
        plot=Plot(
            x="n",
            series=(
                Series("bound", "bound", Mark.DASHED),
                Series("seen", "measured", Mark.LINE, "low", "high"),
            ),
            xlabel="samples n",
            ylabel="error",
            caption="The bound lies above the measurement: it pays for a union bound.",
            group="kappa",
            xlog=True,
            ylog=True,
        ),
    )


def _grid(budget: Budget) -> Finding:
    rows = [
        {"kappa": k, "q": q, "rate": (1 - k) ** 2 + k * k * q, "threshold": 2 / k - 1}
        for k in np.linspace(0.1, 2, 20)
        for q in np.linspace(0.05, 2, 24)
    ]
    return conclude(
        Verdict.HOLDS_UNDER,
        "evaluated on a grid",
        comparisons=[Comparison("rate at κ = 1, q = 0.5", 0.5, 0.5)],
        proof=[ProofStep("the rate is quadratic in κ", True, "third difference is 0")],
        added_assumption="κ < 2/(1 + q)",
        notes=("above the line the mean square grows",),
        table=Table.from_rows(rows),
        plot=Plot(
            x="kappa",
            series=(Series("q", "rate per round"), Series("threshold", "stability threshold")),
            xlabel="step size κ",
            ylabel="dimension over pooled samples q",
            caption="Mean-square rate by step size and noise.",
            heat="rate",
        ),
    )


def _refuted(budget: Budget) -> Finding:
    return conclude(
        Verdict.PROVED, "a false statement", comparisons=[Comparison("two by two", 5.0, 4.0)]
    )


def _proved(budget: Budget) -> Finding:
    return conclude(
        Verdict.PROVED, "arithmetic", proof=[ProofStep("2 + 2 = 4", True, "difference is 0")]
    )


def _raises(budget: Budget) -> Finding:
    raise ZeroDivisionError("nothing divides by | zero <b>")


def _missing(budget: Budget) -> Finding:
    return Finding(
        Verdict.NOT_CHECKED, "needs data", missing="put MNIST into DIR and give --data-dir DIR"
    )


def _nan(budget: Budget) -> Finding:
    return Finding(
        Verdict.REFUTED,
        "not a number",
        comparisons=(Comparison("a division", 1.0, float("nan")),),
        counterexample="0/0",
        table=Table.from_rows([{"x": 1, "y": float("inf")}]),
    )


def make(claim_id: str, expected: Verdict, check, control=_refuted, **more) -> Claim:
    return Claim(
        id=claim_id,
        title=f"The claim called {claim_id}",
        statement="For every x < y & z, the mean is ≤ 1.",
        latex=r"\frac{1}{n}\sum_i x_i \le 1 + \sqrt{\frac{\log(1/\alpha)}{2n}},\quad n \ge 1",
        source=OURS,
        assumptions=("x is small", "y is not"),
        expected=expected,
        check=check,
        negative_control=control,
        control="two by two is five",
        **more,
    )


def good() -> tuple[Claim, ...]:
    return (
        make("fake-proved", Verdict.PROVED, _proved),
        make(
            "fake-mean",
            Verdict.CONSISTENT,
            lambda budget: _mean(budget, 1.0),
            lambda budget: _mean(budget, 1.2),
            exact="the mean is exactly 1",
        ),
        make("fake-grid", Verdict.HOLDS_UNDER, _grid),
        make("fake-missing", Verdict.SUPPORTED, _missing, _missing),
        make("fake-false", Verdict.REFUTED, _nan),
    )


def surprising() -> tuple[Claim, ...]:
    return (
        make("fake-surprise", Verdict.PROVED, _refuted),
        make("fake-fine", Verdict.PROVED, _proved),
    )


def toothless() -> tuple[Claim, ...]:
    return (make("fake-toothless", Verdict.PROVED, _proved, _proved),)


def raising() -> tuple[Claim, ...]:
    return (
        make("fake-raises", Verdict.PROVED, _raises),
        make("fake-control-raises", Verdict.PROVED, _proved, _raises),
        make("fake-fine", Verdict.PROVED, _proved),
    )


def _interrupted(budget: Budget) -> Finding:
    raise KeyboardInterrupt


def interrupting() -> tuple[Claim, ...]:
    return (
        make("fake-proved", Verdict.PROVED, _proved),
        make("fake-interrupted", Verdict.PROVED, _interrupted),
    )


def _logged(budget: Budget) -> Finding:
    from pathlib import Path

    assert budget.data_dir is not None
    with Path(budget.data_dir, "log").open("a") as log:
        log.write("checked\n")
    return _proved(budget)


def _interrupted_unless_told(budget: Budget) -> Finding:
    from pathlib import Path

    assert budget.data_dir is not None
    if not Path(budget.data_dir, "go").exists():
        raise KeyboardInterrupt
    return _proved(budget)


def interrupted_once() -> tuple[Claim, ...]:
    return (
        *good(),
        make("fake-logged", Verdict.PROVED, _logged),
        make("fake-interrupted", Verdict.PROVED, _interrupted_unless_told),
        make("fake-fine", Verdict.PROVED, _proved),
    )


def _slow(budget: Budget) -> Finding:
    import time
    from pathlib import Path

    assert budget.data_dir is not None
    Path(budget.data_dir, "started").touch()
    time.sleep(60)
    return _proved(budget)


def slow() -> tuple[Claim, ...]:
    return (
        make("fake-proved", Verdict.PROVED, _proved),
        make("fake-slow", Verdict.PROVED, _slow),
        make("fake-slow-too", Verdict.PROVED, _slow),
    )


def _killed(budget: Budget) -> Finding:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def dying() -> tuple[Claim, ...]:
    return (
        make("fake-proved", Verdict.PROVED, _proved),
        make("fake-killed", Verdict.PROVED, _killed),
    )


def twice() -> tuple[Claim, ...]:
    return (make("fake-proved", Verdict.PROVED, _proved),)


def _undrawable(budget: Budget) -> Finding:
    return conclude(
        Verdict.PROVED,
        "arithmetic",
        proof=[ProofStep("2 + 2 = 4", True, "difference is 0")],
        table=Table({"x": [1.0]}),
        plot=Plot("x", (Series("nowhere", "missing column"),), "x", "y", "a caption"),
    )


def undrawable() -> tuple[Claim, ...]:
    return (make("fake-undrawable", Verdict.PROVED, _undrawable),)


def _warns(budget: Budget) -> Finding:
    import warnings

    for _ in range(3):
        warnings.warn("a doubtful number", RuntimeWarning, stacklevel=1)
    return _proved(budget)


def warning() -> tuple[Claim, ...]:
    return (make("fake-warns", Verdict.PROVED, _warns),)


def threads() -> tuple[Claim, ...]:
    return (make("fake-threads", Verdict.PROVED, _threads),)


def _threads(budget: Budget) -> Finding:
    from threadpoolctl import threadpool_info

    counts = [pool["num_threads"] for pool in threadpool_info()]
    return conclude(
        Verdict.PROVED, "threads", comparisons=[Comparison("threads", 1.0, float(max(counts)))]
    )

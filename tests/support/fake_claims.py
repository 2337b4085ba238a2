"""Small claims of every kind, for tests of the runner, the reports and the exit status."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path

import numpy as np

from verification.claim import OURS, Claim, claim
from verification.evidence import Evidence
from verification.finding import Mark, Plot, ProofStep, Series, Table
from verification.verdict import Verdict

SETS = {
    "good": ("proved", "mean", "grid", "missing", "false"),
    "surprising": ("surprise", "fine"),
    "toothless": ("toothless",),
    "raising": ("raises", "control_raises", "fine"),
    "interrupting": ("proved", "interrupted"),
    "interrupted_once": (
        "proved",
        "mean",
        "grid",
        "missing",
        "false",
        "logged",
        "unless_told",
        "fine",
    ),
    "slow": ("proved", "slow_one", "slow_too"),
    "dying": ("proved", "killed"),
    "twice": ("twice",),
    "undrawable": ("undrawable",),
    "warning": ("warns",),
    "threads": ("threads",),
}
"""Claims of this module that a test runs together."""


def sources(*sets: str) -> tuple[str, ...]:
    """Where the claims of the named sets are, as `rolora.verify.registry.SOURCES` wants it."""
    return tuple(place for name in sets for place in places(name))


def places(name: str) -> list[str]:
    return [f"fake_claims:{claim}" for claim in SETS[name]] if name in SETS else [name]


def fake(
    claim_id: str, expected: Verdict = Verdict.PROVED, confirms: Verdict | None = None, **more
):
    """A claim whose check gathers `gather(evidence, false)`; the mutant is `false=True`."""

    def make(gather) -> Claim:
        def check(evidence: Evidence, *, false: bool = False, size: int = 1) -> None:
            gather(evidence, false)

        check.__module__ = __name__
        return claim(
            f"fake-{claim_id}",
            f"The claim called fake-{claim_id}",
            statement="For every x < y & z, the mean is ≤ 1.",
            latex=r"\frac{1}{n}\sum_i x_i \le 1 + \sqrt{\frac{\log(1/\alpha)}{2n}},\quad n \ge 1",
            source=OURS,
            section="fake",
            assumptions=("x is small", "y is not"),
            expected=expected,
            confirms=confirms,
            mutant={"false": True},
            says="two by two is five",
            order=next(order),
            **more,
        )(check)

    return make


order = iter(range(100))


def refute(evidence: Evidence) -> None:
    evidence.method("a false statement")
    evidence.equal("two by two", 5.0, 4.0)


def prove(evidence: Evidence, false: bool) -> None:
    if false:
        refute(evidence)
        return
    evidence.method("arithmetic")
    evidence.steps(ProofStep("2 + 2 = 4", True, "difference is 0"))


@fake("proved")
def proved(evidence, false):
    prove(evidence, false)


@fake("mean", Verdict.CONSISTENT, exact="the mean is exactly 1")
def mean(evidence, false):
    rng = evidence.budget.rng("fake-mean")
    samples = rng.standard_normal((40, 40)) @ rng.standard_normal((40, 200)) / 40 + 1.0
    evidence.method("8,000 simulated values")
    evidence.mean("mean of the samples", samples, equals=1.2 if false else 1.0, why="CLT")
    evidence.at_most("an upper bound", 3.0, 1.0, why="the bound uses a union bound")
    rows = [
        {"n": v, "bound": 3 / v, "seen": 1 / v, "low": 0.8 / v, "high": 1.3 / v, "kappa": k}
        for k in (0.5, 1.0)
        for v in (np.geomspace(1, 1000, 30) * k).tolist()
    ]
    plot = Plot(
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
    )
    evidence.table(rows, plot)


@fake("grid", Verdict.HOLDS_UNDER)
def grid(evidence, false):
    if false:
        refute(evidence)
        return
    rows = [
        {"kappa": k, "q": q, "rate": (1 - k) ** 2 + k * k * q, "threshold": 2 / k - 1}
        for k in np.linspace(0.1, 2, 20)
        for q in np.linspace(0.05, 2, 24)
    ]
    evidence.method("evaluated on a grid")
    evidence.equal("rate at κ = 1, q = 0.5", 0.5, 0.5)
    evidence.steps(ProofStep("the rate is quadratic in κ", True, "third difference is 0"))
    evidence.record(added_assumption="κ < 2/(1 + q)")
    evidence.note("above the line the mean square grows")
    plot = Plot(
        x="kappa",
        series=(Series("q", "rate per round"), Series("threshold", "stability threshold")),
        xlabel="step size κ",
        ylabel="dimension over pooled samples q",
        caption="Mean-square rate by step size and noise.",
        heat="rate",
    )
    evidence.table(rows, plot)


@fake("missing", Verdict.SUPPORTED)
def missing(evidence, false):
    evidence.open("put MNIST into DIR and give --data-dir DIR", method="needs data")


@fake("false", Verdict.REFUTED, Verdict.PROVED)
def false(evidence, false):
    if false:
        refute(evidence)
        return
    evidence.method("not a number")
    evidence.equal("a division", 1.0, float("nan"))
    evidence.record(counterexample="0/0")
    evidence.table([{"x": 1, "y": float("inf")}])


@fake("surprise")
def surprise(evidence, false):
    refute(evidence)


@fake("toothless")
def toothless(evidence, false):
    prove(evidence, False)


@fake("raises")
def raises(evidence, false):
    raise ZeroDivisionError("nothing divides by | zero <b>")


@fake("control-raises")
def control_raises(evidence, false):
    prove(evidence, false)
    if false:
        raise ZeroDivisionError("nothing divides by | zero <b>")


@fake("interrupted")
def interrupted(evidence, false):
    raise KeyboardInterrupt


@fake("logged")
def logged(evidence, false):
    if not false:
        with Path(evidence.budget.data_dir, "log").open("a") as log:
            log.write("checked\n")
    prove(evidence, false)


@fake("interrupted")
def unless_told(evidence, false):
    if not Path(evidence.budget.data_dir, "go").exists():
        raise KeyboardInterrupt
    prove(evidence, false)


def sleep(evidence, false):
    Path(evidence.budget.data_dir, "started").touch()
    time.sleep(60)
    prove(evidence, false)


slow_one = fake("slow")(sleep)
slow_too = fake("slow-too")(sleep)


@fake("killed")
def killed(evidence, false):
    os.kill(os.getpid(), signal.SIGKILL)


@fake("proved")
def twice(evidence, false):
    prove(evidence, false)


@fake("undrawable")
def undrawable(evidence, false):
    prove(evidence, false)
    evidence.table(
        Table({"x": [1.0]}),
        Plot("x", (Series("nowhere", "missing column"),), "x", "y", "a caption"),
    )


@fake("warns")
def warns(evidence, false):
    for _ in range(3):
        warnings.warn("a doubtful number", RuntimeWarning, stacklevel=1)
    prove(evidence, false)


@fake("threads")
def threads(evidence, false):
    from threadpoolctl import threadpool_info

    if false:
        refute(evidence)
        return
    evidence.method("threads")
    evidence.equal("threads", 1.0, max(pool["num_threads"] for pool in threadpool_info()))


@fake("fine")
def fine(evidence, false):
    prove(evidence, false)

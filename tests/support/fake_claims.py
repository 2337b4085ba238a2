"""Small claims of every kind, for tests of the runner, the reports and the exit status."""

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
    "good": "proved mean grid missing false",
    "surprising": "surprise fine",
    "open": "few",
    "argued": "argued",
    "toothless": "toothless",
    "unmeasured": "unmeasured",
    "stubborn": "stubborn",
    "raising": "raises control_raises fine",
    "interrupting": "proved interrupted",
    "interrupted_once": "proved mean grid missing false logged unless_told fine",
    "slow": "proved slow_one slow_too",
    "dying": "proved killed",
    "twice": "twice",
    "undrawable": "undrawable",
    "warning": "warns",
    "threads": "threads",
}
"""Claims of this module that a test runs together."""


def sources(*sets: str) -> tuple[str, ...]:
    """Where the claims of the named sets are, as `rolora.verify.registry.SOURCES` wants it."""
    return tuple(place for name in sets for place in places(name))


def places(name: str) -> list[str]:
    return [f"fake_claims:{claim}" for claim in SETS[name].split()] if name in SETS else [name]


def refute(evidence: Evidence) -> None:
    evidence.method("a false statement")
    evidence.equal("two by two", 5.0, 4.0)


def prove(evidence: Evidence) -> None:
    evidence.method("arithmetic")
    evidence.steps(ProofStep("2 + 2 = 4", True, "difference is 0"))


def fake(
    claim_id: str, expected=Verdict.PROVED, confirms=None, control=refute, positive=None, **more
):
    """A claim whose check gathers `gather(evidence)`.

    At the mutant, `false=True`, it gathers `control(evidence)`; where it must be confirmed, `true=True`,
    `positive(evidence)`.
    """
    if positive is not None:
        more |= {"positive": {"true": True}, "positive_says": "two by two is four"}

    def make(gather) -> Claim:
        def check(
            evidence: Evidence, *, false: bool = False, true: bool = False, size: int = 1
        ) -> None:
            (control if false else positive if true else gather)(evidence)

        check.__module__ = __name__
        return claim(
            f"fake-{claim_id}",
            f"The claim called fake-{claim_id}",
            statement="For every x < y & z, the mean is ≤ 1.",
            latex=r"\frac{1}{n}\sum_i x_i \le 1 + \sqrt{\frac{\log(1/\alpha)}{2n}},\quad n \ge 1",
            source=OURS,
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


proved = fake("proved")(prove)


@fake("mean", Verdict.CONSISTENT, exact="the mean is exactly 1")
def mean(evidence):
    rng = evidence.budget.rng("fake-mean")
    samples = rng.standard_normal((40, 40)) @ rng.standard_normal((40, 200)) / 40 + 1.0
    evidence.method("8,000 simulated values")
    evidence.mean("mean of the samples", samples, equals=1.0, why="CLT")
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
def grid(evidence):
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


def open_(evidence):
    evidence.not_run("put MNIST into DIR", command="rolora verify --data-dir DIR", cost="a minute")


missing = fake("missing", Verdict.SUPPORTED, control=open_)(open_)


@fake("false", Verdict.REFUTED, Verdict.PROVED, positive=prove)
def false(evidence):
    evidence.method("not a number")
    evidence.equal("a division", 1.0, float("nan"))
    evidence.equal("another", 1.0, float("inf"))
    evidence.record(counterexample="0/0")
    evidence.table([{"x": 1, "y": float("inf")}])


@fake("few", Verdict.CONSISTENT)
def few(evidence):
    evidence.method("9 simulated values")
    asked = evidence.ask(1.0, 9, lambda _alpha: (-1.0, 3.0))
    evidence.state("a mean that should exceed 0", asked, at_least=0.0, certify=True)


@fake("argued", Verdict.DERIVED)
def argued(evidence):
    prove(evidence)
    evidence.argued("the limit exists", because="it does")


def divide(evidence):
    raise ZeroDivisionError("nothing divides by | zero <b>")


def interrupt(evidence):
    raise KeyboardInterrupt


surprise = fake("surprise")(refute)
toothless = fake("toothless", control=prove)(prove)
"""A check that always says PROVED."""


def refute_by_proof(evidence: Evidence) -> None:
    evidence.method("arithmetic, and a measurement that sees nothing of it")
    evidence.steps(ProofStep("2 + 2 = 5", False, "difference is 1"))
    evidence.equal("two by two", 4.0, 4.0)


@fake("unmeasured", control=refute_by_proof)
def unmeasured(evidence):
    prove(evidence)
    evidence.equal("two by two", 4.0, 4.0)


stubborn = fake("stubborn", Verdict.REFUTED, Verdict.PROVED, positive=refute)(refute)
"""A check that always says REFUTED."""
raises = fake("raises", control=divide)(divide)
control_raises = fake("control-raises", control=divide)(prove)
interrupted = fake("interrupted")(interrupt)


@fake("logged")
def logged(evidence):
    with Path(evidence.budget.data_dir, "log").open("a") as log:
        log.write("checked\n")
    prove(evidence)


@fake("interrupted")
def unless_told(evidence):
    if not Path(evidence.budget.data_dir, "go").exists():
        raise KeyboardInterrupt
    prove(evidence)


def sleep(evidence):
    Path(evidence.budget.data_dir, "started").touch()
    time.sleep(60)
    prove(evidence)


slow_one = fake("slow")(sleep)
slow_too = fake("slow-too")(sleep)


@fake("killed")
def killed(evidence):
    os.kill(os.getpid(), signal.SIGKILL)


twice = fake("proved")(prove)


@fake("undrawable")
def undrawable(evidence):
    prove(evidence)
    series = (Series("nowhere", "missing column"),)
    evidence.table(Table({"x": [1.0]}), Plot("x", series, "x", "y", "a caption"))


@fake("warns")
def warns(evidence):
    for _ in range(3):
        warnings.warn("a doubtful number", RuntimeWarning, stacklevel=1)
    prove(evidence)


@fake("threads")
def threads(evidence):
    from threadpoolctl import threadpool_info

    evidence.method("threads")
    evidence.equal("threads", 1.0, max(pool["num_threads"] for pool in threadpool_info()))


fine = fake("fine")(prove)

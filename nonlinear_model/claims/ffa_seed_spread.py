"""Claim `ffa-seed-spread`: FFA-LoRA's result depends more on the seed than RoLoRA's."""

from __future__ import annotations

from math import sqrt

import numpy as np
from scipy import stats

from nonlinear_model.claims import study
from nonlinear_model.claims.study import Setting
from verification.budget import Budget
from verification.claim import PAPER
from verification.claim import OldClaim as Claim
from verification.finding import Comparison, Finding, Mark, Plot, Relation, Series, Table
from verification.paired_study import Rule
from verification.verdict import Verdict

ID = "ffa-seed-spread"


def spread_ratio(
    first: np.ndarray, second: np.ndarray, alpha: float
) -> tuple[float, tuple[float, float]]:
    """Ratio of two standard deviations of paired samples, with Pitman and Morgan's interval (1939).

    Exact for bivariate normal pairs; the pairs may be correlated, as runs of one seed are.

    Args:
        first, second: paired samples, shape (n,), n ≥ 3.
        alpha: error probability of the interval.
    """
    n = first.size
    w = float(first.var(ddof=1) / second.var(ddof=1))
    r = float(np.corrcoef(first, second)[0, 1])
    t = float(stats.t.isf(alpha / 2.0, n - 2))
    k = 1.0 + 2.0 * (1.0 - r**2) * t**2 / (n - 2)
    reach = sqrt(k**2 - 1.0)
    return sqrt(w), (sqrt(w * (k - reach)), sqrt(w * (k + reach)))


def check(budget: Budget) -> Finding:
    """Train both methods on many seeds and compare the spreads of their final accuracies."""
    return _check(budget, "ffa", "rolora")


def negative_control(budget: Budget) -> Finding:
    """That RoLoRA spreads more, judged by the same runs."""
    return _check(budget, "rolora", "ffa")


def _check(budget: Budget, wide: str, narrow: str) -> Finding:
    absent = study.missing(budget, ID)
    if absent is not None:
        return absent
    seeds = 24
    cell = Setting(5, 10, 60)
    found = {(method,): study.runs(budget, cell, method, seeds) for method in ("ffa", "rolora")}
    final = {method: result.scores() for (method,), result in found.items()}
    ratio, interval = spread_ratio(final[wide], final[narrow], study.ALPHA)
    comparison = Comparison(
        f"standard deviation over seeds of {wide}'s final accuracy, over {narrow}'s",
        theory=1.0,
        measured=ratio,
        relation=Relation.GE,
        interval=interval,
        certify=True,
        why=f"Pitman–Morgan interval, {seeds} seeds with the same split, start and batches",
    )
    rows = [
        {"seed_rank": place, "method": method, "accuracy": float(value)}
        for method, values in final.items()
        for place, value in enumerate(np.sort(values), start=1)
    ]
    verdict = Rule(study.ALPHA).standing([comparison])
    stds = {method: float(values.std(ddof=1)) for method, values in final.items()}
    said = f"the ratio is {ratio:.2f}, interval [{interval[0]:.2f}, {interval[1]:.2f}]"
    return Finding(
        verdict,
        study.describe(budget, seeds, (cell,)),
        (comparison,),
        trials=seeds,
        alpha=study.ALPHA,
        detectable=interval[1] / ratio - 1.0,
        seed=budget.seed,
        counterexample=said if verdict is Verdict.REFUTED else "",
        missing=f"more seeds: {said}" if verdict is Verdict.NOT_CHECKED else "",
        notes=(
            f"Standard deviations: FFA-LoRA {stds['ffa']:.4f}, RoLoRA {stds['rolora']:.4f};"
            f" ranges {np.ptp(final['ffa']):.3f} and {np.ptp(final['rolora']):.3f}.",
        ),
        table=Table.from_rows(rows),
        plot=Plot(
            x="seed_rank",
            series=(Series("accuracy", "final accuracy", Mark.POINTS),),
            xlabel="seeds, in the order of the result",
            ylabel="test accuracy",
            caption="Final test accuracy of every seed, sorted, at each method's best learning rate. FFA-LoRA"
            " keeps the A it was dealt, so its seed decides what B can reach; RoLoRA trains the luck away.",
            group="method",
        ),
    )


CLAIM = Claim(
    id=ID,
    title="FFA-LoRA depends on its seed",
    statement="Over seeds, the final accuracy of FFA-LoRA has a larger standard deviation than RoLoRA's.",
    latex=r"\mathrm{std}_{\mathrm{seed}}(\mathrm{FFA})>\mathrm{std}_{\mathrm{seed}}(\mathrm{RoLoRA})",
    source=f"{PAPER}, seed-to-seed deviations of the commonsense results",
    assumptions=(
        "two-layer network, images split by label over 5 clients",
        study.CHOSEN,
        "final accuracies near normal over seeds (for the interval)",
    ),
    expected=Verdict.SUPPORTED,
    check=check,
    negative_control=negative_control,
    control="RoLoRA spreads more than FFA-LoRA",
)

"""Claim `local-steps`: averaging more rarely hurts FFA-LoRA and leaves RoLoRA nearly unchanged."""

from __future__ import annotations

from nonlinear_model.claims import study
from nonlinear_model.claims.study import Setting
from verification.budget import Budget
from verification.claim import PAPER
from verification.claim import OldClaim as Claim
from verification.finding import Finding, Mark, Plot, Series, Table
from verification.paired_study import paired
from verification.verdict import Verdict

ID = "local-steps"
TOTAL = 400
"""Local steps of every run, K·T: more local steps mean fewer rounds, never more training."""
FEW, MANY = Setting(5, 1, TOTAL), Setting(5, 20, TOTAL // 20)


def check(budget: Budget) -> Finding:
    """Compare what 20 local steps instead of 1 cost each method, at the same number of steps in all."""
    return _check(budget)


def negative_control(budget: Budget) -> Finding:
    """That fewer averages make both methods more accurate, judged by the same runs."""
    return _check(budget, gain=True)


def _check(budget: Budget, gain: bool = False) -> Finding:
    absent = study.missing(budget, ID)
    if absent is not None:
        return absent
    # Both lose about the same: only many seeds tell such differences from a difference of 0.02.
    seeds = budget.pick(24, 40)
    methods = budget.pick(("rolora", "ffa"), ("rolora", "ffa", "fedavg"))
    found = {
        (cell.local_steps, method): study.runs(budget, cell, method, seeds)
        for cell in (FEW, MANY)
        for method in methods
    }
    cost = {
        method: found[FEW.local_steps, method].scores() - found[MANY.local_steps, method].scores()
        for method in methods
    }
    instead = "20 local steps instead of 1"
    pairs = (
        {f"accuracy that {instead} gain {method}": -cost[method] for method in ("rolora", "ffa")}
        if gain
        else {
            f"accuracy that {instead} cost ffa, more than rolora": cost["ffa"] - cost["rolora"],
            f"accuracy that {instead} cost ffa": cost["ffa"],
        }
    )
    comparisons = [paired(quantity, values, study.ALPHA / 2) for quantity, values in pairs.items()]
    return study.RULE.conclude(
        comparisons,
        study.describe(budget, seeds, (FEW, MANY)),
        missing=budget.pick(
            f"more seeds than this profile's {seeds}: `rolora verify --profile full --only {ID}"
            " --data-dir DIR` runs more of them, on MNIST",
            "",
        ),
        trials=seeds,
        seed=budget.seed,
        notes=(
            f"At {TOTAL} local steps in all, K = 20 instead of 1 costs "
            + ", ".join(f"{method} {values.mean():.3f}" for method, values in cost.items())
            + " of accuracy.",
        ),
        table=Table.from_rows(study.means_table(found, ("local_steps", "method"))),
        extra_tables={
            "seeds": Table.from_rows(study.scores_table(found, ("local_steps", "method")))
        },
        plot=Plot(
            x="local_steps",
            series=(Series("accuracy", "mean, 95 % interval", Mark.LINE, "low", "high"),),
            xlabel=f"local steps K between averages ({TOTAL} steps in all)",
            ylabel="test accuracy",
            caption="Final test accuracy when the clients average after every step or after every 20th, with"
            " the same number of steps in all. The claim asks that FFA-LoRA's line fall, and more steeply"
            " than RoLoRA's.",
            group="method",
            xlog=True,
        ),
    )


CLAIM = Claim(
    id=ID,
    title="More local steps between averages",
    statement="20 local steps a round instead of 1, at the same number of steps in all, make FFA-LoRA less"
    " accurate, and RoLoRA less so than FFA-LoRA.",
    latex=r"\mathrm{acc}_{K=1}(\mathrm{FFA})-\mathrm{acc}_{K=20}(\mathrm{FFA})>"
    r"\max\{0,\ \mathrm{acc}_{K=1}(\mathrm{RoLoRA})-\mathrm{acc}_{K=20}(\mathrm{RoLoRA})\}",
    source=f"{PAPER}, ablation on local steps (MNLI, 1 to 20)",
    assumptions=(
        "two-layer network, images split by label over 5 clients",
        f"{TOTAL} local steps in all: the number of samples stays constant",
        f"{study.CHOSEN}, for each K",
        study.COUNTS,
    ),
    expected=Verdict.REFUTED,
    check=check,
    negative_control=negative_control,
    control="20 local steps instead of 1 make both methods more accurate",
)

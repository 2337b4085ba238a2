"""Claim `early-A-matters`: a fifth of the rounds spent on A too, then FFA-LoRA, beats FFA-LoRA."""

from __future__ import annotations

from nonlinear_model.claims import study
from nonlinear_model.claims.study import Setting
from verification.budget import Budget
from verification.claim import PAPER
from verification.claim import OldClaim as Claim
from verification.finding import Finding, Mark, Plot, Series, Table
from verification.paired_study import paired
from verification.verdict import Verdict

ID = "early-A-matters"
EARLY, FROZEN, FULL = "rolora-then-ffa:20", "ffa", "rolora"


def check(budget: Budget) -> Finding:
    """Train both schedules in the paper's two splits and compare them seed by seed."""
    return _check(budget, EARLY, FROZEN)


def negative_control(budget: Budget) -> Finding:
    """The reverse statement, judged by the same runs."""
    return _check(budget, FROZEN, EARLY)


def _check(budget: Budget, better: str, worse: str) -> Finding:
    absent = study.missing(budget, ID)
    if absent is not None:
        return absent
    seeds = budget.pick(8, 10)
    # A fifth of the digits' rounds has to be long enough for A to learn something: 20 rounds.
    cells = budget.pick((Setting(5, 10, 100),), study.paper_settings(budget))
    found = {
        (cell.clients, method): study.runs(budget, cell, method, seeds)
        for cell in cells
        for method in (EARLY, FROZEN, FULL)
    }
    comparisons = [
        paired(
            f"{cell.clients} clients: accuracy of {better} minus {worse}",
            found[cell.clients, better].scores() - found[cell.clients, worse].scores(),
            study.ALPHA / len(cells),
        )
        for cell in cells
    ]
    rows = study.means_table(found, ("clients", "method"))
    share = {
        cell.clients: (
            found[cell.clients, EARLY].scores().mean() - found[cell.clients, FROZEN].scores().mean()
        )
        / (found[cell.clients, FULL].scores().mean() - found[cell.clients, FROZEN].scores().mean())
        for cell in cells
    }
    return study.RULE.conclude(
        comparisons,
        study.describe(budget, seeds, cells),
        trials=seeds,
        seed=budget.seed,
        notes=(
            "Of the way from FFA-LoRA to RoLoRA the early fifth makes "
            + " and ".join(f"{value:.0%} at {n} clients" for n, value in share.items())
            + ".",
        ),
        table=Table.from_rows(rows),
        extra_tables={"seeds": Table.from_rows(study.scores_table(found, ("clients", "method")))},
        plot=Plot(
            x="clients",
            series=(Series("accuracy", "mean, 95 % interval", Mark.POINTS, "low", "high"),),
            xlabel="clients, split by label",
            ylabel="test accuracy",
            caption="Final test accuracy when A trains never (ffa), in the first fifth of the rounds only, or"
            " in every other round (rolora). A frozen random A caps what B can reach; a few early rounds on A"
            " lift the cap.",
            group="method",
        ),
    )


CLAIM = Claim(
    id=ID,
    title="A fifth of the rounds on RoLoRA lifts FFA-LoRA's cap",
    statement="20 % of the rounds RoLoRA and then 80 % FFA-LoRA end more accurate than FFA-LoRA throughout.",
    latex=r"\mathrm{acc}(20\%\,\mathrm{RoLoRA}+80\%\,\mathrm{FFA})>\mathrm{acc}(\mathrm{FFA})",
    source=f"{PAPER}, ablation on freezing A early",
    assumptions=(
        "two-layer network, images split by label over 5 and 10 clients (quick profile: 5)",
        "same seeds, splits and rounds for both",
        study.CHOSEN,
        study.COUNTS,
    ),
    expected=Verdict.SUPPORTED,
    check=check,
    negative_control=negative_control,
    control="FFA-LoRA throughout is better",
)

"""Claim `schedule-balance`: training A and B equally often is best."""

from __future__ import annotations

from nonlinear_model.claims import study
from nonlinear_model.claims.study import Setting
from verification.budget import Budget
from verification.claim import PAPER
from verification.claim import OldClaim as Claim
from verification.finding import Finding, Mark, Plot, Series, Table
from verification.paired_study import paired
from verification.verdict import Verdict

ID = "schedule-balance"
SCHEDULES = {"b-heavy": 0.25, "rolora": 0.5, "a-heavy": 0.75}
"""Share of the rounds in which A trains."""


def check(budget: Budget) -> Finding:
    """Train the three schedules in the paper's two splits and compare them seed by seed."""
    return _check(budget, "rolora", ("a-heavy", "b-heavy"))


def negative_control(budget: Budget) -> Finding:
    """That training B three rounds in four is best, judged by the same runs."""
    return _check(budget, "b-heavy", ("rolora", "a-heavy"))


def _check(budget: Budget, best: str, others: tuple[str, ...]) -> Finding:
    absent = study.missing(budget, ID)
    if absent is not None:
        return absent
    seeds = budget.pick(12, 10)
    cells = budget.pick((Setting(10, 10, 60),), study.paper_settings(budget))
    found = {
        (cell.clients, method, share): study.runs(budget, cell, method, seeds)
        for cell in cells
        for method, share in SCHEDULES.items()
    }
    scores = {key[:2]: result.scores() for key, result in found.items()}
    comparisons = [
        paired(
            f"{cell.clients} clients: accuracy of {best} minus {other}",
            scores[cell.clients, best] - scores[cell.clients, other],
            study.ALPHA / (len(cells) * len(others)),
        )
        for cell in cells
        for other in others
    ]
    names = ("clients", "method", "share_of_A")
    return study.RULE.conclude(
        comparisons,
        study.describe(budget, seeds, cells),
        trials=seeds,
        seed=budget.seed,
        table=Table.from_rows(study.means_table(found, names)),
        extra_tables={"seeds": Table.from_rows(study.scores_table(found, names))},
        plot=Plot(
            x="share_of_A",
            series=(Series("accuracy", "mean, 95 % interval", Mark.POINTS, "low", "high"),),
            xlabel="share of the rounds that train A",
            ylabel="test accuracy",
            caption="Final test accuracy against how often A trains: one round in four, every other round"
            " (RoLoRA), three in four. Too little of A costs most. Without a base, A is the network's whole"
            " first layer, so more of it than RoLoRA gives can pay.",
            group="clients",
        ),
    )


CLAIM = Claim(
    id=ID,
    title="Balanced training of A and B against lopsided ones",
    statement="Training A and B in equally many rounds (RoLoRA) ends more accurate than three rounds of A for"
    " one of B, and than three of B for one of A.",
    latex=r"\mathrm{acc}(1{:}1)>\max\{\mathrm{acc}(3{:}1),\ \mathrm{acc}(1{:}3)\}",
    source=f"{PAPER}, ablation on the balance of A and B",
    assumptions=(
        "two-layer network, images split by label over 5 and 10 clients (quick profile: 10)",
        "same seeds, splits and rounds for all three schedules",
        study.CHOSEN,
        study.COUNTS,
    ),
    expected=Verdict.REFUTED,
    check=check,
    negative_control=negative_control,
    control="three rounds of B for one of A is best",
)

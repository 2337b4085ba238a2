"""Claim `mnist-gap-widens`: RoLoRA's lead grows from 5 clients to 10."""

from __future__ import annotations

from nonlinear_model.claims import study
from nonlinear_model.claims.study import Cell
from theory.budget import Budget
from theory.claim import PAPER, Claim
from theory.finding import Finding, Mark, Plot, Series, Table
from theory.verdict import Verdict

ID = "mnist-gap-widens"
FEW, MANY = Cell(5), Cell(10)
OTHERS = ("fedavg", "ffa")


def check(budget: Budget) -> Finding:
    """Compare RoLoRA's lead at 10 clients with its lead at 5, seed by seed."""
    return _check(budget, FEW, MANY)


def negative_control(budget: Budget) -> Finding:
    """That the lead shrinks, judged by the same runs."""
    return _check(budget, MANY, FEW)


def _check(budget: Budget, narrow: Cell, wide: Cell) -> Finding:
    absent = study.missing(budget, ID)
    if absent is not None:
        return absent
    seeds = budget.pick(8, 10)
    found = {
        (cell.clients, method): study.runs(budget, cell, method, seeds)
        for cell in (FEW, MANY)
        for method in ("rolora", *OTHERS)
    }
    scores = {key: result.scores() for key, result in found.items()}
    lead = {
        (n, other): scores[n, "rolora"] - scores[n, other]
        for n in (FEW.clients, MANY.clients)
        for other in OTHERS
    }
    comparisons = [
        study.paired(
            f"lead over {other} at {wide.clients} clients minus at {narrow.clients}",
            lead[wide.clients, other] - lead[narrow.clients, other],
            study.LEVEL / len(OTHERS),
        )
        for other in OTHERS
    ]
    return study.conclude(
        comparisons,
        study.describe(budget, seeds, (FEW, MANY)),
        trials=seeds,
        seed=budget.seed,
        notes=(
            "RoLoRA's lead: "
            + "; ".join(f"{d.mean():+.3f} over {other} at {n}" for (n, other), d in lead.items())
            + " clients.",
        ),
        table=Table.from_rows(study.means_table(found, ("clients", "method"))),
        extra_tables={"seeds": Table.from_rows(study.scores_table(found, ("clients", "method")))},
        plot=Plot(
            x="clients",
            series=(Series("accuracy", "mean, 95 % interval", Mark.LINE, "low", "high"),),
            xlabel="clients, split by label",
            ylabel="test accuracy",
            caption="Final test accuracy at 5 clients (2 labels each) and 10 (1 label each), each method at"
            " its own best learning rate. The gaps are what the claim is about: the distance between the lines.",
            group="method",
        ),
    )


CLAIM = Claim(
    id=ID,
    title="RoLoRA's lead from 5 to 10 clients",
    statement="RoLoRA's lead in final accuracy over FedAvg-LoRA, and over FFA-LoRA, is larger at 10 clients"
    " with one label each than at 5 clients with two.",
    latex=r"\mathrm{lead}_{N=10}>\mathrm{lead}_{N=5}",
    source=f"{PAPER}, two-layer network on MNIST",
    assumptions=(
        "two-layer network, images split by label over 5 and 10 clients",
        "each method at its own best learning rate of one grid; equal numbers of rounds",
    ),
    expected=Verdict.REFUTED,
    check=check,
    negative_control=negative_control,
    control="the lead is larger at 5 clients than at 10",
)

"""How far each rule's average is from the exact average of the clients' products, round by round."""

from typing import Any

import numpy as np

from linear_model import LocalSteps, Problem, simulate
from rolora.figures import Budget, Drawing, Table, by_round, distinct, figure, look, number, select
from rolora.figures.heterogeneity_loss import client_targets

D, CLIENTS, SAMPLES, SPREAD, KAPPA, START, ROUNDS = 20, 10, 200, 1.0, 0.2, 0.6, 60
LOCAL_STEPS = (1, 20)
METHODS = ("fedavg", "flexlora", "ffa", "rolora")
LINEAR_BELOW = 1e-5


def data(budget: Budget) -> Table:
    """Finite samples, unlike clients, one and many local steps."""
    trials = budget.pick(20, 200)
    targets = client_targets(SPREAD)
    largest = float(max(np.linalg.norm(b) for b in targets))
    problem = Problem(d=D, clients=CLIENTS, samples=SAMPLES, B_star=targets)
    how: dict[str, Any] = {"rounds": ROUNDS, "trials": trials, "seed": budget.seed, "start": START}
    rows: list[dict[str, Any]] = []
    for steps in LOCAL_STEPS:
        axes = ("figure aggregation-error", steps)
        for method in METHODS:
            rule = LocalSteps(method, kappa=KAPPA / largest**2, local_steps=steps)
            run = simulate(problem, rule, simulator="gram", axes=axes, **how)
            errors = run.aggregation_error[:, 1:]
            rows += by_round(errors, first=1, local_steps=steps, method=method)
    return Table.from_rows(rows)


def caption(table: Table) -> str:
    few, many = (select(table, local_steps=k, method="fedavg")["median"].max() for k in LOCAL_STEPS)
    ends = [select(table, local_steps=k, method="fedavg")["median"][-1] for k in LOCAL_STEPS]
    exact = max(
        select(table, local_steps=k, method=m)["high"].max()
        for k in LOCAL_STEPS
        for m in ("ffa", "rolora")
    )
    cut = [select(table, local_steps=k, method="flexlora")["median"][-1] for k in LOCAL_STEPS]
    n = int(table.columns["trials"][0])
    return (
        "Aggregation error ‖AB − mean(A_i B_i)‖ of the server's step on the linear model with "
        f"unlike clients (N = {CLIENTS}, m = {SAMPLES}, d = {D}; median and 5–95 % band of n = {n} "
        f"runs). FedAvg-LoRA's is largest at {number(few, 2)} with {LOCAL_STEPS[0]} local step and "
        f"at {number(many, 2)} with {LOCAL_STEPS[1]}: more local work pulls the factors further "
        f"apart. After {ROUNDS} rounds it is still {number(ends[0], 2)} and {number(ends[1], 2)}; "
        f"with {LOCAL_STEPS[0]} local step it even grows, because the gradient of A grows with B, "
        "which starts at 0, and unlike clients never stop pulling different ways. "
        "FlexLoRA averages the products and loses only what its SVD cuts off: "
        f"{number(cut[0], 2)} and {number(cut[1], 2)} after {ROUNDS} rounds. "
        "FFA-LoRA and RoLoRA share one factor in every round, so the mean "
        f"of the products is the product of the means: largest error of either {number(exact)}. "
        "With one local step the first round of all is exact: from B = 0 the gradient of A "
        "is zero, so all clients still hold the same A. The scale is linear below "
        f"{number(LINEAR_BELOW)}, so that 0 can be shown."
    )


@figure("aggregation-error", "Aggregation error over rounds", data=data, caption=caption, order=90)
def draw(table: Table, drawing: Drawing) -> None:
    """One panel per number of local steps."""
    counts = distinct(table, "local_steps")
    panels = drawing.subplots(1, len(counts), sharey=True)
    for axes, steps, letter in zip(panels, counts, "ab", strict=True):
        for method in METHODS:
            rows = select(table, local_steps=steps, method=method)
            style = look.of_method(method)
            look.band(axes, rows, "round", style)
            every = (3 * METHODS.index(method), 10)
            marks: dict[str, Any] = {"marker": style.marker, "markevery": every, "markersize": 4}
            axes.plot(rows["round"], rows["median"], **style.line(), **marks)
        axes.set_yscale("symlog", linthresh=LINEAR_BELOW)
        n = int(table.columns["trials"][0])
        title = f"({letter}) {steps} local step{'s' if steps > 1 else ''}, n = {n} runs"
        axes.set(ylim=(-0.2 * LINEAR_BELOW, 0.5), xlabel="round", title=title)
    panels[0].set_ylabel("aggregation error (Frobenius norm)")
    panels[1].legend(loc="center right", bbox_to_anchor=(1.0, 0.42))

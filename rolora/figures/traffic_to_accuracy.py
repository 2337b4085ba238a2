"""Accuracy against the numbers a client has sent: what a method costs, not what a round costs."""

from typing import Any

import numpy as np

from federated_lora import Shape
from rolora.figures import Budget, Drawing, Table, figure, look, mean, number, select
from rolora.plotting import network

CLIENTS, ROUNDS = 10, 90
METHODS = ("ffa", "fedavg", "flexlora", "rolora")
GOALS = (0.6, 0.7, 0.8, 0.85, 0.9)


def data(budget: Budget) -> Table:
    """Part `curve`: accuracy against numbers sent up. Part `goal`: numbers sent until a goal is met."""
    from federated_lora import method_named
    from nonlinear_model.data.registry import load

    rows: list[dict[str, Any]] = []
    config = network.configuration(budget, CLIENTS, rounds=ROUNDS)
    width = load(config.dataset, budget.data_dir).train_x.shape[1]
    shape = Shape(int(width), config.rank, config.hidden)

    def row(part: str, sent: int, accuracy: dict[str, float]) -> dict[str, Any]:
        place = {"part": part, "dataset": config.dataset, "method": method}
        return {**place, "sent": int(sent), **accuracy, "n": curve.shape[1]}

    for method, sweep in network.sweeps(budget, config, METHODS).items():
        rule = method_named(method, ROUNDS)
        spent = np.cumsum([0] + [rule.traffic([shape], t).up for t in range(1, ROUNDS + 1)])
        curve, rounds = sweep.curve(), np.array(sweep.rounds)
        for place, accuracy in zip(rounds, curve, strict=True):
            rows.append(row("curve", spent[place], mean(accuracy, "accuracy")))
        for goal in GOALS:
            reached = curve.mean(axis=1) >= goal
            if reached.any():
                sent = spent[rounds[reached.argmax()]]
                rows.append(row("goal", sent, dict.fromkeys(("accuracy", "low", "high"), goal)))
    return Table.from_rows(rows)


def caption(table: Table) -> str:
    cost = {m: _costs(table, m) for m in METHODS}
    both = sorted(set(cost["rolora"]) & set(cost["fedavg"]))
    first = select(table, part="curve", method="rolora")
    text = (
        f"Traffic to an accuracy: two-layer network on {first['dataset'][0]}, {CLIENTS} clients "
        f"split by label, {ROUNDS} rounds, mean and 95 % band over n = {int(first['n'][0])} seeds, "
        "each method at its best learning rate, chosen on other seeds. Only numbers sent up are "
        "counted; each round of RoLoRA or FFA-LoRA sends one factor, of FedAvg-LoRA or FlexLoRA two. "
    )
    if both:
        goal = both[-1]
        ours, theirs = cost["rolora"][goal], cost["fedavg"][goal]
        text += (
            f"To {number(goal)} RoLoRA needs {number(ours / 1e3, 3)} thousand numbers a client, "
            f"FedAvg-LoRA {number(theirs / 1e3, 3)} thousand: {number(theirs / ours, 3)} times as "
            "many. "
        )
    missed = [goal for goal in GOALS if goal not in cost["ffa"]]
    if missed:
        text += (
            f"FFA-LoRA never reaches {number(missed[0])} in mean, so its line ends or is missing "
            "in (b). "
        )
    ends = {m: select(table, part="curve", method=m)["sent"].max() for m in ("rolora", "ffa")}
    before, larger = ("before", "B") if ends["rolora"] < ends["ffa"] else ("after", "A")
    return text + (
        f"(b) shows when the mean first reaches a goal. In (a) RoLoRA's line ends {before} "
        f"FFA-LoRA's after the same {ROUNDS} rounds, because {larger} is the larger factor here "
        "and FFA-LoRA sends only B."
    )


def _costs(table: Table, method: str) -> dict[float, float]:
    try:
        goals = select(table, part="goal", method=method)
    except ValueError:
        return {}
    return dict(zip(goals["accuracy"].tolist(), goals["sent"].tolist(), strict=True))


@figure(
    "traffic-to-accuracy", "Traffic to reach an accuracy", data=data, caption=caption, order=120
)
def draw(table: Table, drawing: Drawing) -> None:
    """Left: accuracy over numbers sent. Right: what a goal costs."""
    left, right = drawing.subplots(1, 2)
    for method in METHODS:
        style = look.of_method(method)
        rows = select(table, part="curve", method=method)
        rows["sent"] = rows["sent"] / 1e3
        look.band(left, rows, "sent", style)
        left.plot(rows["sent"], rows["accuracy"], **style.line())
        try:
            goals = select(table, part="goal", method=method)
        except ValueError:  # this method met none
            continue
        costs = goals["sent"] / 1e3
        right.plot(goals["accuracy"], costs, linestyle=style.dash, **style.marked())
    sent, n = "thousand numbers sent by a client", int(table.columns["n"][0])
    left.set(xlabel=sent, ylabel=f"test accuracy (n = {n} seeds)", title="(a) accuracy for traffic")
    left.legend(loc="lower right")
    right.set(xlabel="accuracy wanted", ylabel=sent, title="(b) what a goal costs")
    right.set_ylim(bottom=0.0)

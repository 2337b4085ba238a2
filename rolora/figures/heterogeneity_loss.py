"""Loss over rounds when every client has its own b*: what interference costs each method."""

from typing import Any

import numpy as np

from linear_model import LocalSteps, Problem, simulate
from rolora.figures import Budget, Drawing, Table, distinct, figure, look, number, select

D, CLIENTS, LOCAL_STEPS, KAPPA, START, ROUNDS = 20, 10, 20, 0.4, 0.6, 2000
SPREADS = (0.5, 2.0)
SHOWN = sorted({*range(1, 121), *np.geomspace(120, ROUNDS, 60).astype(int).tolist()})
"""Every round while RoLoRA's staircase can be seen, then evenly on the logarithmic axis."""
LEAST = 1e-12
METHODS = ("ffa", "fedavg", "flexlora", "rolora")


def client_targets(spread: float) -> np.ndarray:
    """b_i* of every client, (N, 1, 2): mean of unit length, of different lengths and directions.

    The root mean square of each coordinate's deviation is `spread`. Lengths must differ: clients whose
    b_i* are equally long do not interfere in the limit (theory.md §10).
    """
    along = np.linspace(-1.0, 1.0, CLIENTS)
    along /= np.sqrt(np.mean(along**2))
    across = np.where(np.arange(CLIENTS) % 2 == 0, 1.0, -1.0)
    return np.stack([1.0 + spread * along, spread * across], axis=1)[:, None, :]


def data(budget: Budget) -> Table:
    """Excess risk over the best shared model, population limit, two amounts of heterogeneity."""
    rows: list[dict[str, Any]] = []
    how: dict[str, Any] = {"rounds": ROUNDS, "seed": budget.seed, "start": START}
    how["axes"] = ("figure heterogeneity-loss",)
    for spread in SPREADS:
        problem = Problem(d=D, clients=CLIENTS, B_star=client_targets(spread))
        # One step size for all methods, small enough for the client with the largest b*.
        largest = float(max(np.linalg.norm(b) for b in client_targets(spread)))
        for method in METHODS:
            rule = LocalSteps(method, kappa=KAPPA / largest**2, local_steps=LOCAL_STEPS)
            run = simulate(problem, rule, simulator="population", **how)
            found = {"excess": run.excess[0], "aggregation_error": run.aggregation_error[0]}
            for t in SHOWN:
                values = {name: curve[t] for name, curve in found.items()}
                rows.append({"spread": spread, "method": method, "round": t, **values})
    return Table.from_rows(rows)


def caption(table: Table) -> str:
    ends = {
        (s, m): select(table, spread=s, method=m)["excess"][-1] for s in SPREADS for m in METHODS
    }
    strong = SPREADS[-1]
    return (
        f"Excess risk over the best shared model when clients differ: N = {CLIENTS}, d = {D}, "
        f"{LOCAL_STEPS} local steps, population limit (no sampling noise, n = 1 deterministic "
        f"run), start sin θ = {START}, one step size for all methods. FFA-LoRA stops at the exact "
        f"floor sin²θ ‖b̄*‖² = {number(START**2, 3)} ‖b̄*‖². FedAvg-LoRA averages the two factors "
        "separately and pays interference: after a fast start its excess falls slowly, about like a "
        f"power of the round, and stops at {number(ends[SPREADS[0], 'fedavg'], 2)} in (a) and at "
        f"{number(ends[strong, 'fedavg'], 2)} in (b). Clients that follow the gradient flow "
        "to their own optimum would keep to the power law; the floor is the work of the finite step "
        "size, and more local steps do not lower it. FlexLoRA averages the products and soon cuts "
        f"nothing off, but stays at {number(ends[SPREADS[0], 'flexlora'], 2)} and "
        f"{number(ends[strong, 'flexlora'], 2)}: its clients end a round at unlike distances from "
        "their own optima, and the mean of where they end is not the best model; this gap "
        "vanishes as the local steps grow. RoLoRA's average "
        f"is exact in every round: it reaches {number(ends[SPREADS[0], 'rolora'], 2)} and "
        f"{number(ends[strong, 'rolora'], 2)}, drawn at {number(LEAST)} once below. It starts "
        "slower, because a round trains one factor; in (b) the step must be small enough for the "
        "client with the longest b*, and FedAvg-LoRA, which moves both factors, is ahead for the "
        "first rounds. Interference needs clients whose b* differ in length: with equal lengths "
        "it vanishes in the limit."
    )


@figure(
    "heterogeneity-loss", "Loss over rounds under heterogeneity", data=data, caption=caption, order=30,
)  # fmt: skip
def draw(table: Table, drawing: Drawing) -> None:
    """One panel per amount of heterogeneity."""
    panels = drawing.subplots(1, len(distinct(table, "spread")), sharey=True)
    for axes, spread, letter in zip(panels, distinct(table, "spread"), "ab", strict=True):
        for method in METHODS:
            rows = select(table, spread=spread, method=method)
            seen = np.maximum(rows["excess"], LEAST)
            axes.plot(rows["round"], seen, **look.of_method(method).line())
        axes.axhline(START**2, color="black", linewidth=0.8, linestyle=":", label="exact FFA floor")
        title = f"({letter}) clients differ by {spread:g} ‖b̄*‖"
        axes.set(xscale="log", yscale="log", xlabel="round", title=title)
    panels[0].set_ylabel("excess risk / ‖b̄*‖²")
    panels[1].legend(loc="lower left")

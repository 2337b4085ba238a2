"""Angle distance over rounds: simulations, population limit and the paper's bound; three methods."""

from typing import Any

import numpy as np

from linear_model import Algorithm2, LocalSteps, Problem, simulate
from rolora.figures import Budget, Drawing, Table, by_round, figure, look, number, select
from theory.recovery import recovery_theorem

D, CLIENTS, SAMPLES, KAPPA, START = 50, 10, 100, 0.5, 0.95
ROUNDS, LOCAL_STEPS, LOCAL_ROUNDS = 40, 5, 60
METHODS = ("ffa", "fedavg", "flexlora", "rolora")


def data(budget: Budget) -> Table:
    """Algorithm 2 by three simulators with the bound; the practical methods with K local steps."""
    trials = {"population": 1}
    problem = Problem(d=D, clients=CLIENTS, samples=SAMPLES)
    begun: dict[str, Any] = {"seed": budget.seed, "start": START}
    rows: list[dict[str, Any]] = []
    for simulator in ("data", "chain", "population"):
        axes = ("angle-over-rounds", simulator)
        sizes = {"rounds": ROUNDS, "trials": trials.get(simulator, budget.pick(40, 400))}
        options = {"simulator": simulator, "axes": axes, **sizes, **begun}
        run = simulate(problem, Algorithm2(kappa=KAPPA), **options)
        rows += _rows("algorithm2", simulator, run.angle)
    squared = recovery_theorem.promised_contraction(START, KAPPA)
    bound = START * squared ** (np.arange(ROUNDS + 1) / 2)
    rows += _rows("algorithm2", "bound", bound[None, :])
    mixed = Problem(d=D, clients=CLIENTS, samples=SAMPLES, B_star=_client_targets())
    for method in METHODS[::-1]:
        rule = LocalSteps(method, kappa=0.3, local_steps=LOCAL_STEPS)
        axes = ("angle-over-rounds", "methods")
        options = {"simulator": "population", "rounds": LOCAL_ROUNDS, "axes": axes, **begun}
        run = simulate(mixed, rule, **options)
        rows += _rows(method, "population", run.angle)
    return Table.from_rows(rows)


def _client_targets() -> np.ndarray:
    """One b_i* per client, (N, 1, N): around a mean of norm 1, each √(1 − 1/N)/2 away from it."""
    mean = np.zeros(CLIENTS)
    mean[0] = 1.0
    spread = np.eye(CLIENTS) - 1.0 / CLIENTS
    return (mean + 0.5 * spread)[:, None, :]


def _rows(method: str, source: str, angle: np.ndarray) -> list[dict[str, Any]]:
    sizes = {"d": D, "clients": CLIENTS, "samples": SAMPLES}
    return by_round(angle, method=method, source=source, **sizes)


def caption(table: Table) -> str:
    literal = select(table, method="algorithm2", source="data")
    bound = select(table, method="algorithm2", source="bound")
    last = int(literal["round"][-1])
    fedavg = select(table, method="fedavg")["median"][-1]
    flex, ours = (select(table, method=m)["median"][-1] for m in ("flexlora", "rolora"))
    return (
        f"Angle distance over rounds, d = {D}, N = {CLIENTS} clients, start sin θ = {START}, κ = "
        f"{KAPPA}. (a) Algorithm 2 with m = {SAMPLES} samples per client: median and 5–95 % band "
        f"of n = {int(literal['trials'][0])} runs on literal data, the exact one-dimensional "
        f"chain, the population limit and the paper's bound. After {last} rounds the angle is "
        f"{number(literal['median'][-1], 2)} where the bound promises "
        f"{number(bound['median'][-1], 2)}: the bound uses the starting angle's contraction in "
        "every round, while the true rate improves as the angle shrinks. Finite samples slow the "
        "rate a little but leave no floor, because the noise is proportional to the angle. (b) "
        f"The practical methods with {LOCAL_STEPS} local steps, population limit, clients with "
        f"different b*: FFA-LoRA keeps its starting angle for ever; after {LOCAL_ROUNDS} rounds "
        f"RoLoRA is at {number(ours, 2)}, FedAvg-LoRA at {number(fedavg, 2)} and FlexLoRA at "
        f"{number(flex, 2)}. A round of RoLoRA trains one factor and sends half as much. The angles "
        "of the other two are small too: what hurts them is the product, shown in the figure on "
        "heterogeneous clients."
    )


@figure(
    "angle-over-rounds", "Angle distance over rounds, with the paper's bound",
    data=data, caption=caption, order=10,
)  # fmt: skip
def draw(table: Table, drawing: Drawing) -> None:
    """Left: Algorithm 2 against the bound. Right: the practical methods."""
    left, right = drawing.subplots(1, 2, sharey=False)
    bound = select(table, method="algorithm2", source="bound")
    left.plot(bound["round"], bound["median"], color="black", linestyle=":", label="paper's bound")
    limit = select(table, method="algorithm2", source="population")
    left.plot(limit["round"], limit["median"], color="black", label="population, m = ∞")
    literal = select(table, method="algorithm2", source="data")
    rolora = look.of_method("rolora")
    look.band(left, literal, "round", rolora)
    simulated = {"color": rolora.colour, "linestyle": "--", "label": "data"}
    left.plot(literal["round"], literal["median"], **simulated)
    chain = select(table, method="algorithm2", source="chain")
    points = {**rolora.points(), "label": "exact chain"}
    left.plot(chain["round"][::4], chain["median"][::4], **points)
    left.set_title(f"(a) Algorithm 2, n = {int(literal['trials'][0])} runs")
    left.legend(loc="lower left")
    for method in METHODS:
        rows = select(table, method=method, source="population")
        right.plot(rows["round"], rows["median"], **look.of_method(method).line())
    right.set_title("(b) local steps, unlike clients")
    right.legend(loc="lower left")
    for axes in (left, right):
        axes.set(yscale="log", xlabel="round")
    left.set_ylabel("angle distance sin θ")

"""How many rounds the recovery theorem asks for, and how many are needed, as the width grows."""

from typing import Any

import numpy as np

from linear_model import Algorithm2, Problem, simulate
from rolora.figures import Budget, Drawing, Table, figure, look, number, select
from theory.recovery import recovery_theorem

WIDTHS = (10, 30, 100, 300, 1000, 10_000, 100_000, 1_000_000)
CLIENTS, POOLED_PER_WIDTH, KAPPA, EPSILON, MOST_ROUNDS = 10, 100, 0.5, 1e-6, 150
STARTS: dict[str, str | float] = {"random": "random", "warm": 0.5}


def data(budget: Budget) -> Table:
    """Hitting times of ε by the exact chain, beside the theorem's T from each trial's own start."""
    trials = budget.pick(200, 2000)
    how: dict[str, Any] = {"rounds": MOST_ROUNDS, "trials": trials, "seed": budget.seed}
    rows: list[dict[str, Any]] = []
    for d in WIDTHS:
        samples = max(3, POOLED_PER_WIDTH * d // CLIENTS)
        problem = Problem(d=d, clients=CLIENTS, samples=samples)
        for name, start in STARTS.items():
            how |= {"start": start, "axes": ("figure theorem-tightness", d, name)}
            run = simulate(problem, Algorithm2(kappa=KAPPA), simulator="chain", **how)
            hit = run.angle <= EPSILON
            if not hit.any(axis=1).all():
                raise ValueError(f"{MOST_ROUNDS} rounds must suffice at d = {d}, they did not")
            needed = hit.argmax(axis=1)
            asked = recovery_theorem.rounds_bound(run.angle[:, 0], EPSILON, KAPPA, log=np.log)
            row: dict[str, Any] = {"start": name, "d": d, "samples": samples, "trials": trials}
            found = {"needed": needed, "asked": asked, "ratio": asked / needed}
            for quantity, values in found.items():
                low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
                row |= {quantity: middle, f"{quantity}_low": low, f"{quantity}_high": high}
            rows.append(row)
    return Table.from_rows(rows)


def caption(table: Table) -> str:
    random, warm = select(table, start="random"), select(table, start="warm")
    return (
        f"Tightness of the recovery theorem: ε = {number(EPSILON)}, κ = {KAPPA}, N = {CLIENTS} clients "
        f"with {POOLED_PER_WIDTH} pooled samples per unit of width; median and 5–95 % band of n = "
        f"{int(random['trials'][0])} runs of the exact chain a point. From a random start the "
        "theorem's T grows linearly in d, because it uses the starting angle's factor 1 − (δ⁰)² ≈ "
        "1/d in every round; the iteration escapes at a rate that does not depend on d and needs "
        f"{number(random['needed'][0])} rounds at d = {int(random['d'][0])} and "
        f"{number(random['needed'][-1])} at d = {int(random['d'][-1]):,}: logarithmic growth. The "
        f"ratio goes from {number(random['ratio'][0], 2)} to {number(random['ratio'][-1], 2)}; its "
        "band is wide because a random start's distance from the worst angle varies. From a warm "
        f"start (δ⁰ = {STARTS['warm']}) the ratio is about {number(warm['ratio'][-1], 2)} at every "
        "width."
    )


@figure(
    "theorem-tightness", "The theorem's T over the rounds needed, against width",
    data=data, caption=caption, order=50, height=2.9,
)  # fmt: skip
def draw(table: Table, drawing: Drawing) -> None:
    """Left: rounds asked for and needed. Right: their ratio."""
    left, right = drawing.subplots(1, 2)
    random, warm = look.of_method("rolora"), look.of_method("fedavg")
    # The rounds needed from the two starts are close: their points stand beside each other.
    for name, style, label, aside in (
        ("random", random, "random start", 0.8),
        ("warm", warm, "warm start", 1.25),
    ):
        rows = select(table, start=name)
        left.plot(rows["d"], rows["asked"], **{**style.line(), "label": f"theorem, {label}"})
        look.band(left, rows, "d", style, "asked")
        needed = {**style.points(), "label": f"needed, {label}"}
        left.plot(aside * rows["d"], rows["needed"], **needed)
        right.plot(rows["d"], rows["ratio"], linestyle=style.dash, **style.marked())
        look.band(right, rows, "d", style, "ratio")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="input width d")
    left.set_title(f"(a) rounds, n = {int(table.columns['trials'][0])} runs a point")
    left.set_ylabel(r"rounds to $\sin\theta \leq 10^{-6}$")
    right.set(title="(b) how loose the bound is", ylabel="theorem's T ÷ rounds needed")
    look.below(drawing, [left], 2)

"""FFA-LoRA's loss against the angle its frozen factor starts at, with the exact line."""

from typing import Any

import numpy as np

from linear_model import Algorithm2, FFALeastSquares, Problem, simulate
from rolora.figures import Budget, Drawing, Table, figure, look, mean, number, select
from theory.frozen_factor import ffa_floor

D, CLIENTS, SAMPLES, ROUNDS, KAPPA = 30, 4, 20, 40, 0.7
ANGLES = tuple(float(x) for x in np.geomspace(0.02, 0.98, 9))
SIZES = (4, 6, 10, 20, 50, 100)


def data(budget: Budget) -> Table:
    """Part `angle`: loss against the start. Part `size`: the constant against samples per client."""
    return Table.from_rows([*_by_angle(budget), *_by_size(budget)])


def _row(part: str, method: str, x: float, samples: np.ndarray, theory: float) -> dict[str, Any]:
    place = {"part": part, "method": method, "clients": CLIENTS, "x": x}
    return {**place, **mean(samples), "theory": theory, "n": len(samples)}


def _by_angle(budget: Budget) -> list[dict[str, Any]]:
    trials = budget.pick(400, 4000)
    problem = Problem(d=D, clients=CLIENTS, samples=SAMPLES)
    rows = []
    for index, start in enumerate(ANGLES):
        for method, rounds in ((FFALeastSquares(), 1), (Algorithm2(kappa=KAPPA), ROUNDS)):
            axes = ("figure ffa-floor", method.name, index)
            how: dict[str, Any] = {"rounds": rounds, "seed": budget.seed, "start": start}
            how["trials"] = trials if rounds == 1 else trials // 10
            run = simulate(problem, method, simulator="gram", axes=axes, **how)
            floor = start**2 * (1 + ffa_floor.fresh_constant(CLIENTS, SAMPLES))
            theory = float(floor) if rounds == 1 else 0.0
            rows.append(_row("angle", method.name, start, run.excess[:, -1], theory))
    return rows


def _by_size(budget: Budget) -> list[dict[str, Any]]:
    """The two losses that carry the same name, per (δ⁰)² ||b*||², straight from the samples."""
    trials = budget.pick(40_000, 100_000)
    rows = []
    for samples in SIZES:
        rng = budget.rng("figure ffa-floor", "size", samples)
        along = rng.standard_normal((trials, CLIENTS, samples))
        across = rng.standard_normal((trials, CLIENTS, samples))
        gg, gh, hh = (
            np.einsum("tnm,tnm->tn", x, y) / samples
            for x, y in ((along, along), (along, across), (across, across))
        )
        rho = (gh / gg).mean(axis=1)
        # With c = 0 and s = 1 the loss is per (δ⁰)²: b = ρ̄ is what least squares finds.
        training = ffa_floor.loss_in_frame(rho[:, None], 0.0, 1.0, gg, gh, hh).mean(axis=1)
        fresh = 1.0 + rho**2
        for name, losses, theory in (
            ("training", training, ffa_floor.training_constant(CLIENTS, samples)),
            ("fresh", fresh, ffa_floor.fresh_constant(CLIENTS, samples)),
        ):
            rows.append(_row("size", name, samples, losses - 1.0, float(theory)))
    return rows


def caption(table: Table) -> str:
    frozen = select(table, part="angle", method="ffa-ls")
    ours = select(table, part="angle", method="algorithm2")
    off = np.max(np.abs(frozen["measured"] / frozen["theory"] - 1.0))
    small = select(table, part="size", method="fresh", x=SIZES[0])
    return (
        "FFA-LoRA's floor on the linear model. (a) Expected loss on new samples, with B found by "
        f"least squares for a frozen A (N = {CLIENTS}, m = {SAMPLES}, d = {D}, n = "
        f"{int(frozen['n'][0])} runs a point), and the exact line (δ⁰)²(1 + 1/(N(m−2))): they "
        f"agree within {number(100 * off, 2)} %. RoLoRA from the same starts is at most "
        f"{number(ours['measured'].max(), 2)} after {ROUNDS} rounds (mean of n = "
        f"{int(ours['n'][0])}): its loss has no floor. (b) The constant c̃ of the paper's (1 + "
        "c̃)(δ⁰)². Read on new samples it is positive, the price of estimating b; read on the "
        "training samples it is negative, because least squares also fits part of what it cannot "
        f"learn; with the fewest samples it turns back towards zero, because the clients' b then "
        "differ so much that their mean fits none of them. Bars are 95 % intervals of n = "
        f"{int(small['n'][0]):,} draws, smaller than the "
        f"markers from m = 10 on; at m = {SIZES[0]} the constant on new samples is "
        f"{number(small['theory'][0], 3)}."
    )


@figure(
    "ffa-floor", "FFA-LoRA's floor against its initial angle, with the exact line",
    data=data, caption=caption, order=20,
)  # fmt: skip
def draw(table: Table, drawing: Drawing) -> None:
    """Left: loss against the starting angle. Right: the constant c̃ against m."""
    left, right = drawing.subplots(1, 2)
    frozen = select(table, part="angle", method="ffa-ls")
    ours = select(table, part="angle", method="algorithm2")
    left.plot(frozen["x"], frozen["theory"], color="black", label="exact floor")
    for name, rows in (("ffa", frozen), ("rolora", ours)):
        left.plot(rows["x"], rows["measured"], **look.of_method(name).points())
    left.set(
        xscale="log", yscale="log", title=f"(a) what a frozen A costs, n = {int(frozen['n'][0])}"
    )
    left.set(xlabel=r"starting angle distance $\delta^0$", ylabel="expected loss / ‖b*‖²")
    left.legend(loc="center left", bbox_to_anchor=(0.0, 0.6))
    colours = [look.of_method(name).colour for name in ("ffa", "flexlora")]
    for name, style in (
        ("fresh", look.Look("new samples", colours[0], "-", "o")),
        ("training", look.Look("training samples", colours[1], "--", "s")),
    ):
        rows = select(table, part="size", method=name)
        line = {**style.line(), "label": f"exact, {style.label}"}
        right.plot(rows["x"], rows["theory"], **line)
        look.measured(right, rows, "x", style, label=f"measured, {style.label}")
    right.axhline(0.0, color="black", linewidth=0.6)
    right.set_xscale("log")
    right.set_xticks(SIZES, [str(m) for m in SIZES])
    right.minorticks_off()
    n = int(select(table, part="size", method="fresh")["n"][0])
    right.set(xlabel="samples per client m", title=f"(b) the constant, n = {n:,}")
    right.set_ylabel(r"constant $\tilde{c}$ in $(1+\tilde{c})\,(\delta^0)^2$")
    right.legend(loc="upper right")

"""Where the angle stops when labels are noisy: against the noise, and against the pooled samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from linear_model import Algorithm2, Problem, simulate
from rolora.figures import look
from rolora.figures.figure import Figure
from rolora.figures.tidy import select
from rolora.numbers import number
from theory import noise as noise_theory
from theory.evidence import mean_estimate
from theory.finding import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from theory.budget import Budget

D, CLIENTS, KAPPA, ROUNDS, OUTPUTS = 20, 5, 0.5, 40, 3
NOISES = tuple(float(x) for x in np.geomspace(0.01, 1.0, 7))
SIZES = (20, 40, 80, 160, 320)
SAMPLES, NOISE = 40, 0.2
LEVEL = 0.05


def data(budget: Budget) -> Table:
    """Mean squared angle after enough rounds, independent trials, fresh data."""
    trials = budget.pick(150, 2000)
    cells = [("noise", SAMPLES, noise) for noise in NOISES]
    cells += [("samples", samples, NOISE) for samples in SIZES]
    rows: list[dict[str, Any]] = []
    for part, samples, noise in cells:
        target = np.zeros(OUTPUTS)
        target[0] = 1.0
        problem = Problem(d=D, clients=CLIENTS, samples=samples, noise=noise, B_star=target)
        run = simulate(
            problem,
            Algorithm2(kappa=KAPPA),
            simulator="gram",
            rounds=ROUNDS,
            trials=trials,
            seed=budget.seed,
            start=0.3,
            axes=("figure noise-floor", part, samples, round(1e6 * noise)),
        )
        found = mean_estimate(np.square(run.angle[:, -1]), LEVEL)
        theory = noise_theory.floor(KAPPA, noise, 1.0, D, CLIENTS, samples)
        rows.append(
            {
                "part": part,
                "samples": samples,
                "pooled": CLIENTS * samples,
                "noise": noise,
                "trials": trials,
                "measured": np.sqrt(found.mean),
                "low": np.sqrt(max(found.interval[0], 0.0)),
                "high": np.sqrt(found.interval[1]),
                "theory": np.sqrt(float(theory)),
            }
        )
    return Table.from_rows(rows)


def draw(table: Table, drawing: Drawing) -> None:
    """Left: against σ. Right: against the pooled samples."""
    left, right = drawing.subplots(1, 2, sharey=True)
    style = look.of_method("rolora")
    for axes, part, x, label in (
        (left, "noise", "noise", r"label noise $\sigma/\|b^*\|$"),
        (right, "samples", "pooled", "pooled samples Nm"),
    ):
        rows = select(table, part=part)
        axes.plot(rows[x], rows["theory"], color="black", label="first-order formula")
        axes.errorbar(
            rows[x],
            rows["measured"],
            yerr=[rows["measured"] - rows["low"], rows["high"] - rows["measured"]],
            fmt=style.marker,
            color=style.colour,
            markerfacecolor="white",
            label="measured",
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(label)
    left.set_ylabel("root mean square angle distance")
    left.set_title(f"(a) Nm = {CLIENTS * SAMPLES}")
    right.set_title(f"(b) σ = {NOISE} $\\|b^*\\|$")
    left.legend(loc="upper left")


def caption(table: Table) -> str:
    """What is seen, with the numbers of the table."""
    noise, samples = select(table, part="noise"), select(table, part="samples")
    small = np.max(np.abs(noise["measured"][:4] / noise["theory"][:4] - 1.0))
    last = noise["measured"][-1] / noise["theory"][-1]
    slope = np.polyfit(np.log(samples["pooled"]), np.log(samples["measured"]), 1)[0]
    return (
        f"Noise floor of RoLoRA: root mean square angle after {ROUNDS} rounds, fresh data, d = "
        f"{D}, "
        f"N = {CLIENTS}, κ = {KAPPA}, n = {int(noise['trials'][0])} independent runs a point "
        "with 95 % "
        "intervals. (a) The floor is proportional to the label noise; up to σ = "
        f"{number(noise['noise'][3], 2)} ‖b*‖ measurement and first-order formula differ by at "
        "most "
        f"{number(100 * small, 2)} %. At σ = {number(noise['noise'][-1], 2)} ‖b*‖ the measured "
        "floor is "
        f"{number(last, 3)} times the formula: noise in the averaged least-squares step "
        "lengthens b̄ and with it "
        "the effective step, which the first order leaves out, and an angle distance cannot "
        "exceed 1. "
        "(b) At fixed noise the floor falls with the pooled samples with exponent "
        f"{number(slope, 3)} "
        "(fitted; theory −1/2 to first order): more clients help as much as more data per client."
    )


FIGURE = Figure(
    "noise-floor",
    "The floor that label noise sets, against σ and pooled samples",
    data,
    draw,
    caption,
)

"""Which step sizes contract, over pooled samples per width: measured rate and exact threshold."""

from typing import Any

import numpy as np

from linear_model import Algorithm2, Problem, simulate
from rolora.figures import Budget, Drawing, Table, figure, look, number, select
from rolora.plotting import style
from rolora.plotting.claim_plot import edges
from theory.samples import mean_square_rate

D, SAMPLES, SMALL_ANGLE = 64, 8, 1e-6
CLIENTS = (4, 6, 8, 12, 16, 24, 32, 64, 128, 256)
STEPS = tuple(float(k) for k in np.linspace(0.1, 2.2, 15))
SPLITS = ((1, 128), (4, 32), (16, 8), (32, 4))
PATTERN = tuple(0.1 * k for k in range(2, 15))
COMPARED = 3


def data(budget: Budget) -> Table:
    """Part `phase`: one-step mean-square rate on a grid. Part `split`: the same pool split differently."""
    trials = budget.pick(1500, 20_000)
    rows = []
    for clients in CLIENTS:
        rows += [_row("phase", clients, SAMPLES, kappa, trials, budget) for kappa in STEPS]
    for clients, samples in SPLITS:
        rows += [_row("split", clients, samples, kappa, 4 * trials, budget) for kappa in PATTERN]
    return Table.from_rows(rows)


def _row(
    part: str, clients: int, samples: int, kappa: float, trials: int, budget: Budget
) -> dict[str, Any]:
    problem = Problem(d=D, clients=clients, samples=samples)
    axes = ("figure pooled-samples", part, clients, samples, round(1000 * kappa))
    how: dict[str, Any] = {"rounds": 1, "trials": trials, "seed": budget.seed, "start": SMALL_ANGLE}
    run = simulate(problem, Algorithm2(kappa=kappa), simulator="chain", axes=axes, **how)
    rate = np.square(run.angle[:, 1] / run.angle[:, 0])
    q = mean_square_rate.noise_ratio(D, clients, samples)
    place = {"part": part, "clients": clients, "samples": samples}
    place |= {"pooled_per_width": clients * samples / D, "kappa": kappa, "trials": trials}
    return place | {
        "rate": float(rate.mean()),
        "error": float(rate.std(ddof=1) / np.sqrt(trials)),
        "theory": float(mean_square_rate.rate_squared(kappa, q)),
        "threshold": float(mean_square_rate.threshold_kappa(q)),
        "best": float(mean_square_rate.optimal_kappa(q)),
    }


def caption(table: Table) -> str:
    phase, split = select(table, part="phase"), select(table, part="split")
    off = np.max(np.abs(phase["rate"] / phase["theory"] - 1.0))
    ends = [
        select(table, part="split", clients=n, kappa=PATTERN[COMPARED])["rate"][0]
        for n, _ in SPLITS
    ]
    listed = ", ".join(number(value, 3) for value in ends)
    return (
        "Pooled samples decide. (a) Measured factor on the mean square angle in one round near θ "
        f"= 0, d = {D}, m = {SAMPLES} samples per client (far fewer than d), N from {CLIENTS[0]} "
        f"to {CLIENTS[-1]} clients, n = {int(phase['trials'][0])} draws of the exact chain a cell. "
        "The lighter a cell, the faster the angle shrinks; the black line, beyond which it grows, "
        "is the exact threshold κ = 2/(1 + q), q ≈ d/(Nm), the dashed one the best step. Measured "
        f"and exact rates differ by at most {number(100 * off, 2)} %, sampling error. (b) The same "
        f"{SPLITS[0][0] * SPLITS[0][1]} "
        f"samples split among 1 to {SPLITS[-1][0]} clients (n = {int(split['trials'][0])} a point, "
        f"bars of two standard errors, lines exact): at κ = {PATTERN[COMPARED]:.1f} the rates are "
        f"{listed}. Only with very few samples per client does the split show, through the "
        "variance 1/(N(m − 2)) of the averaged least-squares step. The theorem's condition on the "
        "samples of each single client is not needed. A typical run can still shrink slightly "
        "beyond the line, since the mean square is dominated by rare large steps."
    )


@figure(
    "pooled-samples", "Pooled samples against width: phase picture",
    data=data, caption=caption, order=60, height=3.0,
)  # fmt: skip
def draw(table: Table, drawing: Drawing) -> None:
    """Left: the phase picture. Right: one pool of samples, split among 1 to 32 clients."""
    left, right = drawing.subplots(1, 2, gridspec_kw={"width_ratios": (1.2, 1.0)})
    phase = select(table, part="phase")
    steps, pools = np.unique(phase["kappa"]), np.unique(phase["pooled_per_width"])
    values = np.full((pools.size, steps.size), np.nan)
    rows = np.searchsorted(pools, phase["pooled_per_width"])
    columns = np.searchsorted(steps, phase["kappa"])
    values[rows, columns] = np.log10(phase["rate"])
    shades: dict[str, Any] = {"cmap": f"{style.SEQUENCE}_r", "vmin": -1.5, "vmax": 1.0}
    sides = edges(steps.tolist(), log=False), edges(pools.tolist(), log=True)
    mesh = left.pcolormesh(*sides, values, **shades, linewidth=0)
    bar = drawing.colorbar(mesh, ax=left, pad=0.02)
    bar.set_label(r"$\log_{10}\,\mathrm{E}[s_+^2]/s^2$ in one round")
    one = select(table, part="phase", kappa=steps[0])
    left.plot(one["threshold"], one["pooled_per_width"], color="black", label="exact: rate 1")
    left.plot(one["best"], one["pooled_per_width"], "--", color="black", label="exact: best step")
    left.set(yscale="log", ylim=(pools[0], pools[-1]), xlim=(steps[0], steps[-1]))
    left.grid(False)
    left.set(xlabel="step size κ", ylabel="pooled samples per width, Nm/d")
    left.set_title(f"(a) n = {int(phase['trials'][0])} a cell")
    split = list(dict.fromkeys(select(table, part="split")["clients"].tolist()))
    styles = [look.of_method(m) for m in ("rolora", "fedavg", "ffa", "flexlora")]
    for own, clients in zip(styles, split, strict=True):
        rows_of = select(table, part="split", clients=clients)
        right.plot(rows_of["kappa"], rows_of["theory"], color=own.colour, linestyle=own.dash)
        label, error = f"N = {clients}, m = {int(rows_of['samples'][0])}", 2 * rows_of["error"]
        look.bars(right, rows_of["kappa"], rows_of["rate"], own, yerr=error, label=label)
    right.set(xlabel="step size κ", ylabel=r"$\mathrm{E}[s_+^2]/s^2$ in one round")
    n = int(select(table, part="split")["trials"][0])
    right.set_title(f"(b) one pool split, n = {n}")
    look.below(drawing, (left, right), 3)

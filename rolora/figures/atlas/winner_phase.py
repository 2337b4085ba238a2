"""Which of the paper's three methods is ahead, over how unlike clients are and how much data they have."""

from math import inf
from typing import Any

import numpy as np

from rolora.figures import Budget, Drawing, Table, figure, look, number, select

METHODS = ("rolora", "fedavg", "ffa")
PANELS = {"equal exchanges": "(a) equal exchanges", "equal traffic": "(b) equal traffic"}
PROBLEM: dict[str, Any] = {"d": 50, "clients": 5, "kappa": 0.9}
EXCHANGES = 24


def data(budget: Budget) -> Table:
    """One row per panel and point: the three errors and the least."""
    from linear_model.prediction.phase import errors_after
    from linear_model.prediction.setting import Setting

    rows: list[dict[str, Any]] = []
    size = budget.pick(13, 25)
    for heterogeneity in np.geomspace(0.003, 1.0, size):
        for samples in np.unique(np.round(np.geomspace(3, 1e6, size))):
            setting = Setting(
                **PROBLEM,
                samples=int(samples),
                heterogeneity=float(heterogeneity),
                seed=budget.seed,
            )
            for panel, errors in errors_after(setting, EXCHANGES, budget.pick(64, 256)).items():
                first = min(errors, key=lambda name: errors[name])
                told = {name: -1.0 if value == inf else value for name, value in errors.items()}
                place = {
                    "panel": panel,
                    "heterogeneity": float(heterogeneity),
                    "samples": int(samples),
                }
                rows.append({**place, "winner": first, **told})
    return Table.from_rows(rows)


def caption(table: Table) -> str:
    shares = {
        panel: {
            name: float(np.mean(select(table, panel=panel)["winner"] == name)) for name in METHODS
        }
        for panel in PANELS
    }
    said = "; ".join(
        f"{panel}: "
        + ", ".join(f"{look.LABELS[m]} {number(100 * share, 2)} %" for m, share in of.items())
        for panel, of in shares.items()
    )
    return (
        f"Who has the smaller model error: linear model, d = {PROBLEM['d']}, {PROBLEM['clients']} clients,"
        f" κ = {PROBLEM['kappa']}, random start, no label noise. (a) After {EXCHANGES} exchanges with the"
        " server, of which a round of RoLoRA's Algorithm 2 takes two and one of FedAvg-LoRA with local optima"
        " one; (b) after as many numbers sent, which is as many rounds of both. Shares of the points:"
        f" {said}. Left of the dotted line m < d: clients' local optima are not unique, so FedAvg-LoRA has no"
        " formula and does not compete. RoLoRA's error ends at a floor that falls like one over the root of"
        " the pooled samples and is proportional to the spread; FedAvg-LoRA's interference does not know of"
        " samples, is quadratic in the spread and falls like one over the rounds: so RoLoRA needs clients"
        " that differ, and samples to average."
    )


@figure(
    "winner-phase", "Who is ahead: unlike clients against samples",
    data=data, caption=caption, order=140, height=3.1,
)  # fmt: skip
def draw(table: Table, drawing: Drawing) -> None:
    """One marker a point, in the colour and the form of the method that is ahead."""
    axes = drawing.subplots(1, 2, sharey=True)
    for panel, ax in zip(PANELS, axes, strict=True):
        rows = select(table, panel=panel)
        for name in METHODS:
            here = rows["winner"] == name
            style = look.of_method(name)
            form: dict[str, Any] = {"linestyle": "none", "markersize": 3.4, "label": style.label}
            form |= {"color": style.colour, "marker": style.marker}
            ax.plot(rows["samples"][here], rows["heterogeneity"][here], **form)
        ax.axvline(PROBLEM["d"], color="0.4", linewidth=0.8, linestyle=":")
        ax.set(xscale="log", yscale="log", xlabel="samples per client and half-step, m")
        ax.set_title(PANELS[panel])
        ax.grid(visible=False)
    axes[0].set_ylabel("spread of the clients' targets")
    look.below(drawing, axes[:1], 3)

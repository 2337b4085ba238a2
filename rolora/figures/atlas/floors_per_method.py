"""What every method keeps in the end, one hardship at a time."""

from typing import Any

import numpy as np

from federated_lora import method_named, method_names
from rolora.figures import Drawing, Table, distinct, figure, look, number, select, table_of

PANELS = ("targets", "local steps", "covariates", "labels", "privacy", "participation")
NOTHING = 1e-6
"""Excess risk below which nothing is left, as in claim method-floors."""
SETTLED = 0.1
"""Relative change in the last half of a run without chance, beyond which it has not settled."""
LIMITS = 8e-7, 2.0


def kinds(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Which rows are drawn how; of a random hardship, where intervals have a width, a mean is a floor."""
    excess, halfway = rows["excess"].astype(float), rows["halfway"].astype(float)
    diverges = np.isinf(excess)
    nothing = excess <= NOTHING
    with np.errstate(invalid="ignore", divide="ignore"):
        still = np.abs(halfway / excess - 1.0) <= SETTLED
    floor = ~diverges & ~nothing & (still | (rows["high"] > rows["low"]))
    exact = rows["kind"] == "closed form"
    return {"closed form": exact, "floor": floor, "moving": ~(diverges | nothing | floor),
        "nothing": nothing, "diverges": diverges}  # fmt: skip


def caption(table: Table) -> str:
    every = select(table)
    found = kinds(every)
    counts = {kind: int(some.sum()) for kind, some in found.items()}

    def listed(hardship: str, kind: str) -> str:
        some = (every["hardship"] == hardship) & found[kind]
        return ", ".join(_label(name) for name in every["method"][some]) or "none"

    def kept(method: str, hardship: str) -> str:
        excess = float(select(table, method=method, hardship=hardship)["excess"][0])
        return number(excess, 2) if excess > NOTHING else "nothing"

    frozen = select(table, method="ffa")["excess"]
    missing = len(distinct(table, "method")) * len(PANELS) - len(every["method"])
    left_out = f" No mark: not run ({missing}); the full profile runs all." if missing else ""
    return (
        "Excess risk over the best model at which each method settles in one small problem (d = 4, rank 1,"
        " four clients with targets of lengths 0.67 to 1.55), one hardship at a time; targets are"
        " equal for labels and privacy, and covariates come with five local steps. Drawn is the table of"
        f" claim method-floors, whose {len(every['method'])} cells are: {counts['floor']} floors,"
        f" {counts['closed form']} of them with a closed form (cross);"
        f" {counts['nothing']} with nothing left (excess at most {number(NOTHING)});"
        f" {counts['moving']} still moving by more than {number(100 * SETTLED)} % in the last half of the run"
        f" (open); {counts['diverges']} diverging. Intervals are of mean squares over random runs. A frozen A"
        f" keeps {number(frozen.min(), 2)} or more throughout. Different targets leave RoLoRA"
        f" {kept('rolora', 'targets')}, FedAvg-LoRA {kept('fedavg', 'targets')}, and FlexLoRA, whose mean of"
        f" products is exact, {kept('flexlora', 'targets')}; local steps leave FedAvg-LoRA"
        f" {kept('fedavg', 'local steps')} and RoLoRA {kept('rolora', 'local steps')}; unlike covariances"
        f" leave RoLoRA {kept('rolora', 'covariates')}. Nothing is left under those to:"
        f" {listed('covariates', 'nothing')}; with two of the four clients a round to:"
        f" {listed('participation', 'nothing')}; with noisy labels to: {listed('labels', 'nothing')};"
        f" with noise on what is sent to: {listed('privacy', 'nothing')}. Diverging under different targets:"
        f" {listed('targets', 'diverges')}.{left_out}"
    )


def _label(key: str) -> str:
    (name,) = (name for name in method_names() if name.split(":", 1)[0] == key)
    return method_named(name, 100).label


@figure(
    "floors-per-method", "Where every method settles, one hardship at a time",
    data=table_of("method-floors"), caption=caption, order=160, height=4.4,
)  # fmt: skip
def draw(table: Table, drawing: Drawing) -> None:
    """A panel a hardship, a row a method, the excess risk to the right."""
    axes = drawing.subplots(1, len(PANELS), sharey=True, sharex=True)
    every = select(table)
    order = [
        str(every["method"][every["place"] == place][0]) for place in sorted({*every["place"]})
    ]
    for hardship, ax in zip(PANELS, axes, strict=True):
        rows = select(table, hardship=hardship)
        _panel(ax, rows, np.array([order.index(name) for name in rows["method"]]))
        ax.set_title(hardship, fontsize=8, loc="center")
        ax.set(xscale="log", xlim=LIMITS)
        ax.set_xlabel("excess risk", fontsize=7.5)
        ax.set_xticks([1e-5, 1e-3, 1e-1], ["$10^{-5}$", "$10^{-3}$", "$10^{-1}$"])
        ax.minorticks_off()
        ax.tick_params(axis="x", labelsize=6.5)
    axes[0].set_yticks(range(len(order)), [_label(name) for name in order], fontsize=7)
    for ax in axes[1:]:
        ax.tick_params(axis="y", length=0)
    axes[0].set_ylim(len(order) - 0.4, -0.6)
    layout: Any = drawing.get_layout_engine()
    layout.set(w_pad=0.01, wspace=0.02)
    look.below(drawing, [_legend(axes[0])], 5)


MARKS: dict[str, dict[str, Any]] = {
    "floor": {"marker": "o", "color": look.of_method("rolora").colour, "label": "floor"},
    "closed form": {"marker": "x", "color": look.THEORY, "markersize": 6, "label": "closed form"},
    "moving": {"marker": "o", "color": "0.45", "markerfacecolor": "white", "label": "still moving"},
    "nothing": {"marker": "|", "color": "0.45", "markersize": 7, "label": "nothing left"},
    "diverges": {"marker": ">", "color": look.of_method("fedavg").colour, "label": "diverges"},
}  # fmt: skip


def _panel(ax: Any, rows: dict[str, np.ndarray], y: np.ndarray) -> None:
    at = {"nothing": np.full(len(y), 2 * LIMITS[0]), "diverges": np.full(len(y), LIMITS[1] / 3)}
    at["closed form"] = rows["stated"]
    for kind, some in kinds(rows).items():
        x = at.get(kind, rows["excess"])
        form = {**MARKS[kind], "linestyle": "none", "label": None, "clip_on": kind != "closed form"}
        ax.plot(x[some], y[some], **form, zorder=3 if kind == "closed form" else 2)
        if kind == "floor":
            ax.hlines(y[some], rows["low"][some], rows["high"][some], color=form["color"])


def _legend(ax: Any) -> Any:
    for form in MARKS.values():
        ax.plot([], [], linestyle="none", **form)
    return ax

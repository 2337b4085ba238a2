"""Where the angle goes for every step size: contraction or plateau; and the lemma's exact range."""

from typing import Any

import numpy as np

from rolora.figures import Budget, Drawing, Table, figure, look, number, select
from theory.population import plateau, population_map
from theory.recovery import recovery_theorem

LARGEST, BURN_IN, SHOWN = 6.0, 4000, 8


def data(budget: Budget) -> Table:
    """Part `limit`: the last angles of many rounds. Part `rate`: one round near θ = 0."""
    rng = budget.rng("figure step-size-phase")
    steps = np.linspace(0.02, LARGEST, budget.pick(300, 1200))
    tangent = rng.uniform(0.2, 2.0, size=steps.size)
    for _ in range(BURN_IN):
        tangent = population_map.next_tangent(tangent, steps)
    rows: list[dict[str, Any]] = []
    for _ in range(SHOWN):
        tangent = population_map.next_tangent(tangent, steps)
        rows += [
            _row("limit", kappa, t / np.hypot(1.0, t))
            for kappa, t in zip(steps, tangent, strict=True)
        ]
    for kappa in np.linspace(2.0, LARGEST, 200):
        squared = float(plateau.plateau_tangent_squared(kappa))
        rows.append(_row("plateau", kappa, np.sqrt(squared / (1 + squared))))
    tiny = 1e-9
    for kappa in np.linspace(0.0, 2.0, 101):
        rows.append(_row("rate", kappa, population_map.next_tangent(tiny, kappa) / tiny))
        promised = recovery_theorem.promised_contraction(0.0, kappa)
        rows.append(_row("lemma", kappa, np.sqrt(max(promised, 0.0))))
    return Table.from_rows(rows)


def _row(part: str, kappa: float, value: float) -> dict[str, Any]:
    return {"part": part, "kappa": float(kappa), "value": float(value)}


def caption(table: Table) -> str:
    limit, formula = select(table, part="limit"), select(table, part="plateau")
    below = limit["value"][limit["kappa"] < 1.99].max()
    at = np.searchsorted(formula["kappa"], 3.0)
    return (
        f"What the step size does, population limit. (a) Angle distance in the last {SHOWN} of "
        f"{BURN_IN + SHOWN} rounds from a random start, for {len(set(limit['kappa']))} step sizes. "
        "Below κ = 2 the angle goes to zero (largest value left for κ < 1.99: "
        f"{number(below, 2)}). Above, it neither converges nor blows up, it locks to the plateau "
        f"tan²θ = (κ − 2)/(κ + 2), at κ = 3 sin θ = {number(formula['value'][at], 3)}. Dotted lines: "
        "κ = 3/2, where the lemma's range ends; κ = 2, where convergence ends; and κ = 2√2, where "
        "the plateau attracts fastest. Larger steps are useless but harmless: "
        "normalising A keeps the iteration bounded. (b) The true factor per round at small angles "
        "against the one the contraction lemma promises. They cross at κ = 3/2: beyond it "
        "(shaded) the lemma is false although the method still converges up to κ = 2. κ uses the "
        "true gradient, factor 2 included."
    )


@figure(
    "step-size-phase", "Step sizes: contraction, plateau and the lemma's range",
    data=data, caption=caption, order=40,
)  # fmt: skip
def draw(table: Table, drawing: Drawing) -> None:
    """Left: the bifurcation picture. Right: true factor per round against the lemma's."""
    left, right = drawing.subplots(1, 2, gridspec_kw={"width_ratios": (1.35, 1.0)})
    limit = select(table, part="limit")
    colour = look.of_method("rolora").colour
    dots: dict[str, Any] = {"color": colour, "markersize": 3, "label": f"last {SHOWN} rounds"}
    left.plot(limit["kappa"], limit["value"], ".", **dots)
    formula = select(table, part="plateau")
    left.plot(formula["kappa"], formula["value"], "--", color="black", label="exact plateau")
    for kappa, text in ((1.5, "3/2"), (2.0, "2"), (np.sqrt(8.0), r"$2\sqrt{2}$")):
        left.axvline(kappa, ymax=0.8, color="0.55", linewidth=0.6, linestyle=":")
        left.text(kappa + 0.05, 0.03, text, fontsize=7, color="0.25")
    left.set(xlabel="step size κ = 2η‖b*‖²", ylabel="limiting angle distance sin θ")
    left.set_title("(a) where the angle goes")
    left.legend(loc="upper left")
    true, lemma = select(table, part="rate"), select(table, part="lemma")
    right.plot(true["kappa"], true["value"], color=colour, label="exact, |1 − κ|")
    right.plot(lemma["kappa"], lemma["value"], "--", color="black", label="lemma, √(1 − κ/2)")
    crossing = 1.5
    right.axvline(crossing, color="0.55", linewidth=0.6, linestyle=":")
    right.axvspan(crossing, 2.0, color="0.9", zorder=0)
    right.text(1.53, 0.04, "lemma\nfalse", ha="left", va="bottom", fontsize=7, color="0.25")
    right.set(xlabel="step size κ", ylabel="factor on sin θ per round, θ → 0")
    right.set(title="(b) the contraction lemma", ylim=(-0.02, 1.35))
    right.legend(loc="upper left")

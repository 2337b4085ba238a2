"""How RoLoRA's lead over another method changes from 5 clients to 10: for two claims."""

import numpy as np

from nonlinear_model.study import analysis
from nonlinear_model.study.analysis import ahead
from nonlinear_model.study.design import LOCAL, PAPER_CLIENTS, point
from verification.evidence import Evidence
from verification.finding import Mark, Plot, Series
from verification.statistics import mean_estimate

FEW, MANY = PAPER_CLIENTS


def widening(
    evidence: Evidence, other: str, local: tuple[str, ...], by: float, *, narrows: bool = False
) -> None:
    """Compare RoLoRA's lead at 10 clients with its lead at 5, at every number of local steps.

    Args:
        evidence: gathers what is found.
        other: the method RoLoRA leads over.
        local: which of the study's local steps.
        by: by how much the lead should grow.
        narrows: whether it is said to shrink instead.
    """
    points = analysis.map_points(PAPER_CLIENTS, local)
    places = {}
    for steps in dict.fromkeys(p[2] for p in points):
        few, many = (ahead(point(n, steps), "rolora", other) for n in (FEW, MANY))
        first, last = (MANY, FEW) if narrows else (FEW, MANY)
        quantity = f"lead over {other} at {last} clients minus that at {first}"
        places[f"K={steps}"] = [(quantity, few - many if narrows else many - few)]
    analysis.over_places(evidence, places, of=len(LOCAL), by=by)
    evidence.method(analysis.method_of(points))
    rows = []
    for own in points:
        found = mean_estimate(ahead(own, "rolora", other), 0.05)
        low, high = found.interval
        rows.append(analysis.place_of(own) | {"lead": found.mean, "low": low, "high": high})
    evidence.table(rows, PLOT)
    sign = -1.0 if narrows else 1.0
    grown = {name: sign * float(np.mean(values)) for name, ((_, values),) in places.items()}
    evidence.note(
        "In the mean: " + ", ".join(f"{name} {value:+.3f}" for name, value in grown.items()) + "."
    )


PLOT = Plot(
    x="local_steps",
    series=(Series("lead", "lead, 95 % interval", Mark.POINTS, "low", "high"),),
    xlabel="local steps K between averages",
    ylabel="RoLoRA's lead in test accuracy",
    caption="MNIST split by label, equal rounds: RoLoRA's accuracy minus the other method's, each at the"
    " learning rate that other seeds chose for it, at 5 and at 10 clients. The claim asks that the lead at 10"
    " lie above the lead at 5.",
    group="clients",
    xlog=True,
)

"""Claim `drift-correction`: what taking the clients' drift out of RoLoRA's gradients wins, over whom."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from nonlinear_model.study import analysis
from nonlinear_model.study.analysis import EQUALITIES, Places, ahead, short
from nonlinear_model.study.design import ALPHA, DIFFERENCE
from nonlinear_model.study.drift import CLIENTS, COMPARISONS, DRIFT, MAP, OURS, RIVALS, ROUNDS
from verification.claim import OURS as SOURCE
from verification.claim import Evidence, Mark, Plot, Series, Verdict, claim
from verification.names import one_of
from verification.paired_study import Point
from verification.statistics import mean_estimate

BEHIND = DIFFERENCE / 10
"""By how much the control's runs are behind."""
PICTURED = 10
"""Clients of the picture, or the nearest number picked."""


@claim(
    "drift-correction",
    "RoLoRA with control variates over four rivals",
    statement="With MNIST split by label, RoLoRA with control variates is ahead in test accuracy of RoLoRA,"
    " of FedAvg-LoRA with and without control variates, and of FFA-LoRA.",
    latex=r"\mathrm{acc}(\mathrm{RoLoRA\text{-}CV})>\mathrm{acc}(\mathrm{rival})",
    source=SOURCE,
    section="network",
    assumptions=(
        "two-layer network, MNIST split by label over 5, 10 and 20 clients, plain SGD, batch 16",
        "25 or 200 local steps or one epoch; all clients or half of them in a round",
        "at equal rounds or at equal numbers sent, up and down together",
        *analysis.DECIDED,
    ),
    expected=Verdict.HOLDS_UNDER,
    confirms=Verdict.SUPPORTED,
    mutant={"planted": True},
    says="runs like the study's in which RoLoRA with control variates is behind by 0.002 everywhere, a tenth"
    " of a lead worth telling, of as many seeds as see that",
    exact="at equal rounds its mean is ahead of RoLoRA's, FedAvg-LoRA's and FFA-LoRA's everywhere; of"
    " FedAvg-LoRA's with control variates only where 10 or 20 clients all take part, and behind where half of"
    " them do; at equal numbers sent it is ahead of both FedAvg-LoRA's everywhere, and mostly behind"
    " FFA-LoRA's where control variates travel",
    order=275,
)
def check(
    evidence: Evidence,
    *,
    rivals: tuple[str, ...] = RIVALS,
    clients: tuple[int, ...] = CLIENTS,
    local: tuple[str, ...] = tuple(ROUNDS),
    equality: str = "both",
    lead: float = 0.0,
    planted: bool = False,
) -> None:
    """Compare it with each rival at every place of the drift study.

    Args:
        evidence: gathers what is found.
        rivals: whom it is compared with.
        clients, local: which of the study's numbers of clients and of local steps.
        equality: `rounds`, `numbers sent`, or `both`.
        lead: demanded accuracy of the better method over the other.
        planted: whether it is set `BEHIND` behind everywhere; False for the study's own runs.
    """
    one_of("equality", equality, (*EQUALITIES, "both"))
    for rival in rivals:
        one_of("rivals", rival, RIVALS)
    points = analysis.map_points(clients, local, MAP)
    lead_at = _planted if planted else _found
    places = {
        f"{rival}: {short(point, DRIFT)}, equal {kind}": [
            (f"accuracy of {OURS} minus {rival}", lead_at(point, rival, kind))
        ]
        for rival in rivals
        for kind in (EQUALITIES if equality == "both" else (equality,))
        for point in points
    }
    analysis.over_places(evidence, places, of=COMPARISONS, by=lead, rule=ByRival)
    evidence.method(analysis.method_of(points, DRIFT))
    evidence.note(*analysis.rates_at_an_edge(DRIFT))
    evidence.table(_pictured(points, rivals), PLOT)
    for rival in rivals:
        rows = analysis.lead_rows(points, OURS, rival, DRIFT, COMPARISONS)
        evidence.extra_table(f"over-{rival}", rows)
        evidence.note(f"Over {rival}: {analysis.resolved_note(rows)}")
    evidence.extra_table("means", analysis.mean_rows(points, (OURS, *rivals), DRIFT))


def _found(point: Point, rival: str, kind: str, more: float = 0.0) -> np.ndarray:
    """Leads, seed by seed, with so much more for ours."""
    return ahead(point, OURS, rival, kind, DRIFT, raised=OURS, by=more)


def _planted(point: Point, rival: str, kind: str) -> np.ndarray:
    """Leads of -`BEHIND`, of as many seeds as tell them from 0."""
    there = _found(point, rival, kind, -BEHIND - _found(point, rival, kind).mean())
    return analysis.repeated(
        there, lambda v: mean_estimate(v, ALPHA / COMPARISONS).interval, 1.8 * BEHIND
    )


class ByRival(Places):
    """Places counted rival by rival; those where it fails or is open, where few, by name."""

    @staticmethod
    def where(holds: Sequence[str], fails: Sequence[str], unsure: Sequence[str]) -> str:
        """How many places hold, fail and are open, rival by rival."""
        counts = [
            Counter(place.partition(":")[0] for place in own) for own in (holds, fails, unsure)
        ]
        said = []
        for rival in RIVALS:
            won, lost, left = (count[rival] for count in counts)
            if not won + lost + left:
                continue
            said.append(
                f"over {rival} at {won} of {won + lost + left} places, behind at {lost}, open at {left}"
            )
        return "; ".join(said)


def _pictured(points: Sequence[Point], rivals: Sequence[str]) -> list[dict[str, Any]]:
    """A row a rival and number of local steps: leads at equal rounds, everybody taking part or half."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for point in points:
        if point[1] != min((p[1] for p in points), key=lambda n: abs(n - PICTURED)):
            continue
        share = "all" if point[4] == 1.0 else "half"
        for rival in rivals:
            found = mean_estimate(ahead(point, OURS, rival, "rounds", DRIFT), 0.05)
            row = {"rival": rival, **analysis.place_of(point, DRIFT)}
            row.pop(DRIFT.axes[-1])
            row = rows.setdefault((rival, point[2]), row)
            row |= {share: found.mean, f"{share}_low": found.interval[0]}
            row[f"{share}_high"] = found.interval[1]
    return [*rows.values()]


PLOT = Plot(
    x="local_steps",
    series=(
        Series("all", "everybody takes part", Mark.POINTS, "all_low", "all_high"),
        Series("half", "half of the clients", Mark.DASHED),
    ),
    xlabel="local steps K between averages",
    ylabel="lead of RoLoRA with control variates",
    caption=f"MNIST split by label over {PICTURED} clients, equal rounds: test accuracy of RoLoRA with"
    " control variates minus that of each rival, each at the learning rate that other seeds chose for it;"
    " mean and, where everybody takes part, 95 % interval. The tables have the other settings, and equal"
    " numbers sent.",
    group="rival",
    xlog=True,
)

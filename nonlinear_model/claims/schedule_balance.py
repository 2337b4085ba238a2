"""Claim `schedule-balance`: training A and B equally often is best."""

from __future__ import annotations

from nonlinear_model.claims import study
from nonlinear_model.claims.study import Setting
from verification.claim import PAPER, claim
from verification.evidence import Evidence
from verification.finding import Mark, Plot, Series
from verification.names import one_of
from verification.paired_study import lead as ahead
from verification.verdict import Verdict

SCHEDULES = {"b-heavy": 0.25, "rolora": 0.5, "a-heavy": 0.75}
"""Share of the rounds in which A trains."""


@claim(
    "schedule-balance",
    "Balanced training of A and B against lopsided ones",
    statement="Training A and B in equally many rounds (RoLoRA) ends more accurate than three rounds of A for"
    " one of B, and than three of B for one of A.",
    latex=r"\mathrm{acc}(1{:}1)>\max\{\mathrm{acc}(3{:}1),\ \mathrm{acc}(1{:}3)\}",
    source=f"{PAPER}, ablation on the balance of A and B",
    section="network",
    assumptions=(
        "two-layer network, images split by label over 5 and 10 clients (quick profile: 10)",
        "same seeds, splits and rounds for all three schedules",
        study.CHOSEN,
        study.COUNTS,
    ),
    expected=Verdict.REFUTED,
    confirms=Verdict.SUPPORTED,
    mutant={"best": "b-heavy"},
    says="three rounds of B for one of A is best",
    positive={"lead": -0.1},
    positive_says="the balanced schedule less than 0.1 of accuracy behind the others",
    order=240,
)
def check(evidence: Evidence, *, best: str = "rolora", seeds: int = 0, lead: float = 0.0) -> None:
    """Train the three schedules in the paper's two splits and compare them seed by seed.

    Args:
        evidence: gathers what is found.
        best: the schedule said to be best: `rolora`, `a-heavy` or `b-heavy`.
        seeds: how many judge; 0 for the profile's number.
        lead: demanded accuracy over each of the others.
    """
    one_of("best", best, SCHEDULES)
    settings = evidence.pick((Setting(10, 10, 60),), study.settings(evidence.budget))
    found = study.trained(
        evidence, settings, tuple(SCHEDULES), seeds or evidence.pick(12, 10), lead=lead
    )
    if not found:
        return
    scores = {key: result.scores() for key, result in found.items()}
    for n in (setting.clients for setting in settings):
        for other in ("rolora", "a-heavy", "b-heavy"):
            if other != best:
                quantity = f"{n} clients: accuracy of {best} minus {other}"
                ahead(evidence, quantity, scores[n, best] - scores[n, other], by=lead)
    by_share = {(*key, SCHEDULES[key[1]]): result for key, result in found.items()}
    study.tables(evidence, by_share, ("clients", "method", "share_of_A"), PLOT)


PLOT = Plot(
    x="share_of_A",
    series=(Series("accuracy", "mean, 95 % interval", Mark.POINTS, "low", "high"),),
    xlabel="share of the rounds that train A",
    ylabel="test accuracy",
    caption="Final test accuracy against how often A trains: one round in four, every other round"
    " (RoLoRA), three in four. Too little of A costs most. Without a base, A is the network's whole"
    " first layer, so more of it than RoLoRA gives can pay.",
    group="clients",
)

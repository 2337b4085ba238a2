"""Claim `schedule-balance`: training A and B equally often is best."""

from nonlinear_model.study import analysis
from nonlinear_model.study.analysis import ahead, short
from nonlinear_model.study.design import LOPSIDED
from verification.claim import PAPER, Evidence, Mark, Plot, Series, Verdict, claim
from verification.names import one_of

SCHEDULES = {"b-heavy": 0.25, "rolora": 0.5, "a-heavy": 0.75}
"""Share of the rounds in which A trains."""


@claim(
    "schedule-balance",
    "Balanced training of A and B against lopsided ones (of the network)",
    statement="In the two-layer network, training A and B in equally many rounds (RoLoRA) ends more accurate"
    " than three rounds of A for one of B, and than three of B for one of A.",
    latex=r"\mathrm{acc}(1{:}1)>\max\{\mathrm{acc}(3{:}1),\ \mathrm{acc}(1{:}3)\}",
    source=f"{PAPER}, ablation on the balance of A and B",
    section="network",
    assumptions=(
        "two-layer network, MNIST split by label over 5 and 10 clients, 25 local steps, equal rounds",
        *analysis.DECIDED,
    ),
    expected=Verdict.REFUTED,
    confirms=Verdict.SUPPORTED,
    mutant={"best": "b-heavy"},
    says="three rounds of B for one of A is best",
    positive={"best": "a-heavy"},
    positive_says="three rounds of A for one of B is best",
    exact="three rounds of A for one of B is best here: without a base, A is the network's first layer",
    order=240,
)
def check(evidence: Evidence, *, best: str = "rolora", lead: float = 0.0) -> None:
    """Compare the three schedules seed by seed.

    Args:
        evidence: gathers what is found.
        best: the schedule said to be best: `rolora`, `a-heavy` or `b-heavy`.
        lead: demanded accuracy over each of the others.
    """
    one_of("best", best, SCHEDULES)
    others = [name for name in ("rolora", "a-heavy", "b-heavy") if name != best]
    places = {
        short(point): [
            (f"accuracy of {best} minus {other}", ahead(point, best, other)) for other in others
        ]
        for point in LOPSIDED
    }
    analysis.over_places(evidence, places, of=2 * len(LOPSIDED), by=lead)
    evidence.method(analysis.method_of(LOPSIDED))
    rows = analysis.mean_rows(LOPSIDED, tuple(SCHEDULES))
    evidence.table([row | {"share_of_A": SCHEDULES[row["method"]]} for row in rows], PLOT)


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

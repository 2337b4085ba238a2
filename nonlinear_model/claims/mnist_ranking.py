"""Claim `mnist-ranking`: RoLoRA ahead of FedAvg-LoRA ahead of FFA-LoRA, and where that is so."""

from itertools import pairwise

from nonlinear_model.study import analysis
from nonlinear_model.study.analysis import EQUALITIES, ahead, short
from nonlinear_model.study.design import B_STARTS, COMPARISONS, LOCAL, PAPER_CLIENTS
from verification.claim import PAPER, Evidence, Mark, Plot, Series, Verdict, claim
from verification.names import one_of
from verification.paired_study import Point

ORDER = ("rolora", "fedavg", "ffa")


@claim(
    "mnist-ranking",
    "RoLoRA, then FedAvg-LoRA, then FFA-LoRA on label-split MNIST",
    statement="With MNIST split by label over 5 and 10 clients, test accuracy ranks RoLoRA above"
    " FedAvg-LoRA above FFA-LoRA.",
    latex=r"\mathrm{acc}(\mathrm{RoLoRA})>\mathrm{acc}(\mathrm{FedAvg})>\mathrm{acc}(\mathrm{FFA})",
    source=f"{PAPER}, two-layer network on MNIST",
    section="network",
    assumptions=(
        "two-layer network ReLU(xAB)W_out, 784×16, 16×200, fixed 200×10; plain SGD, batch 16",
        "5 clients with 2 labels each, 10 clients with 1 label each",
        "whatever the local steps (5 to five epochs), at equal rounds or at equal numbers sent (each pair"
        " after as many numbers as both have sent): the paper names neither",
        *analysis.DECIDED,
    ),
    expected=Verdict.HOLDS_UNDER,
    confirms=Verdict.SUPPORTED,
    mutant={"reverse": True},
    says="the ranking turned round: FFA-LoRA above FedAvg-LoRA above RoLoRA",
    exact="in the mean FedAvg-LoRA is ahead of RoLoRA everywhere at equal rounds, and behind it or level with"
    " it at equal numbers sent; FFA-LoRA is last at equal rounds",
    order=220,
)
def check(
    evidence: Evidence,
    *,
    clients: tuple[int, ...] = PAPER_CLIENTS,
    local: tuple[str, ...] = LOCAL,
    equality: str = "both",
    lead: float = 0.0,
    reverse: bool = False,
) -> None:
    """Compare neighbours of the ranking at every place of the study's map.

    Args:
        evidence: gathers what is found.
        clients, local: which of the study's numbers of clients and of local steps.
        equality: `rounds`, `numbers sent`, or `both`.
        lead: demanded accuracy of each method over the next.
        reverse: whether the ranking is turned round; False for the true statement.
    """
    one_of("equality", equality, (*EQUALITIES, "both"))
    order = ORDER[::-1] if reverse else ORDER
    points = analysis.map_points(clients, local)
    if 10 in clients and "25" in local:
        points += B_STARTS
    kinds = EQUALITIES if equality == "both" else (equality,)
    places = {
        f"{short(point)}, equal {kind}": [
            (f"accuracy of {better} minus {worse}", ahead(point, better, worse, kind))
            for better, worse in pairwise(order)
        ]
        for kind in kinds
        for point in points
    }
    analysis.over_places(evidence, places, of=COMPARISONS, by=lead)
    evidence.method(analysis.method_of(points))
    rows = analysis.lead_rows(points, "rolora", "fedavg")
    evidence.note(*_notes(points), analysis.resolved_note(rows), *analysis.rates_at_an_edge())
    evidence.table([row for row in rows if row["b_scale"] == 1.0], PLOT)
    evidence.extra_table("over-fedavg", rows)
    evidence.extra_table("over-ffa", analysis.lead_rows(points, "rolora", "ffa"))
    evidence.extra_table("means", analysis.mean_rows(points, ORDER))


PLOT = Plot(
    x="local_steps",
    series=(
        Series("rounds", "at equal rounds", Mark.POINTS, "rounds_low", "rounds_high"),
        Series("numbers", "at equal numbers sent", Mark.POINTS, "numbers_low", "numbers_high"),
    ),
    xlabel="local steps K between averages",
    ylabel="RoLoRA's lead over FedAvg-LoRA in test accuracy",
    caption="MNIST split by label: RoLoRA's accuracy minus FedAvg-LoRA's, each method at the learning rate"
    " other seeds chose for it, mean and 95 % interval over seeds. FedAvg-LoRA moves both factors in every"
    " round, RoLoRA one; what it wins by exact averaging has to pay for that, and at equal numbers"
    " sent it has to pay less.",
    group="clients",
    xlog=True,
)


def _notes(points: tuple[Point, ...]) -> list[str]:
    notes = []
    for kind in EQUALITIES:
        name = kind.partition(" ")[0]
        rows = analysis.lead_rows(points, "rolora", "fedavg")
        signs = [(row[f"{name}_low"] > 0) - (row[f"{name}_high"] < 0) for row in rows]
        notes.append(
            f"At equal {kind} RoLoRA's lead over FedAvg-LoRA has its 95 % interval above 0 at"
            f" {signs.count(1)} of {len(rows)} places, below 0 at {signs.count(-1)}, around 0 at"
            f" {signs.count(0)}."
        )
    return notes

"""Claim `mnist-lead-size`: where RoLoRA does not lead FedAvg-LoRA by as much as 0.02."""

from nonlinear_model.study import analysis
from nonlinear_model.study.analysis import EQUALITIES, ahead, short
from nonlinear_model.study.design import B_STARTS, COMPARISONS, DIFFERENCE, LOCAL, PAPER_CLIENTS
from verification.claim import OURS, Evidence, Verdict, between, claim
from verification.names import one_of


@claim(
    "mnist-lead-size",
    "Where RoLoRA's lead over FedAvg-LoRA is below 0.02",
    statement="With MNIST split by label over 5 and 10 clients, RoLoRA is not ahead of FedAvg-LoRA by as"
    " much as 0.02 in test accuracy.",
    latex=r"\mathrm{acc}(\mathrm{RoLoRA})-\mathrm{acc}(\mathrm{FedAvg})<0.02",
    source=OURS,
    section="network",
    assumptions=(
        "two-layer network, plain SGD, at equal rounds or at equal numbers sent",
        *analysis.DECIDED,
    ),
    expected=Verdict.HOLDS_UNDER,
    confirms=Verdict.SUPPORTED,
    mutant={"size": -0.029},
    says="RoLoRA is behind FedAvg-LoRA by more than 0.029: a tenth beyond where no place confirms it",
    order=225,
)
def check(
    evidence: Evidence,
    *,
    clients: tuple[int, ...] = PAPER_CLIENTS,
    local: tuple[str, ...] = LOCAL,
    equality: str = "both",
    size: float = DIFFERENCE,
) -> None:
    """Hold RoLoRA's lead against a size at every place of the study's map.

    Args:
        evidence: gathers what is found.
        clients, local: which of the study's numbers of clients and of local steps.
        equality: `rounds`, `numbers sent`, or `both`.
        size: of a lead worth telling.
    """
    one_of("equality", equality, (*EQUALITIES, "both"))
    between(-1.0, 1.0, size=size)
    points = analysis.map_points(clients, local)
    if 10 in clients and "25" in local:
        points += B_STARTS
    places = {
        f"{short(point)}, equal {kind}": [
            (
                f"what the lead over fedavg lacks of {size:g}",
                size - ahead(point, "rolora", "fedavg", kind),
            )
        ]
        for kind in (EQUALITIES if equality == "both" else (equality,))
        for point in points
    }
    analysis.over_places(evidence, places, of=COMPARISONS // 2)
    evidence.method(analysis.method_of(points))
    rows = analysis.lead_rows(points, "rolora", "fedavg")
    evidence.note(analysis.resolved_note(rows))
    evidence.table(rows)

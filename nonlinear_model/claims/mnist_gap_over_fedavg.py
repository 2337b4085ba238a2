"""Claim `mnist-gap-over-fedavg`: RoLoRA's lead over FedAvg-LoRA grows from 5 clients to 10."""

from nonlinear_model.study import analysis
from nonlinear_model.study.design import LOCAL
from nonlinear_model.study.gap import widening
from verification.claim import PAPER, Evidence, Verdict, between, claim


@claim(
    "mnist-gap-over-fedavg",
    "RoLoRA's lead over FedAvg-LoRA from 5 to 10 clients",
    statement="RoLoRA's lead in accuracy over FedAvg-LoRA is larger at 10 clients with one label each than at"
    " 5 clients with two.",
    latex=r"\mathrm{lead}_{N=10}(\mathrm{FedAvg-LoRA})>\mathrm{lead}_{N=5}(\mathrm{FedAvg-LoRA})",
    source=f"{PAPER}, two-layer network on MNIST",
    section="network",
    assumptions=(
        "two-layer network, MNIST split by label over 5 and 10 clients",
        "whatever the local steps (5 to five epochs), at equal rounds",
        *analysis.DECIDED,
    ),
    expected=Verdict.HOLDS_UNDER,
    confirms=Verdict.SUPPORTED,
    mutant={"narrows": True},
    says="the lead is smaller at 10 clients than at 5",
    order=230,
)
def check(
    evidence: Evidence, *, local: tuple[str, ...] = LOCAL, by: float = 0.0, narrows: bool = False
) -> None:
    """Compare the lead at 10 clients with the lead at 5, seed by seed.

    Args:
        evidence: gathers what is found.
        local: which of the study's local steps.
        by: by how much the lead should grow.
        narrows: whether it is said to shrink; False for the true statement.
    """
    between(-0.99, 0.99, by=by)
    widening(evidence, "fedavg", local, by, narrows=narrows)

"""Claim `llm-ranking`: at 50 clients RoLoRA's mean GLUE accuracy exceeds both rivals'."""

from llm_validation.claims import decision
from llm_validation.claims.question import Question
from verification.claim import claim
from verification.evidence import Evidence
from verification.verdict import Verdict


@claim(
    "llm-ranking",
    "RoLoRA leads on GLUE at 50 clients",
    statement="RoBERTa-Large, 50 clients, rank 4: RoLoRA's mean accuracy over five GLUE tasks exceeds"
    " FedAvg-LoRA's and FFA-LoRA's.",
    latex=r"\mathrm{acc}_{\mathrm{RoLoRA}} > \max(\mathrm{acc}_{\mathrm{FedAvg}},"
    r" \mathrm{acc}_{\mathrm{FFA}})",
    source=decision.SOURCE,
    section="language-models",
    assumptions=decision.ASSUMPTIONS,
    expected=Verdict.SUPPORTED,
    **decision.CONTROLS,
    order=280,
)
def check(
    evidence: Evidence,
    *,
    clients: int = decision.MANY,
    rank: int = 4,
    lead: float = 0.0,
    runs: str = "own",
) -> None:
    """Compare the finished runs, seed by seed.

    Args:
        evidence: gathers what is found.
        clients, rank: of the runs that are compared.
        lead: points by which RoLoRA is demanded to be ahead.
        runs: `own` for finished runs; `planted` and `exchanged` are the controls.
    """
    decision.require_setting(rank, clients)
    question = Question(decision.LARGE, decision.GLUE, ahead=(decision.at(clients, rank),))
    shown = [decision.at(n, rank) for n in sorted({*decision.PUBLISHED, clients})]
    decision.from_runs(evidence, question, lead=lead, runs=runs, shown=shown)

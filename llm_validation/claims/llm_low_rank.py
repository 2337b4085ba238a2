"""Claim `llm-low-rank`: at 50 clients RoLoRA is ahead of both rivals, at rank 8 and at rank 4."""

from llm_validation.claims import decision
from llm_validation.claims.question import Question
from verification.claim import claim
from verification.evidence import Evidence
from verification.verdict import Verdict


@claim(
    "llm-low-rank",
    "RoLoRA leads at rank 8 and at rank 4",
    statement="RoBERTa-Large, 50 clients: RoLoRA's mean accuracy over five GLUE tasks exceeds FedAvg-LoRA's"
    " and FFA-LoRA's at rank 8 and at rank 4.",
    latex=r"\mathrm{acc}_{\mathrm{RoLoRA}}(r) > \max(\mathrm{acc}_{\mathrm{FedAvg}}(r),"
    r" \mathrm{acc}_{\mathrm{FFA}}(r)),\ r \in \{4, 8\}",
    source=decision.SOURCE,
    section="language-models",
    assumptions=decision.ASSUMPTIONS,
    expected=Verdict.SUPPORTED,
    **decision.CONTROLS,
    order=300,
)
def check(
    evidence: Evidence,
    *,
    clients: int = decision.MANY,
    rank: int = 8,
    lead: float = 0.0,
    runs: str = "own",
) -> None:
    """Compare the finished runs at both ranks, seed by seed.

    Args:
        evidence: gathers what is found.
        clients: of the runs that are compared.
        rank: the rank beside 4.
        lead: points by which RoLoRA is demanded to be ahead.
        runs: `own` for finished runs; `planted` and `exchanged` are the controls.
    """
    decision.require_setting(rank, clients)
    if rank == 4:
        raise ValueError("rank must be another than 4, which it stands beside, got 4")
    both = decision.at(clients, 4), decision.at(clients, rank)
    question = Question(decision.LARGE, decision.GLUE, ahead=both)
    decision.from_runs(evidence, question, lead=lead, runs=runs, axis="rank")

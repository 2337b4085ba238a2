"""Claim `llm-ranking`: at 50 clients RoLoRA's mean GLUE accuracy exceeds both rivals'."""

from __future__ import annotations

from llm_validation.claims import decision
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
    mutant={"overstated": decision.OVERSTATED},
    says=decision.SAYS,
    order=280,
)
def check(
    evidence: Evidence,
    *,
    clients: int = decision.MANY,
    rank: int = 4,
    lead: float = 0.0,
    overstated: float = 0.0,
) -> None:
    """Compare the finished runs, seed by seed.

    Args:
        evidence: gathers what is found.
        clients, rank: of the runs that are compared.
        lead: points by which RoLoRA is demanded to be ahead.
        overstated: 0 for finished runs; else the published numbers are judged, leads this many times
            theirs demanded.
    """
    decision.require_setting(rank, clients)
    decision.on_large(
        evidence,
        lambda records: decision.leads(records, clients, rank),
        lead,
        overstated,
        setting=f"{clients} clients, rank {rank}",
        presets=f"glue-$t-{clients}-$m" if rank == 4 and clients in decision.PUBLISHED else "",
    )

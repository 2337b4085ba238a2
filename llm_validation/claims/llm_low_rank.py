"""Claim `llm-low-rank`: at 50 clients RoLoRA is ahead of both rivals, at rank 8 and at rank 4."""

from __future__ import annotations

from collections.abc import Sequence

from llm_validation.claims import decision
from llm_validation.paper.records import Record, by_seed
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
    mutant={"overstated": decision.OVERSTATED},
    says=decision.SAYS,
    order=300,
)
def check(
    evidence: Evidence,
    *,
    clients: int = decision.MANY,
    rank: int = 8,
    lead: float = 0.0,
    overstated: float = 0.0,
) -> None:
    """Compare the finished runs at both ranks, seed by seed.

    Args:
        evidence: gathers what is found.
        clients: of the runs that are compared.
        rank: the rank beside 4.
        lead: points by which RoLoRA is demanded to be ahead.
        overstated: 0 for finished runs; else the published numbers are judged, leads this many times
            theirs demanded.
    """
    decision.require_setting(rank, clients)
    if rank == 4:
        raise ValueError("rank must be another than 4, which it stands beside, got 4")
    decision.on_large(
        evidence,
        lambda records: (
            decision.leads(records, clients)
            | decision.leads(_averages(records, clients, rank), clients, rank, ("avg",))
        ),
        lead,
        overstated,
        setting=f"{clients} clients, ranks 4 and {rank}",
        presets="glue-${r}$t-50-$m" if (clients, rank) == (decision.MANY, 8) else "",
        loop="for r in '' rank8-",
    )


def _averages(records: Sequence[Record], clients: int, rank: int) -> list[Record]:
    """The records and their means over the GLUE tasks, in the form the paper publishes them at rank 8."""
    means = [
        Record("mean over GLUE", "avg", method, clients, rank, seed, mean)
        for method in decision.NAMES
        for seed, mean in by_seed(records, method, clients, rank, decision.GLUE).items()
    ]
    return [*records, *means]

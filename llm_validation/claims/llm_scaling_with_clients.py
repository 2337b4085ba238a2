"""Claim `llm-scaling-with-clients`: from 3 to 50 clients RoLoRA's accuracy falls least."""

from __future__ import annotations

from llm_validation.claims import decision
from verification.claim import claim
from verification.evidence import Evidence
from verification.verdict import Verdict


@claim(
    "llm-scaling-with-clients",
    "RoLoRA loses least as clients grow",
    statement="RoBERTa-Large, rank 4: from 3 to 50 clients, the number of samples fixed, RoLoRA's mean"
    " accuracy over five GLUE tasks falls less than FedAvg-LoRA's and FFA-LoRA's.",
    latex=r"\mathrm{acc}_{50}-\mathrm{acc}_{3}\ \mathrm{is\ largest\ for\ RoLoRA}",
    source=decision.SOURCE,
    section="language-models",
    assumptions=decision.ASSUMPTIONS,
    expected=Verdict.SUPPORTED,
    mutant={"overstated": decision.OVERSTATED},
    says=decision.SAYS,
    order=290,
)
def check(
    evidence: Evidence,
    *,
    few: int = decision.FEW,
    many: int = decision.MANY,
    rank: int = 4,
    lead: float = 0.0,
    overstated: float = 0.0,
) -> None:
    """Compare the methods' falls in the finished runs, seed by seed.

    Args:
        evidence: gathers what is found.
        few, many, rank: of the runs that are compared.
        lead: points by which RoLoRA is demanded to be ahead.
        overstated: 0 for finished runs; else the published numbers are judged, leads this many times
            theirs demanded.
    """
    decision.require_setting(rank, few, many)
    decision.on_large(
        evidence,
        lambda records: decision.changes(records, few, many, rank),
        lead,
        overstated,
        setting=f"{few} against {many} clients, rank {rank}, equal numbers of samples",
        presets="glue-$t-$n-$m" if rank == 4 and {few, many} <= set(decision.PUBLISHED) else "",
        loop=f"for n in {few} {many}",
    )

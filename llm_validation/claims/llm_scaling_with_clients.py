"""Claim `llm-scaling-with-clients`: from 3 to 50 clients RoLoRA's accuracy falls least."""

from llm_validation.claims import decision
from llm_validation.claims.question import Question
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
    **decision.CONTROLS,
    order=290,
)
def check(
    evidence: Evidence,
    *,
    few: int = decision.FEW,
    many: int = decision.MANY,
    rank: int = 4,
    lead: float = 0.0,
    runs: str = "own",
) -> None:
    """Compare the methods' falls in the finished runs, seed by seed.

    Args:
        evidence: gathers what is found.
        few, many, rank: of the runs that are compared.
        lead: points by which RoLoRA is demanded to be ahead.
        runs: `own` for finished runs; `planted` and `exchanged` are the controls.
    """
    decision.require_setting(rank, few, many)
    ends = decision.at(few, rank), decision.at(many, rank)
    question = Question(decision.LARGE, decision.GLUE, falls=ends)
    shown = [decision.at(n, rank) for n in sorted({*decision.PUBLISHED, few, many})]
    decision.from_runs(evidence, question, lead=lead, runs=runs, shown=shown)

"""Claim `llm-local-steps`: 20 local steps instead of 1 cost FFA-LoRA accuracy, and RoLoRA less."""

from llm_validation.claims import decision
from llm_validation.claims.question import Question
from verification.claim import claim
from verification.evidence import Evidence
from verification.verdict import Verdict


@claim(
    "llm-local-steps",
    "More local steps on MNLI",
    statement="RoBERTa-Large on MNLI, 50 clients, rank 4: 20 local steps a round instead of 1, at the same"
    " number of samples, make FFA-LoRA less accurate, and RoLoRA less so than FFA-LoRA.",
    latex=r"\mathrm{acc}_{K=1}(\mathrm{FFA})-\mathrm{acc}_{K=20}(\mathrm{FFA})>"
    r"\max\{0,\ \mathrm{acc}_{K=1}(\mathrm{RoLoRA})-\mathrm{acc}_{K=20}(\mathrm{RoLoRA})\}",
    source=decision.SOURCE,
    section="language-models",
    assumptions=decision.ASSUMPTIONS,
    expected=Verdict.SUPPORTED,
    **decision.CONTROLS,
    order=303,
)
def check(
    evidence: Evidence,
    *,
    clients: int = decision.MANY,
    rank: int = 4,
    few: int = 1,
    many: int = 20,
    lead: float = 0.0,
    runs: str = "own",
) -> None:
    """Compare what many local steps cost each method in the finished runs, seed by seed.

    Args:
        evidence: gathers what is found.
        clients, rank: of the runs that are compared.
        few, many: local steps.
        lead: points by which RoLoRA is demanded to be ahead.
        runs: `own` for finished runs; `planted` and `exchanged` are the controls.
    """
    decision.require_setting(rank, clients)
    if not 1 <= few < many:
        raise ValueError(f"few and many must be growing and at least 1, got {few} and {many}")
    ends = decision.at(clients, rank, few), decision.at(clients, rank, many)
    question = Question(decision.LARGE, ("mnli",), falls=ends, rivals=("ffa",), hurt=True)
    decision.from_runs(evidence, question, lead=lead, runs=runs, axis="local_steps")

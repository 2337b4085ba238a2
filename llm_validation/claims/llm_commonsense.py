"""Claim `llm-commonsense`: Llama-2-7B answers commonsense questions best after RoLoRA."""

from llm_validation.claims import decision
from llm_validation.claims.question import Question
from verification.claim import claim
from verification.evidence import Evidence
from verification.verdict import Verdict


@claim(
    "llm-commonsense",
    "RoLoRA leads on commonsense questions",
    statement="Llama-2-7B, 50 clients, rank 8: RoLoRA's mean accuracy over eight sets of commonsense"
    " questions exceeds FedAvg-LoRA's and FFA-LoRA's.",
    latex=r"\mathrm{acc}_{\mathrm{RoLoRA}} > \max(\mathrm{acc}_{\mathrm{FedAvg}},"
    r" \mathrm{acc}_{\mathrm{FFA}})",
    source=decision.SOURCE,
    section="language-models",
    assumptions=decision.ASSUMPTIONS,
    expected=Verdict.SUPPORTED,
    **decision.CONTROLS,
    order=305,
)
def check(
    evidence: Evidence,
    *,
    clients: int = decision.MANY,
    rank: int = 8,
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
    setting = decision.at(clients, rank)
    question = Question(decision.LLAMA, decision.COMMONSENSE, ahead=(setting,))
    decision.from_runs(evidence, question, lead=lead, runs=runs, axis="task")

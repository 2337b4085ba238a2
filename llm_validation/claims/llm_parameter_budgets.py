"""Claim `llm-parameter-budgets`: with fewer adapted layers RoLoRA's accuracy falls least."""

from llm_validation.claims import decision
from llm_validation.claims.question import Question
from verification.claim import claim
from verification.evidence import Evidence
from verification.verdict import Verdict


@claim(
    "llm-parameter-budgets",
    "RoLoRA loses least as parameter budgets shrink",
    statement="RoBERTa-Large, 50 clients, rank 4: from adapters on query and value to adapters on value"
    " alone, half the parameters, RoLoRA's mean accuracy over five GLUE tasks falls less than FedAvg-LoRA's"
    " and FFA-LoRA's.",
    latex=r"\mathrm{acc}_{V}-\mathrm{acc}_{QV}\ \mathrm{is\ largest\ for\ RoLoRA}",
    source=decision.SOURCE,
    section="language-models",
    assumptions=(
        *decision.ASSUMPTIONS,
        "the sets of adapted layers are ours: the paper's budgets are not known to us",
    ),
    expected=Verdict.SUPPORTED,
    **decision.CONTROLS,
    order=302,
)
def check(
    evidence: Evidence,
    *,
    clients: int = decision.MANY,
    rank: int = 4,
    modules: tuple[str, ...] = ("value",),
    lead: float = 0.0,
    runs: str = "own",
) -> None:
    """Compare what the smaller budget costs each method in the finished runs, seed by seed.

    Args:
        evidence: gathers what is found.
        clients, rank: of the runs that are compared.
        modules: adapted layers of the smaller budget, by the ends of their names.
        lead: points by which RoLoRA is demanded to be ahead.
        runs: `own` for finished runs; `planted` and `exchanged` are the controls.
    """
    decision.require_setting(rank, clients)
    if not modules:
        raise ValueError("modules must be at least one, got none")
    ends = decision.at(clients, rank), decision.at(clients, rank, modules=modules)
    question = Question(decision.LARGE, decision.GLUE, falls=ends)
    decision.from_runs(evidence, question, lead=lead, runs=runs, axis="target_modules")

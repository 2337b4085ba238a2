"""Claim `llm-shrinking-ranks`: from rank 8 to rank 4 RoLoRA's accuracy falls least."""

from llm_validation.claims.decision import GLUE, LARGE, MANY, asked, at, require_setting
from llm_validation.claims.question import Question
from verification.verdict import Verdict


@asked(
    "llm-shrinking-ranks",
    "RoLoRA loses least as ranks shrink",
    statement="RoBERTa-Large, 50 clients: from rank 8 to rank 4 RoLoRA's mean accuracy over five GLUE tasks"
    " falls less than FedAvg-LoRA's and FFA-LoRA's.",
    latex=r"\mathrm{acc}(r=4)-\mathrm{acc}(r=8)\ \mathrm{is\ largest\ for\ RoLoRA}",
    expected=Verdict.REFUTED,
    order=301,
    note="The published averages at 50 clients point the other way: from rank 8 to 4 RoLoRA loses 0.46 points"
    " while FedAvg-LoRA gains 6.69 and FFA-LoRA 4.02. They come without spreads and decide nothing here.",
)
def check(*, clients: int = MANY, large: int = 8, small: int = 4) -> Question:
    """Compare what the smaller rank costs each method in the finished runs, seed by seed.

    Args:
        clients: of the runs that are compared.
        large, small: ranks.
    """
    require_setting(small, clients)
    if large <= small:
        raise ValueError(f"large must be above small, got {large} and {small}")
    ends = at(clients, large), at(clients, small)
    return Question(LARGE, GLUE, falls=ends, axis="rank")

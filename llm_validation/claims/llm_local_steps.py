"""Claim `llm-local-steps`: 20 local steps instead of 1 cost FFA-LoRA accuracy, and RoLoRA less."""

from llm_validation.claims.decision import LARGE, MANY, asked, at, require_setting
from llm_validation.claims.question import Question


@asked(
    "llm-local-steps",
    "More local steps on MNLI",
    statement="RoBERTa-Large on MNLI, 50 clients, rank 4: 20 local steps a round instead of 1, at the same"
    " number of samples, make FFA-LoRA less accurate, and RoLoRA less so than FFA-LoRA.",
    latex=r"\mathrm{acc}_{K=1}(\mathrm{FFA})-\mathrm{acc}_{K=20}(\mathrm{FFA})>"
    r"\max\{0,\ \mathrm{acc}_{K=1}(\mathrm{RoLoRA})-\mathrm{acc}_{K=20}(\mathrm{RoLoRA})\}",
    order=303,
)
def check(*, clients: int = MANY, rank: int = 4, few: int = 1, many: int = 20) -> Question:
    """Compare what many local steps cost each method in the finished runs, seed by seed.

    Args:
        clients, rank: of the runs that are compared.
        few, many: local steps.
    """
    require_setting(rank, clients)
    if not 1 <= few < many:
        raise ValueError(f"few and many must be growing and at least 1, got {few} and {many}")
    ends = at(clients, rank, few), at(clients, rank, many)
    return Question(LARGE, ("mnli",), falls=ends, rivals=("ffa",), hurt=True, axis="local_steps")

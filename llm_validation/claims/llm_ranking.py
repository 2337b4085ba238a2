"""Claim `llm-ranking`: at 50 clients RoLoRA's mean GLUE accuracy exceeds both rivals'."""

from llm_validation.claims.decision import GLUE, LARGE, MANY, PUBLISHED, asked, at, require_setting
from llm_validation.claims.question import Question


@asked(
    "llm-ranking",
    "RoLoRA leads on GLUE at 50 clients",
    statement="RoBERTa-Large, 50 clients, rank 4: RoLoRA's mean accuracy over five GLUE tasks exceeds"
    " FedAvg-LoRA's and FFA-LoRA's.",
    latex=r"\mathrm{acc}_{\mathrm{RoLoRA}} > \max(\mathrm{acc}_{\mathrm{FedAvg}},"
    r" \mathrm{acc}_{\mathrm{FFA}})",
    order=280,
)
def check(*, clients: int = MANY, rank: int = 4) -> Question:
    """Compare the finished runs, seed by seed.

    Args:
        clients, rank: of the runs that are compared.
    """
    require_setting(rank, clients)
    shown = tuple(at(n, rank) for n in sorted({*PUBLISHED, clients}))
    return Question(LARGE, GLUE, ahead=(at(clients, rank),), shown=shown)

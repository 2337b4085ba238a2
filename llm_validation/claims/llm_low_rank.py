"""Claim `llm-low-rank`: at 50 clients RoLoRA is ahead of both rivals, at rank 8 and at rank 4."""

from llm_validation.claims.decision import GLUE, LARGE, MANY, asked, at, require_setting
from llm_validation.claims.question import Question


@asked(
    "llm-low-rank",
    "RoLoRA leads at rank 8 and at rank 4",
    statement="RoBERTa-Large, 50 clients: RoLoRA's mean accuracy over five GLUE tasks exceeds FedAvg-LoRA's"
    " and FFA-LoRA's at rank 8 and at rank 4.",
    latex=r"\mathrm{acc}_{\mathrm{RoLoRA}}(r) > \max(\mathrm{acc}_{\mathrm{FedAvg}}(r),"
    r" \mathrm{acc}_{\mathrm{FFA}}(r)),\ r \in \{4, 8\}",
    order=300,
)
def check(*, clients: int = MANY, rank: int = 8) -> Question:
    """Compare the finished runs at both ranks, seed by seed.

    Args:
        clients: of the runs that are compared.
        rank: the rank beside 4.
    """
    require_setting(rank, clients)
    if rank == 4:
        raise ValueError("rank must be another than 4, which it stands beside, got 4")
    both = at(clients, 4), at(clients, rank)
    return Question(LARGE, GLUE, ahead=both, axis="rank")

"""Claim `llm-commonsense`: Llama-2-7B answers commonsense questions best after RoLoRA."""

from llm_validation.claims.decision import COMMONSENSE, LLAMA, MANY, asked, at, require_setting
from llm_validation.claims.question import Question


@asked(
    "llm-commonsense",
    "RoLoRA leads on commonsense questions",
    statement="Llama-2-7B, 50 clients, rank 8: RoLoRA's mean accuracy over eight sets of commonsense"
    " questions, their answers generated, exceeds FedAvg-LoRA's and FFA-LoRA's.",
    latex=r"\mathrm{acc}_{\mathrm{RoLoRA}} > \max(\mathrm{acc}_{\mathrm{FedAvg}},"
    r" \mathrm{acc}_{\mathrm{FFA}})",
    order=305,
)
def check(*, clients: int = MANY, rank: int = 8) -> Question:
    """Compare the finished runs, seed by seed.

    Args:
        clients, rank: of the runs that are compared.
    """
    require_setting(rank, clients)
    generated = at(clients, rank) | {"scoring": "extract"}
    return Question(LLAMA, COMMONSENSE, ahead=(generated,), axis="task")

"""Claim `llm-scaling-with-clients`: from 3 to 50 clients RoLoRA's accuracy falls least."""

from llm_validation.claims.decision import (
    FEW,
    GLUE,
    LARGE,
    MANY,
    PUBLISHED,
    asked,
    at,
    require_setting,
)
from llm_validation.claims.question import Question


@asked(
    "llm-scaling-with-clients",
    "RoLoRA loses least as clients grow",
    statement="RoBERTa-Large, rank 4: from 3 to 50 clients, the number of samples fixed, RoLoRA's mean"
    " accuracy over five GLUE tasks falls less than FedAvg-LoRA's and FFA-LoRA's.",
    latex=r"\mathrm{acc}_{50}-\mathrm{acc}_{3}\ \mathrm{is\ largest\ for\ RoLoRA}",
    order=290,
)
def check(*, few: int = FEW, many: int = MANY, rank: int = 4) -> Question:
    """Compare the methods' falls in the finished runs, seed by seed.

    Args:
        few, many, rank: of the runs that are compared.
    """
    require_setting(rank, few, many)
    ends = at(few, rank), at(many, rank)
    shown = tuple(at(n, rank) for n in sorted({*PUBLISHED, few, many}))
    return Question(LARGE, GLUE, falls=ends, shown=shown)

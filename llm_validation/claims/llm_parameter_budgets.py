"""Claim `llm-parameter-budgets`: with fewer adapted layers RoLoRA's accuracy falls least."""

from llm_validation.claims.decision import GLUE, LARGE, MANY, asked, at, require_setting
from llm_validation.claims.question import Question


@asked(
    "llm-parameter-budgets",
    "RoLoRA loses least as parameter budgets shrink",
    statement="RoBERTa-Large, 50 clients, rank 4: from adapters on query and value to adapters on value"
    " alone, half the parameters, RoLoRA's mean accuracy over five GLUE tasks falls less than FedAvg-LoRA's"
    " and FFA-LoRA's.",
    latex=r"\mathrm{acc}_{V}-\mathrm{acc}_{QV}\ \mathrm{is\ largest\ for\ RoLoRA}",
    assumptions=("the sets of adapted layers are ours: the paper's budgets are not known to us",),
    order=302,
)
def check(*, clients: int = MANY, rank: int = 4, modules: tuple[str, ...] = ("value",)) -> Question:
    """Compare what the smaller budget costs each method in the finished runs, seed by seed.

    Args:
        clients, rank: of the runs that are compared.
        modules: adapted layers of the smaller budget, by the ends of their names.
    """
    require_setting(rank, clients)
    if not modules:
        raise ValueError("modules must be at least one, got none")
    ends = at(clients, rank), at(clients, rank, modules=modules)
    return Question(LARGE, GLUE, falls=ends, axis="target_modules")

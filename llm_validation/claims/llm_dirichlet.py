"""Claim `llm-dirichlet`: RoLoRA leads on MNLI where the clients' labels differ."""

from llm_validation.claims.decision import LARGE, asked, at, require_setting
from llm_validation.claims.question import Question


@asked(
    "llm-dirichlet",
    "RoLoRA leads on unequal shares of MNLI",
    statement="RoBERTa-Large on MNLI, shares drawn from Dirichlet(0.5) for 10 clients and from Dirichlet(1.0)"
    " for 15: RoLoRA's accuracy exceeds FedAvg-LoRA's in both.",
    latex=r"\mathrm{acc}_{\mathrm{RoLoRA}}(\alpha) > \mathrm{acc}_{\mathrm{FedAvg}}(\alpha),"
    r"\ \alpha \in \{0.5, 1\}",
    order=304,
)
def check(
    *,
    clients: tuple[int, ...] = (10, 15),
    alphas: tuple[float, ...] = (0.5, 1.0),
    rank: int = 4,
) -> Question:
    """Compare the finished runs at every split, seed by seed.

    Args:
        clients, alphas: of the splits, one of each for each.
        rank: of the runs that are compared; the paper's is not known to us.
    """
    require_setting(rank, *clients)
    if not 1 <= len(clients) == len(alphas) or min(alphas) <= 0.0:
        raise ValueError(
            f"alphas must be positive, one for each of clients, got {alphas} for {clients}"
        )
    unequal = tuple(
        at(n, rank) | {"split": "dirichlet", "dirichlet_alpha": alpha}
        for n, alpha in zip(clients, alphas, strict=True)
    )
    return Question(LARGE, ("mnli",), ahead=unequal, rivals=("fedavg",))

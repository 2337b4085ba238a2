"""Claim `llm-dirichlet`: RoLoRA leads on MNLI where the clients' labels differ."""

from llm_validation.claims import decision
from llm_validation.claims.question import Question
from verification.claim import claim
from verification.evidence import Evidence
from verification.verdict import Verdict


@claim(
    "llm-dirichlet",
    "RoLoRA leads on unequal shares of MNLI",
    statement="RoBERTa-Large on MNLI, shares drawn from Dirichlet(0.5) for 10 clients and from Dirichlet(1.0)"
    " for 15: RoLoRA's accuracy exceeds FedAvg-LoRA's in both.",
    latex=r"\mathrm{acc}_{\mathrm{RoLoRA}}(\alpha) > \mathrm{acc}_{\mathrm{FedAvg}}(\alpha),"
    r"\ \alpha \in \{0.5, 1\}",
    source=decision.SOURCE,
    section="language-models",
    assumptions=decision.ASSUMPTIONS,
    expected=Verdict.SUPPORTED,
    **decision.CONTROLS,
    order=304,
)
def check(
    evidence: Evidence,
    *,
    clients: tuple[int, ...] = (10, 15),
    alphas: tuple[float, ...] = (0.5, 1.0),
    rank: int = 4,
    lead: float = 0.0,
    runs: str = "own",
) -> None:
    """Compare the finished runs at every split, seed by seed.

    Args:
        evidence: gathers what is found.
        clients, alphas: of the splits, one of each for each.
        rank: of the runs that are compared; the paper's is not known to us.
        lead: points by which RoLoRA is demanded to be ahead.
        runs: `own` for finished runs; `planted` and `exchanged` are the controls.
    """
    decision.require_setting(rank, *clients)
    if not 1 <= len(clients) == len(alphas) or min(alphas) <= 0.0:
        raise ValueError(
            f"alphas must be positive, one for each of clients, got {alphas} for {clients}"
        )
    splits = zip(clients, alphas, strict=True)
    unequal = [
        decision.at(n, rank) | {"split": "dirichlet", "dirichlet_alpha": alpha}
        for n, alpha in splits
    ]
    question = Question(decision.LARGE, ("mnli",), ahead=tuple(unequal), rivals=("fedavg",))
    decision.from_runs(evidence, question, lead=lead, runs=runs)

"""RoLoRA: odd rounds train and average B with A frozen, even rounds A with B frozen.

One factor is the same on all clients in every round: the average is exact.
"""

from federated_lora.adapter import ONLY_A, ONLY_B, Factors
from federated_lora.averaging import Average, Averaging, check_round, method


@method(
    "rolora",
    label="RoLoRA",
    source="Chen et al., Robust Federated Finetuning of LLMs via Alternating Optimization of LoRA,"
    " NeurIPS 2025, arXiv 2502.01755, Algorithm 1",
    order=3,
)
class RoLoRA(Averaging):
    """Alternates the trained factor by the server's round alone, B first."""

    average = Average.EXACT

    def trainable(self, round: int) -> Factors:
        """B in odd rounds, A in even rounds, counting from 1."""
        check_round(round)
        return ONLY_B if round % 2 == 1 else ONLY_A

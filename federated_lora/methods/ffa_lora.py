"""FFA-LoRA: A stays at a shared random initialisation, only B is trained.

`B̄ = Σ p_k B_k`; A is the same for all, so `A B̄ = Σ p_k A B_k`: the average is exact. What A's span lacks is
never learned.

Use it where noise for privacy must stay linear, or the rank is large enough for a random A. Traffic: B each
way, half of FedAvg-LoRA's.
"""

from federated_lora.adapter import ONLY_B, Factors
from federated_lora.averaging import Average, Averaging, check_round, method


@method(
    "ffa",
    label="FFA-LoRA",
    source="Sun et al., Improving LoRA in privacy-preserving federated learning, ICLR 2024",
    order=2,
)
class FFALoRA(Averaging):
    """B trains in every round; A is frozen for ever."""

    average = Average.EXACT

    def trainable(self, round: int) -> Factors:
        """B, in every round."""
        check_round(round)
        return ONLY_B

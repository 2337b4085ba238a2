"""FedAvg of LoRA factors (FedIT): train and average A and B separately.

`Ā = Σ p_k A_k`, `B̄ = Σ p_k B_k`; but `Σ p_k A_k B_k ≠ Ā B̄`: the average is inexact (interference), unless
clients agree in a factor.

Use it as the yardstick, and where clients are alike or take few steps. Traffic: both factors each way.
"""

from federated_lora.adapter import BOTH, Factors
from federated_lora.averaging import Averaging, check_round, method


@method(
    "fedavg",
    label="FedAvg-LoRA",
    source="Zhang et al., Towards building the federated GPT, ICASSP 2024, arXiv 2305.05644",
    order=1,
)
class FedAvgLoRA(Averaging):
    """Both factors train in every round; the server averages each."""

    def trainable(self, round: int) -> Factors:
        """A and B, in every round."""
        check_round(round)
        return BOTH

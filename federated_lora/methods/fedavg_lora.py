"""FedAvg of LoRA factors (FedIT): train and average A and B separately.

`mean(A_k B_k) ≠ mean(A_k)·mean(B_k)`: the average is inexact (interference).
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

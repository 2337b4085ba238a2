"""LA-LoRA: A and B by turns within a round, B first; then both are averaged.

Client k's local steps 1, 3, 5, … move B, steps 2, 4, 6, … move A, each with the other at hand: no step moves
both at once. `Ā = Σ p_k A_k`, `B̄ = Σ p_k B_k`: both moved in the round, so the average is inexact, as
FedAvg-LoRA's is. With one local step a round A never trains.

Use it in FedAvg-LoRA's place where the clients' gradients are noisy (privacy): noise on A and on B does not
meet in one step. (The paper smooths the noisy gradients besides.) Traffic: both factors each way.
"""

from federated_lora.adapter import ONLY_A, ONLY_B, Factors
from federated_lora.averaging import check_round, method
from federated_lora.methods.fedavg_lora import FedAvgLoRA


@method(
    "la-lora",
    label="LA-LoRA",
    source="Liu et al., Rethinking LoRA for privacy-preserving federated learning in large models, ICLR 2026,"
    " arXiv 2602.19926",
    order=27,
)
class LALoRA(FedAvgLoRA):
    """Both factors train, never in one step; the server averages each."""

    def moving(self, round: int, step: int) -> Factors:
        """B in odd local steps, A in even ones, counting from 1."""
        check_round(round)
        return ONLY_B if step % 2 == 1 else ONLY_A

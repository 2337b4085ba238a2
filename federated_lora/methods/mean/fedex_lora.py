"""FedEx-LoRA: averages both factors, and puts what that misses into W0.

`Ā = Σ p_k A_k`, `B̄ = Σ p_k B_k`, `W0 ← W0 + s (Σ p_k A_k B_k − Ā B̄)`: the model is the exact mean.

Use it where FedAvg-LoRA runs already and its interference hurts: the clients' training is FedAvg-LoRA's own.
Traffic: both factors each way, and down the residual besides, of rank (N + 1) r at most or dense where that
is fewer numbers.
"""

from federated_lora.adapter import Adapter
from federated_lora.averaging import Average, Gauge, Replies, Update, method
from federated_lora.merged import residual
from federated_lora.methods.fedavg_lora import FedAvgLoRA


@method(
    "fedex",
    label="FedEx-LoRA",
    source="Singhal, Ponkshe and Vepakomma, FedEx-LoRA: Exact aggregation for federated and efficient"
    " fine-tuning of foundation models, ACL 2025, arXiv 2410.09432",
    order=22,
)
class FedExLoRA(FedAvgLoRA):
    """Both factors train and are averaged; the residual of the product goes into W0."""

    merges = True
    average = Average.EXACT
    gauges = frozenset(Gauge)

    def combine(self, server: Adapter, replies: Replies, round: int) -> Update:
        """Ā, B̄, and `s (Σ p_k A_k B_k − Ā B̄)` as a thin product."""
        mean = super().combine(server, replies, round).adapter
        return Update(mean, merged=residual(mean, server, replies, replies.weights))

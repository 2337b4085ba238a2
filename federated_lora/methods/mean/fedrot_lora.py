"""FedRot-LoRA: the clients' factors are rotated towards the server's before they are averaged.

`Q_k = argmin ||A_k Q − A||² + ||Qᵀ B_k − B||²` over orthogonal Q, the polar factor of `A_kᵀ A + B_k Bᵀ` with
the broadcast A and B; then `Ā = Σ p_k A_k Q_k`, `B̄ = Σ p_k Q_kᵀ B_k`. A client's product is the same whatever
its Q, so what is averaged is no longer hurt by the basis it happens to use; the average is not exact.
(The paper aligns softly, with a strength to tune; this is its full strength.)

Use it in FedAvg-LoRA's place when clients take many local steps. Traffic: both factors each way.
"""

from federated_lora.adapter import Adapter
from federated_lora.arrays import accumulator, like, swap
from federated_lora.averaging import Gauge, Replies, Update, method
from federated_lora.methods.fedavg_lora import FedAvgLoRA
from federated_lora.spectral import rotation


@method(
    "fedrot",
    label="FedRot-LoRA",
    source="Zhang et al., FedRot-LoRA: Mitigating rotational misalignment in federated LoRA, 2026,"
    " arXiv 2602.23638",
    order=25,
)
class FedRotLoRA(FedAvgLoRA):
    """Both factors train; each client's are aligned with the broadcast ones, then averaged."""

    gauges = frozenset({Gauge.COMMON_ROTATION, Gauge.ROTATIONS})

    def combine(self, server: Adapter, replies: Replies, round: int) -> Update:
        """The mean of A_k Q_k and of Q_kᵀ B_k."""
        A, B = accumulator(replies.A), accumulator(replies.B)
        Q = rotation(swap(A) @ accumulator(server.A) + B @ swap(accumulator(server.B)))
        turned = Replies(replies.weights, A=A @ Q, B=swap(Q) @ B)
        wide = Adapter(accumulator(server.A), accumulator(server.B), server.scale)
        mean = super().combine(wide, turned, round).adapter
        return Update(Adapter(like(mean.A, server.A), like(mean.B, server.B), server.scale))

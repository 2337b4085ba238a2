"""LoRA-FAIR: B̄ is corrected so that Ā·(B̄ + δ) comes near the exact mean of the products.

`δ = argmin ||Σ p_k A_k B_k − Ā (B̄ + δ)||² + λ ||δ||²`, in closed form
`(ĀᵀĀ + λ I)⁻¹ Āᵀ (Σ p_k A_k B_k − Ā B̄)`, with λ a share of ĀᵀĀ's mean eigenvalue. What lies outside Ā's span
is lost, so it is nearly exact at best. (The paper minimises a cosine distance by gradient steps.)

Use it where FedAvg-LoRA's interference hurts and nothing may be merged. Traffic: both factors each way.
"""

from typing import Self

from federated_lora.adapter import Adapter, Factor
from federated_lora.arrays import accumulator, like, namespace, swap
from federated_lora.averaging import Gauge, Replies, Update, method, with_number
from federated_lora.merged import residual
from federated_lora.methods.fedavg_lora import FedAvgLoRA


@method(
    "lora-fair",
    label="LoRA-FAIR",
    source="Bian et al., LoRA-FAIR: Federated LoRA fine-tuning with aggregation and initialization"
    " refinement, ICCV 2025, arXiv 2411.14961",
    order=26,
)
class LoRAFair(FedAvgLoRA):
    """Both factors train and are averaged; B then takes the regularised correction.

    Attributes:
        strength: λ over the mean eigenvalue of ĀᵀĀ; the parameter after the name's colon.
    """

    gauges = frozenset({Gauge.COMMON_ROTATION})
    parameter = "0.01"
    strength = 0.01

    @classmethod
    def made(cls, parameter: str | None, rounds: int | None) -> Self:  # noqa: ARG003 - the schedules' need
        """With the strength that was asked for.

        Raises:
            ValueError: unless it is a finite number of at least 0.
        """
        return with_number(cls(), "strength", parameter)

    def combine(self, server: Adapter, replies: Replies, round: int) -> Update:
        """Ā, and `B̄ + δ`."""
        mean = super().combine(server, replies, round).adapter
        xp = namespace(mean.A)
        gap = residual(mean, server, replies, replies.weights)
        A = accumulator(mean.A)
        square = swap(A) @ A
        rank = square.shape[-1]
        eye = xp.eye(rank, dtype=A.dtype, device=A.device)
        ridge = self.strength * xp.sum(square * eye, axis=(-2, -1))[..., None, None] / rank
        # The residual is s times the gap of the products, as thin factors.
        right = (swap(A) @ gap.A) @ gap.B * (gap.scale / server.scale)
        delta = xp.linalg.solve(square + ridge * eye, right)
        return Update(mean.with_factor(Factor.B, like(accumulator(mean.B) + delta, server.B)))

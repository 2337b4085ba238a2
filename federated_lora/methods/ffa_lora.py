"""FFA-LoRA: A stays at a shared random initialisation, only B is trained and averaged.

Sun et al., Improving LoRA in privacy-preserving federated learning, ICLR 2024. The average is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from federated_lora.adapter import ONLY_B, Adapter, ClientFactors, Factor, Shape
from federated_lora.method import Aggregate, Weights, average_factors, check_round
from federated_lora.traffic import Traffic, traffic_of


@dataclass(frozen=True, slots=True)
class FFALoRA:
    """B trains in every round; A is frozen for ever."""

    name: str = "ffa"

    def trainable(self, round: int) -> frozenset[Factor]:
        """B, in every round."""
        check_round(round)
        return ONLY_B

    def aggregate(
        self, server: Adapter, clients: ClientFactors, weights: Weights, round: int
    ) -> Aggregate:
        """B̄ = Σ p_k B_k; A is the server's, bit for bit."""
        return average_factors(server, clients, weights, self.trainable(round), round)

    def traffic(self, shapes: Iterable[Shape], round: int) -> Traffic:
        """r·d_out each way."""
        return traffic_of(shapes, up=self.trainable(round), down=self.trainable(round))

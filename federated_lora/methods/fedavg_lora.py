"""FedAvg of LoRA factors (FedIT): train and average A and B separately.

`mean(A_k B_k) ≠ mean(A_k)·mean(B_k)`: the average is inexact (interference).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from federated_lora.adapter import BOTH, Adapter, ClientFactors, Factor, Shape
from federated_lora.method import Aggregate, Weights, average_factors, check_round
from federated_lora.traffic import Traffic, traffic_of


@dataclass(frozen=True, slots=True)
class FedAvgLoRA:
    """Both factors train in every round; the server averages each."""

    name: str = "fedavg"

    def trainable(self, round: int) -> frozenset[Factor]:
        """A and B, in every round."""
        check_round(round)
        return BOTH

    def aggregate(
        self, server: Adapter, clients: ClientFactors, weights: Weights, round: int
    ) -> Aggregate:
        """Ā = Σ p_k A_k and B̄ = Σ p_k B_k."""
        return average_factors(server, clients, weights, self.trainable(round), round)

    def traffic(self, shapes: Iterable[Shape], round: int) -> Traffic:
        """r(d_in + d_out) each way."""
        return traffic_of(shapes, up=self.trainable(round), down=self.trainable(round))

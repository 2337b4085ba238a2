"""RoLoRA: odd rounds train and average B with A frozen, even rounds A with B frozen.

Chen et al., Robust Federated Finetuning of LLMs via Alternating Optimization of LoRA, NeurIPS 2025,
arXiv 2502.01755, Algorithm 1. One factor is the same on all clients in every round: exact average.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from federated_lora.adapter import ONLY_A, ONLY_B, Adapter, ClientFactors, Factor, Shape
from federated_lora.method import Aggregate, Weights, average_factors, check_round
from federated_lora.traffic import Traffic, traffic_of


@dataclass(frozen=True, slots=True)
class RoLoRA:
    """Alternates the trained factor by the server's round alone, B first."""

    name: str = "rolora"

    def trainable(self, round: int) -> frozenset[Factor]:
        """B in odd rounds, A in even rounds, counting from 1."""
        check_round(round)
        return ONLY_B if round % 2 == 1 else ONLY_A

    def aggregate(
        self, server: Adapter, clients: ClientFactors, weights: Weights, round: int
    ) -> Aggregate:
        """Average of the round's factor; the other is the server's, bit for bit."""
        return average_factors(server, clients, weights, self.trainable(round), round)

    def traffic(self, shapes: Iterable[Shape], round: int) -> Traffic:
        """r·d_out each way in B-rounds, r·d_in in A-rounds.

        The downlink is right only where every client holds the other factor: a client that sat out
        a round must be sent what it missed.
        """
        return traffic_of(shapes, up=self.trainable(round), down=self.trainable(round))

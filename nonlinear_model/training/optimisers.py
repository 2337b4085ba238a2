"""SGD, momentum and Adam on a stack of clients: one tensor operation for all of them.

The update rules are PyTorch's (`torch.optim.SGD`, `torch.optim.Adam`), so the literal loop over clients,
which uses those classes, must give the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from federation.policies import STATE_POLICIES
from verification.names import one_of

OPTIMISERS = ("sgd", "momentum", "adam")

State = dict[str, Tensor]
"""Optimiser state of one stacked tensor: name to (R, N, …)."""


@dataclass(frozen=True, slots=True)
class Optimiser:
    """One update rule and its constants.

    Attributes:
        name: `sgd`, `momentum` (heavy ball, as in PyTorch) or `adam`.
        momentum: heavy-ball factor in [0, 1).
        beta1, beta2, epsilon: Adam's.
        state: `reset` at the start of every round, or `keep` with each client between its rounds.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """

    name: str = "sgd"
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    state: str = "reset"

    def __post_init__(self) -> None:
        for field, value, allowed in (
            ("optimiser", self.name, OPTIMISERS),
            ("optimiser_state", self.state, STATE_POLICIES),
        ):
            one_of(field, value, allowed)
        for field, factor in (
            ("momentum", self.momentum),
            ("beta1", self.beta1),
            ("beta2", self.beta2),
        ):
            if not isfinite(factor) or not 0.0 <= factor < 1.0:
                raise ValueError(f"{field} must lie in [0, 1), got {factor}")

    def fresh(self, stack: Tensor) -> State:
        """State of a client that has not stepped yet, for a stacked tensor (R, N, …)."""
        if self.name == "sgd":
            return {}
        if self.name == "momentum":
            return {"velocity": torch.zeros_like(stack)}
        counts = torch.zeros(stack.shape[:2] + (1,) * (stack.ndim - 2), dtype=torch.float64)
        return {
            "first": torch.zeros_like(stack),
            "second": torch.zeros_like(stack),
            "steps": counts.to(stack.device),
        }

    def step(self, stack: Tensor, gradient: Tensor, state: State, rate: Tensor) -> None:
        """One step of every client, in place on the stack and its state.

        Args:
            stack: parameters (R, N, …).
            gradient: the same shape; may be overwritten.
            state: as `fresh` made it.
            rate: learning rates, broadcastable to the stack (one per replica).
        """
        if self.name == "sgd":
            stack.sub_(gradient.mul_(rate))
        elif self.name == "momentum":
            velocity = state["velocity"].mul_(self.momentum).add_(gradient)
            stack.sub_(velocity * rate)
        else:
            first = state["first"].lerp_(gradient, 1.0 - self.beta1)
            second = state["second"].mul_(self.beta2)
            second.addcmul_(gradient, gradient, value=1.0 - self.beta2)
            steps = state["steps"].add_(1.0)
            # In float64 until the last moment: 1 − β₂ᵗ is small in the first steps.
            unbias_first = (1.0 - self.beta1**steps).to(stack.dtype)
            unbias_second = (1.0 - self.beta2**steps).sqrt().to(stack.dtype)
            denominator = (second.sqrt() / unbias_second).add_(self.epsilon)
            stack.sub_((first / denominator).mul_(rate / unbias_first))

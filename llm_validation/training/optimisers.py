"""One update rule, twice: torch's own optimiser for one client, and the same for a stack of clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from llm_validation.config import Config
from llm_validation.training.server import OptimiserState

BETAS = (0.9, 0.999)
EPS = 1e-8
_CLIP_EPS = 1e-6  # as in torch.nn.utils.clip_grad_norm_


@dataclass(frozen=True, slots=True)
class Rule:
    """How a client updates its tensors; fields as in `Config`."""

    kind: str
    learning_rate: float
    momentum: float
    weight_decay: float
    clip: float


def rule_of(config: Config, learning_rate: float) -> Rule:
    """The rule of a run at the round's step size."""
    return Rule(config.optimiser, learning_rate, config.momentum, config.weight_decay, config.clip)


def reference(rule: Rule, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Torch's optimiser of the rule, for one client."""
    if rule.kind == "adamw":
        return torch.optim.AdamW(
            parameters,
            lr=rule.learning_rate,
            betas=BETAS,
            eps=EPS,
            weight_decay=rule.weight_decay,
            foreach=False,
        )
    return torch.optim.SGD(
        parameters,
        lr=rule.learning_rate,
        momentum=rule.momentum,
        weight_decay=rule.weight_decay,
        foreach=False,
    )


class StackedOptimiser:
    """The rule applied to tensors whose leading axis is the client.

    Every client has its own step count and its own gradient norm, so a client's update does not depend
    on who shares the stack.

    Args:
        rule: the rule.
        tensors: name to leaf tensor of shape (n, …) that requires a gradient.
        states: per client, the state to continue from; a tensor without state starts afresh.
    """

    def __init__(
        self, rule: Rule, tensors: Mapping[str, torch.Tensor], states: Sequence[OptimiserState]
    ) -> None:
        self.rule = rule
        self.tensors = dict(tensors)
        kept = {"adamw": ("exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",)}[rule.kind]
        if rule.kind == "sgd" and not rule.momentum:
            kept = ()
        self.moments: dict[str, dict[str, torch.Tensor]] = {}
        self.steps: dict[str, torch.Tensor] = {}
        for name, tensor in self.tensors.items():
            own = [state.get(name, {}) for state in states]
            self.moments[name] = {
                key: torch.stack(
                    [
                        state[key].to(tensor.device)
                        if key in state
                        else torch.zeros_like(tensor[0])
                        for state in own
                    ]
                )
                for key in kept
            }
            counts = [float(state.get("step", torch.tensor(0.0))) for state in own]
            self.steps[name] = torch.tensor(counts, dtype=torch.float64)

    @torch.no_grad()
    def step(self) -> None:
        """Update every tensor from its gradient, and drop the gradient."""
        grads = {
            name: tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)
            for name, tensor in self.tensors.items()
        }
        if self.rule.clip:
            squares = sum(g.reshape(g.shape[0], -1).square().sum(dim=1) for g in grads.values())
            norm = torch.sqrt(torch.as_tensor(squares))
            shrink = (self.rule.clip / (norm + _CLIP_EPS)).clamp(max=1.0)
            grads = {name: g * _aligned(shrink, g) for name, g in grads.items()}
        for name, tensor in self.tensors.items():
            self.steps[name] += 1.0
            if self.rule.kind == "adamw":
                self._adamw(name, tensor, grads[name])
            else:
                self._sgd(name, tensor, grads[name])
            tensor.grad = None

    def _adamw(self, name: str, tensor: torch.Tensor, grad: torch.Tensor) -> None:
        rule, (b1, b2) = self.rule, BETAS
        m, v = self.moments[name]["exp_avg"], self.moments[name]["exp_avg_sq"]
        tensor.mul_(1.0 - rule.learning_rate * rule.weight_decay)
        m.lerp_(grad, 1.0 - b1)
        v.mul_(b2).addcmul_(grad, grad, value=1.0 - b2)
        count = self.steps[name]
        size = _aligned(rule.learning_rate / (1.0 - b1**count), tensor)
        root = _aligned((1.0 - b2**count).sqrt(), tensor)
        tensor.sub_(size * m / (v.sqrt() / root + EPS))

    def _sgd(self, name: str, tensor: torch.Tensor, grad: torch.Tensor) -> None:
        rule = self.rule
        if rule.weight_decay:
            grad = grad + rule.weight_decay * tensor
        if rule.momentum:
            grad = self.moments[name]["momentum_buffer"].mul_(rule.momentum).add_(grad)
        tensor.sub_(rule.learning_rate * grad)

    def states(self) -> list[OptimiserState]:
        """Per client, copies of its state."""
        n = next(iter(self.tensors.values())).shape[0]
        return [
            {
                name: {key: value[k].clone() for key, value in moments.items()}
                | {"step": self.steps[name][k].to(torch.float32)}
                for name, moments in self.moments.items()
            }
            for k in range(n)
        ]


def _aligned(per_client: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A per-client number, shaped to multiply a stacked tensor."""
    shape = (-1,) + (1,) * (like.ndim - 1)
    return per_client.to(like.dtype).to(like.device).reshape(shape)

"""SGD, momentum, Adam and AdamW on a stack of clients: one tensor operation for all of them.

The update rules are PyTorch's (`torch.optim.SGD`, `Adam`, `AdamW`, `clip_grad_norm_`). Every client has its
own step count and its own gradient norm, so its update does not depend on who shares the stack.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from math import isfinite

from verification.discovery import extras_named

with extras_named():
    import torch
    from torch import Tensor

from verification.names import one_of

OPTIMISERS = ("sgd", "momentum", "adam", "adamw")

State = dict[str, Tensor]
"""Optimiser state of one tensor by PyTorch's names; of a stack, `step` has the shape of its client axes."""

_SLOTS = {"sgd": (), "momentum": ("momentum_buffer",), "adam": ("exp_avg", "exp_avg_sq")}
_CLIP_EPSILON = 1e-6  # as in torch.nn.utils.clip_grad_norm_


@dataclass(frozen=True, slots=True)
class Optimiser:
    """One update rule and its constants.

    Stacks have leading client axes: (n, …), or (R, n, …) for R replicas side by side.

    Attributes:
        name: `sgd`, `momentum` (heavy ball, as in PyTorch), `adam` or `adamw`.
        momentum: heavy-ball factor in [0, 1).
        beta1, beta2, epsilon: Adam's.
        weight_decay: decoupled in `adamw`, added to the gradient in the others.
        clip: largest norm of a client's gradient, over all its tensors; 0 for none.
        state: `reset` at the start of every round, or `keep` with each client between its rounds.
    """

    name: str = "sgd"
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip: float = 0.0
    state: str = "reset"

    def __post_init__(self) -> None:
        one_of("optimiser", self.name, OPTIMISERS)
        one_of("optimiser_state", self.state, ("reset", "keep"))
        for field in ("momentum", "beta1", "beta2"):
            factor = getattr(self, field)
            if not isfinite(factor) or not 0.0 <= factor < 1.0:
                raise ValueError(f"{field} must lie in [0, 1), got {factor}")
        for field in ("weight_decay", "clip"):
            value = getattr(self, field)
            if not isfinite(value) or value < 0.0:
                raise ValueError(f"{field} must be at least 0 and finite, got {value}")

    def fresh(self, stack: Tensor, axes: int) -> State:
        """State of clients that have not stepped yet; the stack has `axes` client axes."""
        state = {slot: torch.zeros_like(stack) for slot in _SLOTS[self.name.removesuffix("w")]}
        if "exp_avg" in state:
            state["step"] = torch.zeros(
                stack.shape[:axes], dtype=torch.float64, device=stack.device
            )
        return state

    def joined(self, stack: Tensor, states: Iterable[Mapping[str, Tensor]]) -> State:
        """State of a stack (n, …) out of the n clients' own; a client with an empty one starts afresh."""
        joined = self.fresh(stack, 1)
        for k, own in enumerate(states):
            for slot in joined.keys() & own.keys():
                joined[slot][k] = own[slot]
        return joined

    @torch.no_grad()
    def step(
        self,
        stacks: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        states: Mapping[str, State],
        rate: Tensor | float,
        axes: int,
        moving: Tensor | None = None,
    ) -> None:
        """One step of every client, in place on the stacks and their states.

        Args:
            gradients: by name, the shapes of the stacks; may be overwritten.
            states: by name, as `fresh` made them.
            rate: learning rate of all, or one for each entry of the first client axes.
            moving: bool, of the client axes' shape: the others keep their bits; None if all step.
        """
        if self.clip:
            gradients = self._clipped(gradients, axes)
        for name, stack in stacks.items():
            if moving is None:
                self._update(stack, gradients[name], states[name], rate)
                continue
            held = [stack, *states[name].values()]
            before = [value.clone() for value in held]
            self._update(stack, gradients[name], states[name], rate)
            for now, then in zip(held, before, strict=True):
                now.copy_(torch.where(_over(moving, now), now, then))

    def _update(self, stack: Tensor, gradient: Tensor, state: State, rate: Tensor | float) -> None:
        if self.weight_decay and self.name != "adamw":
            gradient = gradient + self.weight_decay * stack
        if self.name == "sgd":
            stack.sub_(gradient.mul_(_scaled(rate, stack)))
        elif self.name == "momentum":
            velocity = state["momentum_buffer"].mul_(self.momentum).add_(gradient)
            stack.sub_(velocity * _scaled(rate, stack))
        else:
            # In float64 until the last moment: 1 − β₂ᵗ is small in the first steps.
            steps = state["step"].add_(1.0)
            exact = rate.double() if isinstance(rate, Tensor) else rate
            if self.weight_decay and self.name == "adamw":
                stack.mul_(_scaled(1.0 - exact * self.weight_decay, stack))
            first = state["exp_avg"].lerp_(gradient, 1.0 - self.beta1)
            second = state["exp_avg_sq"].mul_(self.beta2)
            second.addcmul_(gradient, gradient, value=1.0 - self.beta2)
            size = _scaled(exact, steps) / (1.0 - self.beta1**steps)
            unbias = (1.0 - self.beta2**steps).sqrt()
            denominator = (second.sqrt() / _scaled(unbias, stack)).add_(self.epsilon)
            stack.sub_((_scaled(size, stack) * first).div_(denominator))

    def _clipped(self, gradients: Mapping[str, Tensor], axes: int) -> dict[str, Tensor]:
        squares = [g.reshape(*g.shape[:axes], -1).square().sum(dim=-1) for g in gradients.values()]
        norm = reduce(torch.add, squares).sqrt()
        shrink = (self.clip / (norm + _CLIP_EPSILON)).clamp(max=1.0)
        return {name: g * _scaled(shrink, g) for name, g in gradients.items()}

    def reference(self, parameters: Iterable[Tensor], rate: float) -> torch.optim.Optimizer:
        """PyTorch's own optimiser of the rule, for one client; it does not clip."""
        decay, betas = self.weight_decay, (self.beta1, self.beta2)
        adams = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        if self.name in adams:
            return adams[self.name](
                parameters, rate, betas, self.epsilon, weight_decay=decay, foreach=False
            )
        momentum = self.momentum if self.name == "momentum" else 0.0
        return torch.optim.SGD(parameters, rate, momentum, weight_decay=decay, foreach=False)


def _over(value: Tensor, stack: Tensor) -> Tensor:
    """One number per client, or per replica, shaped to meet the stack's leading axes."""
    return value.reshape(value.shape + (1,) * (stack.ndim - value.ndim))


def _scaled(value: Tensor | float, stack: Tensor) -> Tensor | float:
    """As `_over`, in the stack's dtype."""
    return _over(value.to(stack.dtype), stack) if isinstance(value, Tensor) else value

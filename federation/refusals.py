"""What is refused: a method that a laboratory cannot run, and replies that are no numbers."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor

from federated_lora import Method


def require_able(method: Method, cannot: Mapping[str, str]) -> None:
    """Refuse a method before any work, where the run could not do what it asks for.

    Args:
        method: the rule.
        cannot: of `merges` (changes W0) and `personal` (factors stay with their client), what is not
            possible, and with what option of the run.

    Raises:
        ValueError: naming the method, what it does and the option in its way.
    """
    does = {"merges": "changes the frozen W0", "personal": "keeps personal factors"}
    for trait, why in cannot.items():
        if getattr(method, trait):
            raise ValueError(
                f"method {method.name} {does[trait]}, which is not possible with {why}"
            )


def sound(stack: Tensor, leading: int) -> Tensor:
    """Which clients' parts of a stack are finite, bool over its first `leading` axes."""
    # A finite sum has finite terms only, and costs one pass; an infinite one may have overflowed.
    if isfinite(float(stack.sum())):
        return torch.ones(stack.shape[:leading], dtype=torch.bool, device=stack.device)
    return torch.isfinite(stack).flatten(leading).all(dim=leading)

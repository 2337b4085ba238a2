"""What a laboratory refuses before any work: a method that asks for what the run cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federated_lora import Method


def require_able(method: Method, cannot: Mapping[str, str]) -> None:
    """Refuse a method before any work, where the run could not do what it asks for.

    Args:
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

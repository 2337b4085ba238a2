"""What a laboratory refuses before any work: methods the run cannot do, and names of earlier versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federated_lora import Method

_NAMES = {
    "alpha": "dirichlet_alpha",
    "participants": "participation, a share of the clients in (0, 1]",
}
_VALUES = {
    "engine": {"batched": "all-at-once", "sequential": "one-by-one"},
    "head": {"fixed": "frozen", "trained": "average"},
    "optimiser_state": {"kept": "keep"},
    "weighting": {"size": "examples"},
}


def require_able(method: Method, cannot: Mapping[str, str]) -> None:
    """Refuse a method before any work, where the run could not do what it asks for.

    Args:
        cannot: of `merges` (changes W0), `personal` (factors stay with their client), `controls` (corrects
            gradients by control variates) and `preconditions` (multiplies them by a matrix), what is not
            possible, and with what option of the run.
    """
    does = {
        "merges": "changes the frozen W0",
        "personal": "keeps personal factors",
        "controls": "has control variates",
        "preconditions": "preconditions gradients",
    }
    for trait, why in cannot.items():
        if getattr(method, trait):
            raise ValueError(
                f"method {method.name} {does[trait]}, which is not possible with {why}"
            )


def refuse_old_names(values: Mapping[str, object]) -> None:
    """Refuse options and values under the names one of the laboratories used to give them."""
    for name, value in values.items():
        if name in _NAMES:
            raise ValueError(f"{name} is now called {_NAMES[name]}")
        now = _VALUES.get(name, {}).get(str(value))
        if now is not None:
            raise ValueError(f"{name} = {value} is now called {name} = {now}")

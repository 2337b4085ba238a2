"""The methods by name."""

from __future__ import annotations

from difflib import get_close_matches

from federated_lora.fedavg_lora import FedAvgLoRA
from federated_lora.ffa_lora import FFALoRA
from federated_lora.method import Method
from federated_lora.rolora import RoLoRA


def methods() -> tuple[Method, ...]:
    """One instance of every built-in method, in the order of presentation."""
    return (FedAvgLoRA(), FFALoRA(), RoLoRA())


def method_named(name: str) -> Method:
    """The built-in method of that name.

    Raises:
        ValueError: if there is none; the nearest name is suggested.
    """
    known = {method.name: method for method in methods()}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1, cutoff=0.0)
    raise ValueError(
        f"method must be one of {', '.join(known)}, got {name!r}; did you mean {near[0]!r}?"
    )

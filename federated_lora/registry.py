"""The methods by name."""

from __future__ import annotations

from federated_lora.method import Method
from federated_lora.methods.fedavg_lora import FedAvgLoRA
from federated_lora.methods.ffa_lora import FFALoRA
from federated_lora.methods.rolora import RoLoRA
from verification.names import one_of


def methods() -> tuple[Method, ...]:
    """One instance of every built-in method, in the order of presentation."""
    return (FedAvgLoRA(), FFALoRA(), RoLoRA())


def method_named(name: str) -> Method:
    """The built-in method of that name.

    Raises:
        ValueError: if there is none; the nearest name is suggested.
    """
    known = {method.name: method for method in methods()}
    return known[one_of("method", name, known)]

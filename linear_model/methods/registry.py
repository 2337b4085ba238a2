"""The linear model's methods by name."""

from collections.abc import Callable
from functools import partial
from typing import Any

import federated_lora
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.methods.base import LinearMethod
from linear_model.methods.ffa_least_squares import FFALeastSquares
from linear_model.methods.local_steps import LocalSteps

OWN: dict[str, tuple[Callable[..., LinearMethod], frozenset[str]]] = {
    "algorithm2": (Algorithm2, frozenset({"eta", "kappa"})),
    "algorithm2-pooled": (partial(Algorithm2, pooled=True), frozenset({"eta", "kappa"})),
    "ffa-ls": (partial(FFALeastSquares, pooled=False), frozenset()),
    "ffa-pooled": (partial(FFALeastSquares, pooled=True), frozenset()),
}
"""Methods of this laboratory alone, and the options of each."""

LOCAL = frozenset({"eta", "kappa", "local_steps", "B", "privacy", "ranks"})
"""Options of every federated_lora method, run by local gradient steps."""


def method_names() -> tuple[str, ...]:
    """Every name `method_named` knows."""
    return (*OWN, *federated_lora.method_names())


def options_of(name: str) -> frozenset[str]:
    """The options the method of that name would have."""
    return OWN[name][1] if name in OWN else LOCAL


def method_named(
    name: str, rounds: int | None = None, *, argument: str = "method", **options: Any
) -> LinearMethod:
    """The method of that name with its options (eta, kappa, local_steps, B, privacy, ranks).

    One of `OWN`, or of `federated_lora.method_named` (`module:Class` too). Raises ValueError if there is none
    (the nearest name is suggested), or if it has no such option.
    """
    if name in OWN:
        make = OWN[name][0]
    else:
        rule = federated_lora.method_named(name, rounds, argument=argument, more=OWN)
        if rule.name in OWN:
            raise ValueError(f"{argument} {name} must not take the name of another: {rule.name}")
        make = partial(LocalSteps, rule)
    allowed = options_of(name)
    for option in options:
        if option not in allowed:
            listed = ", ".join(sorted(allowed)) or "none"
            raise ValueError(f"method {name} has no option {option!r}; it has: {listed}")
    return make(**options)

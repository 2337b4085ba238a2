"""The linear model's methods by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import federated_lora
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.methods.base import LinearMethod
from linear_model.methods.ffa_least_squares import FFALeastSquares
from linear_model.methods.local_steps import LocalSteps
from verification.names import one_of


def _makers() -> dict[str, Callable[..., LinearMethod]]:
    local = (method.name for method in federated_lora.methods())  # whatever is registered there
    return {
        "algorithm2": Algorithm2,
        **{name: partial(LocalSteps, name) for name in local},
        "ffa-ls": partial(FFALeastSquares, pooled=False),
        "ffa-pooled": partial(FFALeastSquares, pooled=True),
    }


def method_names() -> tuple[str, ...]:
    """Every name `method_named` knows."""
    return tuple(_makers())


def method_named(name: str, **options: Any) -> LinearMethod:
    """The method of that name with its options (eta, kappa, local_steps, B).

    Raises:
        ValueError: if there is none (the nearest name is suggested), or if it has no such option.
    """
    makers = _makers()
    one_of("method", name, makers)
    allowed = {
        "algorithm2": {"eta", "kappa"},
        "ffa-ls": set(),
        "ffa-pooled": set(),
    }.get(name, {"eta", "kappa", "local_steps", "B"})
    for option in options:
        if option not in allowed:
            listed = ", ".join(sorted(allowed)) or "none"
            raise ValueError(f"method {name} has no option {option!r}; it has: {listed}")
    return makers[name](**options)

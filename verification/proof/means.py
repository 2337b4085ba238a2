"""The mean over clients in a derivation: for any number of them, since only its linearity is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp


def mean(expression: Any, clientwise: Mapping[sp.Symbol, str]) -> Any:
    """The mean over clients of a polynomial in client-wise variables, as a polynomial in their moments.

    Args:
        expression: a polynomial in the variables; other symbols are the same for every client.
        clientwise: variable ↦ its name in the moments. Two variables of one name, averaged over one
            after the other, are the same quantity of two independent clients.
    """
    total = sp.Integer(0)
    for powers, coefficient in sp.Poly(sp.expand(expression), *clientwise).terms():
        names = (f"{n}{k}" for n, k in zip(clientwise.values(), powers, strict=True) if k)
        moment = "_".join(("mean", *names))
        total += coefficient * (sp.Symbol(moment, real=True) if any(powers) else 1)
    return total

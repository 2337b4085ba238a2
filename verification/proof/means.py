"""The mean over clients in a derivation: for any number of them, since only its linearity is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import sympy as sp


class Average(sp.Expr):  # type: ignore[misc]
    """The mean of a (Laurent) polynomial in independent variables, not yet taken.

    `doit` takes it in SymPy; another engine finds the monomials itself and asks for their moments.
    """

    is_commutative = True
    variables: tuple[sp.Symbol, ...]
    moment: Callable[[tuple[int, ...]], Any]
    taken: Callable[[Any], Any]

    def __new__(
        cls,
        expression: Any,
        variables: Any,
        moment: Callable[..., Any],
        taken: Callable[[Any], Any],
    ) -> Average:
        """Of an expression in variables.

        Args:
            moment: exponents of the variables ↦ the mean of that monomial.
            taken: expression ↦ its mean, by SymPy.
        """
        average: Average = sp.Expr.__new__(cls, sp.sympify(expression), sp.Dummy())
        average.variables, average.moment, average.taken = tuple(variables), moment, taken
        return average

    def doit(self, **hints: Any) -> Any:
        """The mean."""
        return self.taken(self.args[0].doit(**hints))


def moment_of(clientwise: Mapping[sp.Symbol, str], powers: tuple[int, ...]) -> Any:
    """The symbol of a monomial's mean over clients, 1 for the empty monomial."""
    names = (f"{n}{k}" for n, k in zip(clientwise.values(), powers, strict=True) if k)
    return sp.Symbol("_".join(("mean", *names)), real=True) if any(powers) else sp.Integer(1)


def mean(expression: Any, clientwise: Mapping[sp.Symbol, str]) -> Any:
    """The mean over clients of a polynomial in client-wise variables, as a polynomial in their moments.

    Args:
        expression: a polynomial in the variables; other symbols are the same for every client.
        clientwise: variable ↦ its name in the moments. Two variables of one name, averaged over one
            after the other, are the same quantity of two independent clients.
    """
    terms = sp.Poly(sp.expand(expression), *clientwise).terms()
    return sp.Add(*(coefficient * moment_of(clientwise, powers) for powers, coefficient in terms))


def average(expression: Any, clientwise: Mapping[sp.Symbol, str]) -> Average:
    """The same, not yet taken."""
    return Average(
        expression, clientwise, partial(moment_of, clientwise), partial(mean, clientwise=clientwise)
    )

"""Deciding `polynomial(y, κ) ≥ 0 for all y in [0, 1]` exactly as a function of κ.

The answer can change only where a root in y enters through an end, two roots meet, or one comes from
infinity: at the real roots of P(0, κ), P(1, κ), the discriminant and the leading coefficient. Between
neighbouring ones a single rational κ decides the whole cell (a one-parameter cylindrical decomposition).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from verification.finding import ProofStep
from verification.proof.obligations import Obligation, Reader
from verification.proof.second_opinion import decided_again


@dataclass(frozen=True, slots=True)
class SignInterval:
    """An open interval of the parameter on which the inequality is true throughout or never.

    Attributes:
        low, high: exact ends; `high` may be oo.
        holds: the decision, at one rational inside.
    """

    low: Any
    high: Any
    holds: bool


def decide(polynomial: Any, variable: sp.Symbol, parameter: sp.Symbol) -> tuple[SignInterval, ...]:
    """The cells of parameter > 0, in order, with `polynomial ≥ 0 on variable ∈ [0, 1]` decided on each.

    Args:
        polynomial: in the two symbols, with rational coefficients.

    Raises:
        ValueError: if the polynomial is none, or vanishes identically at an end of [0, 1] (divide that
            factor out first).
    """
    try:
        poly = sp.Poly(polynomial, variable, parameter, domain=sp.QQ)
    except (sp.PolynomialError, sp.CoercionFailed) as error:
        raise ValueError(f"polynomial must have rational coefficients, got {polynomial}") from error
    expression = poly.as_expr()
    ends = [sp.expand(expression.subs(variable, end)) for end in (0, 1)]
    if any(end == 0 for end in ends):
        raise ValueError(f"polynomial must not vanish identically at 0 or 1, got {expression}")
    in_variable = sp.Poly(expression, variable)
    watched = [*ends, in_variable.LC()]
    if in_variable.degree() > 1:
        watched.append(in_variable.discriminant())
    critical = {
        root
        for function in watched
        if sp.sympify(function).has(parameter)
        for root in sp.Poly(function, parameter).real_roots(multiple=True)
        if root > 0
    }
    ordered = sorted(critical, key=lambda root: sp.N(root, 50))
    cells = []
    for low, high in zip([sp.Integer(0), *ordered], [*ordered, sp.oo], strict=True):
        holds = _nonnegative(expression, variable, parameter, _between(low, high))
        cells.append(SignInterval(low, high, holds))
    return tuple(cells)


def largest(cells: tuple[SignInterval, ...]) -> Any:
    """The end of the unbroken run of true cells that starts at 0: 0 if there is none, oo if all.

    The end itself belongs to the range, because the inequality is not strict.
    """
    end: Any = sp.Integer(0)
    for cell in cells:
        if not cell.holds:
            break
        end = cell.high
    return end


def largest_is(
    statement: str, polynomial: Any, variable: sp.Symbol, parameter: sp.Symbol, stated: Any
) -> ProofStep:
    """A step that holds if the run of true cells from 0 ends at `stated`.

    Further engines decide it without cells: the inequality is true up to there for every value in [0, 1],
    and just above there it is false at one of them.
    """
    cells = decide(polynomial, variable, parameter)
    found = largest(cells)
    said = f"the critical values leave {len(cells)} cells, of which the true ones from 0 end at {found}"
    return decided_again(
        statement,
        found == stated or sp.simplify(found - stated) == 0,
        said,
        lambda: _without_cells(polynomial, variable, parameter, sp.sympify(stated), cells),
        fails="false",
    )


def _without_cells(
    polynomial: Any,
    variable: sp.Symbol,
    parameter: sp.Symbol,
    stated: Any,
    cells: Sequence[SignInterval],
) -> list[Obligation]:
    share, above = sp.symbols(f"{parameter}_share {parameter}_above", positive=True)
    unit = (sp.Integer(0), sp.Integer(1))
    below = Reader().obligation(
        [(polynomial, 0)], "≥", {variable: unit, share: unit}, where={parameter: stated * share}
    )
    later = [cell.high for cell in cells if cell.high != sp.oo and cell.high > stated]
    room = (
        _between(stated, min(later, default=stated + 2)) - stated
    )  # no further than this is claimed
    near = stated + room * above / (1 + above)
    close = near.subs(above, sp.Rational(1, 1000))
    values = {
        at: polynomial.subs({variable: at, parameter: close}) for at in (1, 0, sp.Rational(1, 2))
    }
    witness = min(values, key=lambda at: sp.N(values[at]))
    beyond = Reader().obligation(
        [(0, polynomial)], ">", where={variable: sp.sympify(witness), parameter: near}
    )
    return [below, beyond]


def _between(low: Any, high: Any) -> Any:
    if high == sp.oo:
        return sp.floor(low) + 1
    middle = (low + high) / 2
    digits = 20
    while True:
        sample = sp.Rational(sp.N(middle, digits))
        if low < sample < high:
            return sample
        digits *= 2


def _nonnegative(expression: Any, variable: sp.Symbol, parameter: sp.Symbol, value: Any) -> bool:
    at = sp.Poly(expression.subs(parameter, value), variable)
    # No root lies at an end or is double inside an open cell, so any root is a change of sign.
    if at.degree() > 0 and at.count_roots(0, 1) > 0:
        return False
    return bool(at.eval(sp.Rational(1, 2)) > 0)

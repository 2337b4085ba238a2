"""Small tools for machine-checked proof steps."""

from __future__ import annotations

from typing import Any

import sympy as sp

from verification.finding import ProofStep


def identity(statement: str, left: Any, right: Any) -> ProofStep:
    """A step that holds if `left − right` simplifies to exactly 0 (scalars or matrices)."""
    matrix = hasattr(left, "applyfunc")
    difference = (left - right).applyfunc(_reduced) if matrix else _reduced(left - right)
    holds = all(entry == 0 for entry in difference) if matrix else difference == 0
    certificate = ("every entry of the " if matrix else "") + "difference simplifies to 0"
    return ProofStep(statement, holds, certificate if holds else f"difference: {difference}")


def rational_identity(statement: str, left: Any, right: Any) -> ProofStep:
    """The same for rational functions, over one denominator."""
    return identity(statement, sp.cancel(sp.together(left - right)), sp.Integer(0))


def sized_identity(statement: str, left: Any, right: Any) -> ProofStep:
    """A step that holds if `left − right` expands to the zero matrix, its sizes left symbolic.

    For expressions in `sympy.MatrixSymbol`: one proof for every dimension.
    """
    difference = sp.expand(sp.expand(left - right).doit()).doit()
    holds = difference == sp.ZeroMatrix(*difference.shape)
    certificate = "expands to the zero matrix with symbolic sizes"
    return ProofStep(statement, holds, certificate if holds else f"difference: {difference}")


def nonnegative_on_box(
    statement: str, expression: Any, box: dict[Any, tuple[Any, Any]]
) -> ProofStep:
    """A step that holds if a polynomial is ≥ 0 on a box with rational corners.

    Every variable x in [a, b] becomes x = (a + b t)/(1 + t), t ≥ 0 (b may be oo: x = a + t); clearing the
    positive denominators leaves a polynomial in the t's. Only non-negative coefficients: a proof.
    Sufficient, not necessary: a step that fails is not a disproof.
    """
    substituted = expression
    fresh = []
    for index, (variable, (low, high)) in enumerate(box.items()):
        t = sp.Symbol(f"t{index}", nonnegative=True)
        fresh.append(t)
        image = low + t if high == sp.oo else (low + high * t) / (1 + t)
        substituted = substituted.subs(variable, image)
    numerator, denominator = sp.fraction(sp.cancel(sp.together(substituted)))
    bottom = sp.Poly(sp.expand(denominator), *fresh).coeffs()
    if all(c < 0 for c in bottom):
        numerator, bottom = -numerator, [-c for c in bottom]
    top = sp.Poly(sp.expand(numerator), *fresh).coeffs()
    holds = all(c >= 0 for c in top) and all(c > 0 for c in bottom)
    return ProofStep(
        statement,
        bool(holds),
        f"all {len(top)} coefficients non-negative after mapping the box to t ≥ 0"
        if holds
        else f"coefficients of mixed sign: {top}",
    )


def by_slope(
    statement: str, gap: Any, variable: sp.Symbol, box: dict[Any, tuple[Any, Any]]
) -> tuple[ProofStep, ProofStep]:
    """Two steps that show `gap ≥ 0` on a box: 0 where the variable starts, and a slope ≥ 0 in it."""
    start = gap.subs(variable, box[variable][0])
    slope = sp.cancel(sp.together(sp.diff(gap, variable)))
    return (
        identity(f"{statement}: the gap is 0 at {variable} = {box[variable][0]}", start, 0),
        nonnegative_on_box(f"{statement}: and grows with {variable}", slope, box),
    )


def follows(statement: str, goal: Any, *because: tuple[Any, Any]) -> ProofStep:
    """A step that holds if `goal` is the sum of multiplier × hypothesis: ≥ 0 if every hypothesis is.

    Args:
        because: pairs of a multiplier, ≥ 0 by the assumptions on its symbols, and a hypothesis "≥ 0".
    """
    total = sp.Add(*(factor * least for factor, least in because))
    step = rational_identity(statement, goal, total)
    if signs := [factor for factor, _ in because if not sp.sympify(factor).is_nonnegative]:
        return ProofStep(statement, False, f"multipliers of unknown sign: {signs}")
    return step


def induction(statement: str, total: Any, count: sp.Symbol, added: Any) -> ProofStep:
    """A step that holds if `total` is the sum of what is added at 0, 1, …, count − 1: for every count.

    By induction: it is 0 at count 0, and grows by `added` (an expression in count) from count to count + 1.
    """
    grown = total.subs(count, count + 1) - total
    found = sp.Matrix([total.subs(count, 0), sp.powsimp(sp.expand(grown))])
    return identity(f"{statement} (induction)", found, sp.Matrix([0, added]))


def generic_matrix(name: str, rows: int, columns: int) -> sp.Matrix:
    """A matrix of independent real symbols `name_ij`, i and j counting from 1."""
    return sp.Matrix(rows, columns, lambda i, j: sp.Symbol(f"{name}_{i + 1}{j + 1}", real=True))


def generic_symmetric(name: str, size: int) -> sp.Matrix:
    """A symmetric matrix of real symbols `name` followed by i and j ≥ i, counting from 0."""
    return sp.Matrix(size, size, lambda i, j: sp.Symbol(f"{name}{min(i, j)}{max(i, j)}", real=True))


def _reduced(difference: Any) -> Any:
    """The difference in a form that is 0 if the machine can see that it is."""
    if (gap := _gap_at_a_point(difference)) is not None:
        return gap  # no simplification can make it 0
    expanded = sp.expand(difference)
    symbols = sorted(expanded.free_symbols, key=str)
    if symbols and all(s.is_commutative for s in symbols) and expanded.is_polynomial(*symbols):
        domain = sp.Poly(expanded, *symbols).domain
        if domain.is_ZZ or domain.is_QQ:
            return expanded  # expanded rational polynomials are equal only if identical
    return sp.simplify(sp.together(expanded))


def _gap_at_a_point(difference: Any) -> Any:
    """A non-zero value of the difference at a point its symbols' assumptions allow, or None.

    Simplifying an expression that is not 0 can take minutes; one evaluation shows that it is not.
    """
    symbols = sorted(difference.free_symbols, key=str)
    if not symbols or not all(type(s) in (sp.Symbol, sp.Dummy) for s in symbols):
        return None
    point = {}
    for index, symbol in enumerate(symbols):
        # Integers from 4 up and other numbers in (0, 1) satisfy every assumption used, but a sign.
        value = (
            sp.Integer(4 + index) if symbol.is_integer else sp.Rational(index + 2, 3 * index + 7)
        )
        point[symbol] = -value if symbol.is_negative or symbol.is_nonpositive else value
        if not symbol.is_commutative or symbol.is_even is not None or symbol.is_odd is not None:
            return None
    value = difference.subs(point).evalf(30)
    return value if value.is_Float and abs(value) > sp.Float("1e-12") else None

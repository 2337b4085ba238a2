"""Small tools for machine-checked proof steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, wraps
from typing import Any, ParamSpec

import sympy as sp
from sympy.core.evalf import PrecisionExhausted

from verification.finding import Fails, ProofStep
from verification.proof import words
from verification.proof.obligations import Reader
from verification.proof.second_opinion import decided_again

Said = ParamSpec("Said")
DECIDED: dict[Any, ProofStep] = {}
"""Steps by what they say; a claim's control and neighbours have most steps in common with it."""


LONGEST = 300
"""Characters of a difference that are told."""


def once(decide: Callable[Said, ProofStep]) -> Callable[Said, ProofStep]:
    """A step depends on nothing but what it says: one that was decided before is looked up."""

    @wraps(decide)
    def known(*said: Said.args, **how: Said.kwargs) -> ProofStep:
        key = decide.__name__, _frozen(said), _frozen(how)
        if key not in DECIDED:
            DECIDED[key] = decide(*said, **how)
        return DECIDED[key]

    return known


def _frozen(said: Any) -> Any:
    """The same as something that cannot change."""
    if isinstance(said, Mapping):
        return tuple((_frozen(name), _frozen(value)) for name, value in said.items())
    if isinstance(said, (tuple, list)):
        return tuple(map(_frozen, said))
    if isinstance(said, sp.MatrixBase):
        return said.as_immutable()
    return said if said is None or isinstance(said, str) else sp.sympify(said)


@once
def identity(
    statement: str,
    left: Any,
    right: Any,
    *,
    vanishing: Sequence[Any] = (),
    where: Mapping[Any, Any] | None = None,
) -> ProofStep:
    """A step that holds if `left − right` simplifies to exactly 0 (scalars or matrices).

    Further engines get the two sides as they are: hand over a `sympy.Derivative`, an `Average` and what is
    put in, `where`, rather than their values.

    Args:
        statement: what it says.
        left, right: the two sides.
        vanishing: expressions that are 0 by assumption, such as c² + s² − 1, each a square of a symbol up to
            others; with them the two sides are polynomials or quotients of them.
        where: what is put in for symbols, once derivatives and means are taken.
    """
    matrix = hasattr(left, "applyfunc")
    difference = _taken(left - right, where)
    # A false step is told at once: simplifying what is not 0 can take many times as long. And only a point
    # refutes: that the simplification does not reach 0 may be its own limit.
    apart = "" if vanishing else _apart(difference if matrix else [difference])
    fails: Fails = "false" if apart else "false at a point"
    if not apart:
        reduced = partial(_reduced, vanishing=vanishing)
        difference = difference.applyfunc(reduced) if matrix else reduced(difference)
    holds = all(entry == 0 for entry in difference) if matrix else difference == 0
    certificate = ("every entry of the " if matrix else "") + "difference simplifies to 0"
    said = certificate if holds else apart or f"difference: {difference}"
    if not matrix and not sp.sympify(left - right).is_commutative:
        instance, same = (
            partial(words.instance, left, right),
            partial(words.same_words, left, right),
        )
        return decided_again(statement, holds, said, lambda: [instance()], same, fails=fails)
    pairs = list(zip(left, right, strict=True)) if matrix else [(left, right)]
    return _read(statement, holds, said, pairs, fails, vanishing=vanishing, where=where)


def _apart(entries: Iterable[Any]) -> str:
    """Where an expression is a number other than 0, at one point that its symbols' assumptions allow."""
    for entry in entries:
        symbols = sorted(sp.sympify(entry).free_symbols, key=str)
        point = {symbol: _value(symbol, sp.prime(k + 5)) for k, symbol in enumerate(symbols)}
        if not all(_allowed(*placed) for placed in point.items()):
            return ""
        try:
            value = sp.sympify(entry).xreplace(point).evalf(40, strict=True)
        except PrecisionExhausted:  # as for what is 0
            continue
        if value.is_Float and abs(value) > sp.Float("1e-20"):
            place = ", ".join(f"{name} = {number}" for name, number in point.items())
            return f"difference{' at ' if place else ''}{place}: {value.n(6)}"
    return ""


def _allowed(symbol: Any, value: Any) -> bool:
    """Whether a number has every property that a symbol is assumed to have."""
    facts = symbol.assumptions0.items()
    return not symbol.is_Matrix and all(
        getattr(value, f"is_{fact}") is is_so for fact, is_so in facts
    )


def _value(symbol: Any, prime: Any) -> Any:
    """A value within a symbol's assumptions, of its own."""
    if symbol.is_integer:
        return sp.Integer(-prime if symbol.is_nonpositive else prime)
    size = sp.Rational(prime - 3, 2 * prime)  # inside (0, 1)
    return -size if symbol.is_nonpositive else size


@once
def rational_identity(
    statement: str, left: Any, right: Any, *, where: Mapping[Any, Any] | None = None
) -> ProofStep:
    """The same for rational functions, over one denominator."""
    difference = sp.cancel(sp.together(_taken(left - right, where)))
    holds = difference == 0
    said = "difference simplifies to 0" if holds else f"difference: {difference}"
    if len(said) > LONGEST:  # nobody reads it: where it is a number says as much
        said = _apart([difference]) or f"{said[:LONGEST]}…"
    return _read(statement, holds, said, [(left, right)], "false", where=where)


def _taken(expression: Any, where: Mapping[Any, Any] | None) -> Any:
    """Derivatives and means by SymPy, then what is put in."""
    done = expression.doit() if hasattr(expression, "doit") else sp.sympify(expression)
    return done.xreplace({old: sp.sympify(new).doit() for old, new in (where or {}).items()})


def _read(
    statement: str, holds: bool, said: str, pairs: Sequence[Any], fails: Fails, **how: Any
) -> ProofStep:
    """The step for engines that read its sides as trees."""
    return decided_again(
        statement, holds, said, lambda: [Reader().obligation(pairs, **how)], fails=fails
    )


@once
def sized_identity(
    statement: str, left: Any, right: Any, *, where: Mapping[Any, Any] | None = None
) -> ProofStep:
    """A step that holds if `left − right` expands to the zero matrix, its sizes left symbolic.

    For expressions in `sympy.MatrixSymbol`: one proof for every dimension. `where` as in `identity`.
    """
    difference = sp.expand(sp.expand((left - right).xreplace(where or {})).doit()).doit()
    holds = difference == sp.ZeroMatrix(*difference.shape)
    certificate = "expands to the zero matrix with symbolic sizes"
    return decided_again(
        statement,
        holds,
        certificate if holds else f"difference: {difference}",
        lambda: [words.instance(left, right, where)],
        lambda: words.same_words(left, right, where),
        fails="false at a point",  # an instance
    )


@once
def nonnegative_on_box(
    statement: str,
    expression: Any,
    box: dict[Any, tuple[Any, Any]],
    *,
    where: Mapping[Any, Any] | None = None,
) -> ProofStep:
    """A step that holds if a polynomial is ≥ 0 on a box with rational corners.

    Every variable x in [a, b] becomes x = (a + b t)/(1 + t), t ≥ 0 (b may be oo: x = a + t); clearing the
    positive denominators leaves a polynomial in the t's. Only non-negative coefficients: a proof.
    Sufficient, not necessary: a step that fails is not a disproof.
    """
    substituted = _taken(expression, where)
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
    return decided_again(
        statement,
        bool(holds),
        f"all {len(top)} coefficients non-negative after mapping the box to t ≥ 0"
        if holds
        else f"coefficients of mixed sign: {top}",
        lambda: [Reader().obligation([(expression, 0)], "≥", box, where=where)],
        fails="false at a point",
    )


@once
def positive(statement: str, *expressions: Any) -> ProofStep:
    """A step that holds if SymPy sees each expression > 0 under its symbols' assumptions."""
    holds = all(sp.factor(expression).is_positive for expression in expressions)
    return decided_again(
        statement,
        bool(holds),
        "positive under the assumptions on the symbols" if holds else f"not seen: {expressions}",
        lambda: [Reader().obligation([(expression, 0) for expression in expressions], ">")],
        fails="false at a point",
    )


@once
def positive_on_half_line(statement: str, expression: Any, variable: sp.Symbol) -> ProofStep:
    """A step that holds if a rational function of one variable is > 0 for all its values ≥ 0.

    Its numerator and denominator have no root there (Sturm), and it is positive at 0.
    """
    parts = [sp.Poly(sp.expand(part), variable) for part in sp.fraction(sp.cancel(expression))]
    roots = [part.count_roots(0, sp.oo) for part in parts]
    holds = not any(roots) and bool(expression.subs(variable, 0) > 0)
    return decided_again(
        statement,
        holds,
        f"numerator and denominator have no root in {variable} ≥ 0 (Sturm), positive at 0"
        if holds
        else f"roots of numerator and denominator in {variable} ≥ 0: {roots}",
        lambda: [Reader().obligation([(expression, 0)], ">", {variable: (0, sp.oo)})],
        fails="false",
    )


def by_slope(
    statement: str, gap: Any, variable: sp.Symbol, box: dict[Any, tuple[Any, Any]]
) -> tuple[ProofStep, ProofStep]:
    """Two steps that show `gap ≥ 0` on a box: 0 where the variable starts, and a slope ≥ 0 in it."""
    start = box[variable][0]
    return (
        identity(
            f"{statement}: the gap is 0 at {variable} = {start}", gap, 0, where={variable: start}
        ),
        nonnegative_on_box(
            f"{statement}: and grows with {variable}", sp.Derivative(gap, variable), box
        ),
    )


@once
def follows(statement: str, goal: Any, *because: tuple[Any, Any]) -> ProofStep:
    """A step that holds if `goal` is the sum of multiplier × hypothesis: ≥ 0 if every hypothesis is.

    Args:
        because: pairs of a multiplier, ≥ 0 by the assumptions on its symbols, and a hypothesis "≥ 0".
    """
    total = sp.Add(*(factor * least for factor, least in because))
    difference = sp.cancel(sp.together(goal - total))
    factors = [sp.sympify(factor) for factor, _ in because]
    unknown = [factor for factor in factors if not factor.is_nonnegative]
    said = f"multipliers of unknown sign: {unknown}" if unknown else f"difference: {difference}"
    return decided_again(
        statement,
        difference == 0 and not unknown,
        said if unknown or difference != 0 else "the difference is 0, and no multiplier negative",
        lambda: [
            Reader().obligation([(goal, total)]),
            Reader().obligation([(factor, 0) for factor in factors], "≥"),
        ],
        fails="unproved",  # another sum may be the goal
    )


@once
def induction(statement: str, total: Any, count: sp.Symbol, added: Any) -> ProofStep:
    """A step that holds if `total` is the sum of what is added at 0, 1, …, count − 1: for every count.

    By induction: it is 0 at count 0, and grows by `added` (an expression in count) from count to count + 1.
    """
    now, after = total.subs(count, 0), total.subs(count, count + 1)
    grown = sp.powsimp(sp.expand(after - total)) - added
    apart = _apart([now, grown])
    holds = now == 0 and not apart and _reduced(grown) == 0
    said = (
        "0 at 0, and both sides agree one further"
        if holds
        else apart or f"at 0: {now}, difference: {grown}"
    )
    start, further = sp.Symbol(f"{count}_start"), sp.Symbol(f"{count}_next", positive=True)
    raised = [(total.xreplace({count: further}), total + added)]
    return decided_again(
        f"{statement} (induction)",
        holds,
        said,
        lambda: [
            Reader().obligation([(total.xreplace({count: start}), 0)], where={start: 0}),
            Reader().obligation(raised, where={further: count + 1}),
        ],
        fails="false" if apart else "false at a point",
    )


def generic_matrix(name: str, rows: int, columns: int) -> sp.Matrix:
    """A matrix of independent real symbols `name_ij`, i and j counting from 1."""
    return sp.Matrix(rows, columns, lambda i, j: sp.Symbol(f"{name}_{i + 1}{j + 1}", real=True))


def generic_symmetric(name: str, size: int) -> sp.Matrix:
    """A symmetric matrix of real symbols `name` followed by i and j ≥ i, counting from 0."""
    return sp.Matrix(size, size, lambda i, j: sp.Symbol(f"{name}{min(i, j)}{max(i, j)}", real=True))


def _reduced(difference: Any, vanishing: Sequence[Any] = ()) -> Any:
    """The difference in a form that is 0 if the machine can see that it is."""
    if vanishing:
        return _remainder(difference, vanishing)
    expanded = sp.expand(difference)
    symbols = sorted(expanded.free_symbols, key=str)
    if symbols and all(s.is_commutative for s in symbols) and expanded.is_polynomial(*symbols):
        domain = sp.Poly(expanded, *symbols).domain
        if domain.is_ZZ or domain.is_QQ:
            return expanded  # expanded rational polynomials are equal only if identical
    # Over one denominator most differences are seen to be 0; to simplify takes many times as long.
    if expanded.is_commutative and sp.cancel(sp.together(difference)) == 0:
        return sp.S.Zero
    return sp.simplify(
        sp.together(sp.expand_func(expanded) if expanded.has(sp.gamma) else expanded)
    )


def _remainder(difference: Any, vanishing: Sequence[Any]) -> Any:
    """The numerator divided by each equation in the first of its symbols: 0 is a proof."""
    rest = sp.expand(sp.fraction(sp.together(difference))[0])
    for equation in vanishing:
        rest = sp.expand(sp.rem(rest, equation, min(equation.free_symbols, key=str)))
    return rest

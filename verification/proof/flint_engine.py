"""Exact rational polynomials, real roots and balls of python-flint decide what SymPy decided.

Equality: both sides become quotients of polynomials in the symbols and atoms, and the numerator of their
difference is reduced by the atoms' rules; 0 is a proof. Signs: see `flint_signs`. A step is contradicted by
one rational point of its domain alone, where balls keep the two sides apart.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from fractions import Fraction
from math import floor
from typing import Any

from flint import arb, ctx, fmpq_mpoly

from verification.proof.flint_signs import signs
from verification.proof.flint_values import BITS, Fractions, ball, value
from verification.proof.lowering import Algebra, algebra
from verification.proof.obligations import Obligation, Range
from verification.proof.trees import Term, UnreadableError, minus, power, times

NAME = "python-flint"
POINTS, TRIES = 3, 40
"""Points of the domain at which a step is tried, and draws to find them."""
NOWHERE = "no point of the domain was found at which both sides are defined"

Rule = tuple[str, int, Any, Any]


def opinion(obligation: Obligation) -> tuple[bool | None, str]:
    """Whether the obligation is true, None if this engine cannot tell, and why."""
    ctx.prec = BITS
    try:
        lowered = algebra(obligation)
        field = Fractions(tuple(lowered.obligation.domain))
        rules = _rules(field, lowered)
        seen = _points(obligation, rules, lowered)
        if not seen:
            return None, NOWHERE
        if (against := _contradiction(obligation, seen)) is not None:
            return False, against
        if obligation.relation == "=":
            return _equal(field, rules, lowered.obligation)
        return signs(field, lowered)
    except (UnreadableError, ZeroDivisionError) as reason:
        return None, str(reason)


def somewhere(obligation: Obligation) -> bool:
    """Whether a point of the domain was found at which both sides are defined."""
    lowered = algebra(obligation)
    return bool(
        _points(obligation, _rules(Fractions(tuple(lowered.obligation.domain)), lowered), lowered)
    )


def contradicted(obligation: Obligation, point: Mapping[str, Fraction]) -> str | None:
    """What makes the obligation false at this point of its domain, in words, or None."""
    at = {name: ball(exact) for name, exact in point.items()}
    zero = [value(tree, at) for tree in obligation.vanishing]
    return _contradiction(obligation, [at]) if all(tree == 0 for tree in zero) else None


def _contradiction(obligation: Obligation, seen: list[dict[str, arb]]) -> str | None:
    """A point where the step is false, in words, or None."""
    for point in seen:
        for left, right in obligation.pairs:
            gap = value(minus(left, right), point)
            wrong = {"=": not gap.contains(0), "≥": bool(gap < 0), ">": bool(gap <= 0)}
            if wrong[obligation.relation]:
                at = ", ".join(f"{name} = {_told(x)}" for name, x in point.items())
                return f"left − right is {_told(gap)}" + (f" at {at}" if at else "")
    return None


def _told(ball: arb) -> str:
    exact = ball.unique_fmpz()
    return str(exact) if exact is not None else str(ball.str(6, radius=False))


def _equal(field: Fractions, rules: list[Rule], obligation: Obligation) -> tuple[bool | None, str]:
    for left, right in obligation.pairs:
        rest = field.value(minus(left, right))[0]
        for name, n, top, bottom in rules:
            rest = field.reduce(rest, name, n, top, bottom)
        if not rest.is_zero():
            return None, "the difference is not reduced to 0, and no point tells the sides apart"
    ways = ", the rules of its roots and equations applied" if rules else ""
    return True, f"the difference has numerator 0{ways}"


def _rules(field: Fractions, lowered: Algebra) -> list[Rule]:
    """Rewriting nameⁿ = top/bottom, the last atom first; an equation is solved for one of its symbols."""
    rules = [
        (atom.name, atom.rule[0], *field.value(atom.rule[1]))
        for atom in reversed(lowered.atoms)
        if atom.rule is not None
    ]
    for tree in lowered.obligation.vanishing:
        equation = field.value(tree)[0]
        for name in field.names:
            parts = field.coefficients(equation, name)
            n = max(parts)
            if n > 0 and set(parts) <= {0, n} and parts[n].is_constant():
                rules.append((name, n, -parts.get(0, field.ring.constant(0)), parts[n]))
                break
        else:
            raise UnreadableError("an equation has no symbol whose power it gives")
    return rules


def rewriting(lowered: Algebra) -> list[tuple[str, int, Term]]:
    """What a power of a symbol is, (symbol, exponent, tree), for every root and equation."""
    field = Fractions(tuple(lowered.obligation.domain))
    tree = field.tree
    return [
        (name, n, tree(top) if bottom.is_one() else times(tree(top), power(tree(bottom), -1)))
        for name, n, top, bottom in _rules(field, lowered)
    ]  # fmt: skip


def _points(obligation: Obligation, rules: list[Rule], lowered: Algebra) -> list[dict[str, arb]]:
    """Some points of the domain at which both sides are defined, the same in every run."""
    rng = random.Random(0)
    atoms = {atom.name for atom in lowered.atoms}
    solved = {name: rule for name, *rule in rules if name not in atoms}
    found: list[dict[str, arb]] = []
    for _ in range(TRIES):
        point = {name: ball(_drawn(rng, within)) for name, within in obligation.domain.items()}
        for name, (n, top, bottom) in solved.items():
            point[name] = (_at(top, point, lowered) / _at(bottom, point, lowered)).root(n)
        defined = [value(part, point) for pair in obligation.pairs for part in pair]
        defined += [*point.values()]
        if all(one.is_finite() for one in defined):
            found.append(point)
        if len(found) == POINTS:
            break
    return found


def _at(polynomial: fmpq_mpoly, point: Mapping[str, arb], lowered: Algebra) -> arb:
    names, total = tuple(lowered.obligation.domain), arb(0)
    for powers, coefficient in polynomial.to_dict().items():
        term = arb(coefficient)
        for name, k in zip(names, powers, strict=False):
            term *= point[name] ** k if k else 1
        total += term
    return total


def _drawn(rng: random.Random, within: Range) -> Fraction:
    low, high = within.low, within.high
    if within.whole:
        first = (1 if high is None else floor(high) - 6) if low is None else floor(low) + 1
        most = 6 if high is None or low is None else max(min(6, floor(high) - first + 1), 1)
        return Fraction(first + rng.randrange(most))
    share = Fraction(rng.randrange(1, 97), 97)
    if low is not None and high is not None:
        return low + share * (high - low)
    size = share / (1 - share) if rng.random() < 0.5 else share
    if low is None:
        return (high or 0) - size if high is not None or rng.random() < 0.5 else size
    return low + size

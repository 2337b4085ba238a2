"""Exact rational polynomials, real roots and balls of python-flint decide what SymPy decided.

Equality: both sides become quotients of polynomials in the symbols and atoms, and the numerator of their
difference is reduced by the atoms' rules; 0 is a proof. Signs: a box is mapped to t ≥ 0 and halved until all
coefficients have one sign. A step is contradicted by one rational point of its domain alone, where balls
keep the two sides apart.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import lcm
from typing import Any

from flint import Ordering, arb, ctx, fmpq, fmpq_mpoly, fmpq_mpoly_ctx

from verification.proof.obligations import (
    Algebra,
    Obligation,
    Range,
    Term,
    UnreadableError,
    algebra,
    minus,
    number,
    plus,
    power,
    times,
)

NAME = "python-flint"
BITS = 200
POINTS, TRIES = 3, 40
"""Points of the domain at which a step is tried, and draws to find them."""
NOWHERE = "no point of the domain was found at which both sides are defined"
MOST_PIECES = 64
"""A sign undecided on so many pieces of the box stays undecided."""

Rule = tuple[str, int, Any, Any]


class Fractions:
    """Quotients of polynomials in the symbols of one obligation, as (numerator, denominator)."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.ring = fmpq_mpoly_ctx.get(names or ("unused",), Ordering.lex)
        self.generator = dict(zip(names, self.ring.gens(), strict=False))
        self.known: dict[Term, tuple[fmpq_mpoly, fmpq_mpoly]] = {}

    def value(self, term: Term) -> tuple[fmpq_mpoly, fmpq_mpoly]:
        """The quotient that a tree without functions is."""
        if term not in self.known:
            self.known[term] = self._value(term)
        return self.known[term]

    def _value(self, term: Term) -> tuple[fmpq_mpoly, fmpq_mpoly]:
        head, *rest = term
        one = self.ring.constant(1)
        if head == "num":
            return self.ring.constant(fmpq(rest[0], rest[1])), one
        if head == "sym":
            return self.generator[rest[0]], one
        if head == "^":
            top, bottom = self.value(rest[0])
            if rest[1] < 0:
                if top.is_zero():
                    raise UnreadableError("a denominator is 0 identically")
                top, bottom = bottom, top
            return top ** abs(rest[1]), bottom ** abs(rest[1])
        top, bottom = self.value(rest[0])
        for part in rest[1:]:
            more, below = self.value(part)
            if head == "*":
                top, bottom = top * more, bottom * below
            elif bottom == below:
                top += more
            else:
                top, bottom = top * below + more * bottom, bottom * below
            top, bottom = _lowest(top, bottom)
        return top, bottom

    def coefficients(self, polynomial: fmpq_mpoly, name: str) -> dict[int, fmpq_mpoly]:
        """By powers of one symbol."""
        place, found = self.names.index(name), dict[int, dict[tuple[int, ...], fmpq]]()
        for powers, coefficient in polynomial.to_dict().items():
            rest = (*powers[:place], 0, *powers[place + 1 :])
            found.setdefault(powers[place], {})[rest] = coefficient
        return {k: self.ring.from_dict(part) for k, part in found.items()}

    def reduce(
        self, polynomial: fmpq_mpoly, name: str, n: int, top: Any, bottom: Any
    ) -> fmpq_mpoly:
        """The polynomial times a power of `bottom`, with nameⁿ = top/bottom put in."""
        parts = self.coefficients(polynomial, name)
        most = max(parts, default=0) // n
        y = self.generator[name]
        terms = (
            c * top ** (k // n) * bottom ** (most - k // n) * y ** (k % n) for k, c in parts.items()
        )
        return sum(terms, self.ring.constant(0))


def _lowest(top: fmpq_mpoly, bottom: fmpq_mpoly) -> tuple[fmpq_mpoly, fmpq_mpoly]:
    if bottom.is_constant():
        return top, bottom
    common = top.gcd(bottom)
    return (top, bottom) if common.is_constant() else (top / common, bottom / common)


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
        return _signs(field, lowered)
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
    at = {name: _ball(exact) for name, exact in point.items()}
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

    def tree(polynomial: fmpq_mpoly) -> Term:
        return plus(*(
            times(number(Fraction(int(c.p), int(c.q))),
                  *(power(("sym", x), k) for x, k in zip(field.names, powers, strict=False) if k))
            for powers, c in polynomial.to_dict().items()
        ))  # fmt: skip

    return [
        (name, n, times(tree(top), power(tree(bottom), -1)) if not bottom.is_one() else tree(top))
        for name, n, top, bottom in _rules(field, lowered)
    ]


def _points(obligation: Obligation, rules: list[Rule], lowered: Algebra) -> list[dict[str, arb]]:
    """Some points of the domain at which both sides are defined, the same in every run."""
    rng = random.Random(0)
    atoms = {atom.name for atom in lowered.atoms}
    solved = {name: rule for name, *rule in rules if name not in atoms}
    found: list[dict[str, arb]] = []
    for _ in range(TRIES):
        point = {name: _ball(_drawn(rng, within)) for name, within in obligation.domain.items()}
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
        first = 1 if low is None else int(low) + 1
        return Fraction(first + rng.randrange(6))
    share = Fraction(rng.randrange(1, 97), 97)
    if low is not None and high is not None:
        return low + share * (high - low)
    size = share / (1 - share) if rng.random() < 0.5 else share
    if low is None:
        return (high or 0) - size if high is not None or rng.random() < 0.5 else size
    return low + size


def value(term: Term, point: Mapping[str, arb]) -> arb:
    """A ball around the tree's value at a point; not finite where it is not defined."""
    head, *rest = term
    if head == "num":
        return arb(rest[0]) / rest[1]
    if head == "pi":
        return arb.pi()
    if head == "sym":
        return point[rest[0]]
    if head in ("+", "*"):
        total = value(rest[0], point)
        for part in rest[1:]:
            total = total + value(part, point) if head == "+" else total * value(part, point)
        return total
    inner = value(rest[0], point)
    if head == "power":
        return inner ** value(rest[1], point)
    if head == "^":
        return inner ** rest[1] if rest[1] > 0 else 1 / inner ** -rest[1]
    if head == "root":
        return arb(0) if inner == 0 else inner.root(rest[1])
    return abs(inner) if head == "abs" else getattr(inner, head)()


def _signs(field: Fractions, lowered: Algebra) -> tuple[bool | None, str]:
    obligation, total = lowered.obligation, 0
    if not obligation.domain:
        return True, "exact arithmetic on the two numbers"
    domain = dict(obligation.domain)
    for atom in lowered.atoms:  # a root of what is positive is positive
        if atom.rule is not None and atom.meaning[0] == "root":
            top, bottom = field.value(atom.rule[1])
            if (
                isinstance(found := _by_coefficients(field, top * bottom, domain, strict=True), int)
                and found
            ):
                domain[atom.name] = replace(domain[atom.name], open_low=True)
    for left, right in obligation.pairs:
        top, bottom = field.value(minus(left, right))
        found = _by_coefficients(field, top * bottom, domain, strict=obligation.relation == ">")
        if lowered.atoms and (isinstance(found, str) or not found):
            found = _by_balls(obligation, lowered, minus(left, right))
        if isinstance(found, str):
            return False, f"left − right is negative at or next to {found}"
        if not found:
            return None, f"no sign could be shown with {MOST_PIECES} pieces of the domain"
        total += found
    how = "balls or coefficients" if lowered.atoms else "coefficients, mapped to t ≥ 0,"
    return True, f"{how} of one sign on {total} piece{'s' * (total > 1)} of the domain"


Box = dict[str, tuple[Fraction, Fraction | None, int]]
"""Of each symbol x: low and high end (None: infinity) of ±x, and that sign."""


def _start(domain: Mapping[str, Range]) -> list[Box]:
    boxes: list[Box] = [{}]
    for name, within in domain.items():
        low, high = within.low, within.high
        if low is not None:
            sides = [(low, high, 1)]
        elif high is not None:
            sides = [(-high, None, -1)]
        else:
            sides = [(Fraction(0), None, 1), (Fraction(0), None, -1)]
        boxes = [box | {name: side} for box in boxes for side in sides]
    return boxes


def _halves(box: Box, depth: int) -> list[Box]:
    name = list(box)[depth % len(box)]
    low, high, sign = box[name]
    middle = low + 1 if high is None else (low + high) / 2
    return [box | {name: (low, middle, sign)}, box | {name: (middle, high, sign)}]


def _by_coefficients(
    field: Fractions, polynomial: fmpq_mpoly, domain: Mapping[str, Range], *, strict: bool
) -> int | str:
    """Pieces of the domain on each of which the polynomial's sign shows in its coefficients, 0 for no.

    A corner of a piece at which it is negative comes back in words.
    """
    stack, pieces = [(box, 0) for box in _start(domain)], 0
    while stack:
        box, depth = stack.pop()
        mapped = polynomial
        for name, (low, high, sign) in box.items():
            mapped = _mapped(field, mapped, name, low, high, sign)
        terms = mapped.to_dict()
        if terms.get((0,) * len(field.names), 0) < 0:
            return ", ".join(f"{name} = {sign * low}" for name, (low, _, sign) in box.items())
        pieces += 1
        if any(c < 0 for c in terms.values()):
            stack += [(half, depth + 1) for half in _halves(box, depth)]
        elif strict and not _never_zero(terms, box, domain):
            return 0
        if pieces + len(stack) > MOST_PIECES:
            return 0
    return pieces


def _never_zero(
    terms: Mapping[tuple[int, ...], fmpq], box: Box, domain: Mapping[str, Range]
) -> bool:
    """Whether non-negative coefficients of a mapped piece leave no zero on it: all its corners, or inside."""
    if any(high is not None for _, high, _ in box.values()):
        most = [max(powers[i] for powers in terms) for i in range(len(box))] if terms else []
        ends = [(0, top) if high is not None else (0,)
                for top, (_, high, _) in zip(most, box.values(), strict=True)]  # fmt: skip
        return bool(terms) and all(corner in terms for corner in product(*ends))
    start = {name: (at.low, at.open_low) for name, at in domain.items() if at.low is not None}
    closed = [i for i, (name, side) in enumerate(box.items()) if start.get(name) != (side[0], True)]
    return any(not any(powers[i] for i in closed) for powers in terms)


def _mapped(
    field: Fractions, polynomial: fmpq_mpoly, name: str, low: Fraction, high: Fraction | None, sign: int
) -> fmpq_mpoly:  # fmt: skip
    """With ±x = low + t, or ±x = (low + high t)/(1 + t) times a power of 1 + t, t ≥ 0 named as x was."""
    t, parts = field.generator[name], field.coefficients(polynomial, name)
    start = fmpq(low.numerator, low.denominator)
    most, one = max(parts, default=0), field.ring.constant(1)
    top, bottom = (
        (t + start, one)
        if high is None
        else (t * fmpq(high.numerator, high.denominator) + start, t + 1)
    )
    terms = (c * (sign * top) ** k * bottom ** (most - k) for k, c in parts.items())
    return sum(terms, field.ring.constant(0))


def _by_balls(obligation: Obligation, lowered: Algebra, tree: Term) -> int:
    """The same by evaluating on balls, for functions on a bounded box."""
    meant = {atom.name: atom.meaning for atom in lowered.atoms}
    own = {name: within for name, within in obligation.domain.items() if name not in meant}
    if any(within.low is None or within.high is None for within in own.values()):
        return 0
    stack, pieces = [(_start(own)[0], 0)], 0
    while stack:
        box, depth = stack.pop()
        point = {
            name: _ball(low).union(_ball(high))
            for name, (low, high, _) in box.items()
            if high is not None
        }
        for name, meaning in meant.items():
            point[name] = value(meaning, point)
        pieces += 1
        if not value(tree, point) >= 0:
            if not own:
                return 0
            stack += [(half, depth + 1) for half in _halves(box, depth)]
        if pieces + len(stack) > MOST_PIECES:
            return 0
    return pieces


def _ball(exact: Fraction) -> arb:
    return arb(exact.numerator) / exact.denominator


def certificate(
    tree: Term, domain: Mapping[str, Range], most: int
) -> tuple[int, list[tuple[int, list[tuple[str, bool, int]]]]] | None:
    """A whole scale > 0 and terms whose sum is scale × the polynomial, each non-negative on the domain.

    A term is a whole number ≥ 0 and factors (symbol, from its high end?, exponent): powers of the distance
    to an end of its range. None if there are none, or more than `most`.
    """
    ctx.prec = BITS
    field, boxes = Fractions(tuple(domain)), _start(domain)
    polynomial = field.value(tree)[0]
    if len(boxes) > 1 or any(sign < 0 for _, _, sign in boxes[0].values()):
        return None
    mapped, degrees, width = polynomial, list(map(int, polynomial.degrees())), Fraction(1)
    for place, (name, (low, high, sign)) in enumerate(boxes[0].items()):
        mapped = _mapped(field, mapped, name, low, high, sign)
        width *= 1 if high is None else (high - low) ** degrees[place]
    terms = mapped.to_dict()
    if any(c < 0 for c in terms.values()) or len(terms) > most:
        return None
    whole = lcm(width.denominator, *(int(c.q) for c in terms.values()))
    found = []
    for powers, c in terms.items():
        factors = []
        for name, k, top in zip(field.names, powers, degrees, strict=False):
            factors += [(name, False, k)] if k else []
            factors += [(name, True, top - k)] if domain[name].high is not None and top > k else []
        found.append((int(c * whole), factors))
    return int(width * whole), found

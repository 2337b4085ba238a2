"""Signs by python-flint: a box is halved until all coefficients, mapped to t ≥ 0, or balls have one sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import lcm

from flint import ctx, fmpq, fmpq_mpoly

from verification.proof.flint_values import BITS, Fractions, ball, value
from verification.proof.lowering import Algebra
from verification.proof.obligations import Obligation, Range
from verification.proof.trees import Term, minus

MOST_PIECES = 64
"""A sign undecided on so many pieces of the box stays undecided."""


def signs(field: Fractions, lowered: Algebra) -> tuple[bool | None, str]:
    """Whether left − right has the stated sign on the whole domain, None if it cannot tell, and why."""
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
        corner = {name: sign * low for name, (low, _, sign) in box.items()}
        # Next to a corner lie other points of the domain, but between whole numbers there is none.
        whole = all(at in domain[name] for name, at in corner.items() if domain[name].whole)
        if whole and terms.get((0,) * len(field.names), 0) < 0:
            return ", ".join(f"{name} = {at}" for name, at in corner.items())
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
            name: ball(low).union(ball(high))
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

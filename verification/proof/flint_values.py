"""python-flint reads a tree as a quotient of polynomials, or at a point as a ball."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from flint import Ordering, arb, fmpq, fmpq_mpoly, fmpq_mpoly_ctx

from verification.proof.trees import Term, UnreadableError, number, plus, power, times

BITS = 200


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
        if head not in ("+", "*"):
            raise UnreadableError(f"{head} is no quotient of polynomials")
        top, bottom = self.value(rest[0])
        for part in rest[1:]:
            more, below = self.value(part)
            if head == "*":
                top, bottom = top * more, bottom * below
            elif bottom == below:
                top += more
            else:
                top, bottom = top * below + more * bottom, bottom * below
            top, bottom = lowest(top, bottom)
        return top, bottom

    def coefficients(self, polynomial: fmpq_mpoly, name: str) -> dict[int, fmpq_mpoly]:
        """By powers of one symbol."""
        place, found = self.names.index(name), dict[int, dict[tuple[int, ...], fmpq]]()
        for powers, coefficient in polynomial.to_dict().items():
            rest = (*powers[:place], 0, *powers[place + 1 :])
            found.setdefault(powers[place], {})[rest] = coefficient
        return {k: self.ring.from_dict(part) for k, part in found.items()}

    def tree(self, polynomial: fmpq_mpoly) -> Term:
        """A polynomial as a tree."""
        return plus(*(
            times(number(Fraction(int(c.p), int(c.q))),
                  *(power(("sym", x), int(k)) for x, k in zip(self.names, powers, strict=False) if k))
            for powers, c in polynomial.to_dict().items()
        ))  # fmt: skip

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


def lowest(top: fmpq_mpoly, bottom: fmpq_mpoly) -> tuple[fmpq_mpoly, fmpq_mpoly]:
    """A quotient without common factors."""
    if bottom.is_constant():
        return top, bottom
    common = top.gcd(bottom)
    return (top, bottom) if common.is_constant() else (top / common, bottom / common)


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
    if head == "gamma" and not inner > 0:
        return arb("nan")
    return abs(inner) if head == "abs" else getattr(inner, head)()


def ball(exact: Fraction) -> arb:
    """A rational number."""
    return arb(exact.numerator) / exact.denominator

"""An obligation without functions: symbols in the place of roots and function values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, lcm

from flint import fmpq, fmpq_mpoly, fmpz

from verification.proof.flint_values import Fractions, lowest
from verification.proof.obligations import Obligation, Range
from verification.proof.trees import Term, constant, minus, number, plus, power, times


@dataclass(frozen=True, slots=True)
class Atom:
    """A symbol that stands for a root or a function value.

    Attributes:
        name: of the symbol.
        meaning: the tree it stands for, in earlier atoms' symbols.
        rule: (n, e) where the symbol's n-th power is e, or None.
    """

    name: str
    meaning: Term
    rule: tuple[int, Term] | None


@dataclass(frozen=True, slots=True)
class Algebra:
    """An obligation with no function left in it: atoms in the place of roots and function values.

    Attributes:
        obligation: with its atoms among the domain's symbols.
        atoms: each after those its meaning needs.
        positive: arguments and factors of logarithms, which are > 0 where the step is defined.
    """

    obligation: Obligation
    atoms: tuple[Atom, ...]
    positive: tuple[Term, ...]


class _Lowering:
    def __init__(self, domain: Mapping[str, Range]) -> None:
        self.domain = dict(domain)
        self.atoms: dict[Term, Atom] = {}
        self.positive: dict[Term, None] = {}

    def lower(self, term: Term) -> Term:
        head, *rest = term
        if head in ("num", "sym"):
            return term
        if head == "^":
            return power(self.lower(rest[0]), rest[1])
        if head in ("+", "*"):
            return (head, *map(self.lower, rest))
        if head == "pi":
            bounds = Fraction("3.141592"), Fraction("3.141593")
            return self._atom(head, term, None, Range(*bounds))
        inner = self.lower(rest[0])
        inner = inner if (known := constant(inner)) is None else number(known)
        if head == "power":
            return self._power(inner, self.lower(rest[1]))
        if head == "root":
            parts = self._factors(inner)
            return times(*(power(self._unit_power(part, rest[1], ()), k) for part, k in parts))
        if head == "abs":
            return self._atom("abs", ("abs", inner), (2, power(inner, 2)), Range(Fraction(0)))
        return self._log(inner) if head == "log" else self._function(head, inner)

    def _power(self, base: Term, exponent: Term) -> Term:
        """With summands and factors of the exponent outside: b^(2n + 3) is (bⁿ)²·b³."""
        if exponent[0] == "*" and len(exponent) == 3:
            scale, total = sorted(exponent[1:], key=lambda part: bool(part[0] == "+"))
            if total[0] == "+" and constant(scale) is not None:
                exponent = ("+", *(times(scale, part) for part in total[1:]))
        if exponent[0] == "+":
            return times(*(self._power(base, part) for part in exponent[1:]))
        known = constant(exponent)
        if known is None and exponent[0] == "*":
            factor, rest = constant(exponent[1]), exponent[2:]
        else:
            factor, rest = known, ()
        if factor is None:
            factor, rest = Fraction(1), (exponent,)
        parts = self._factors(base) if rest or factor.denominator > 1 else [(base, 1)]
        return times(*(power(self._unit_power(part, factor.denominator, rest), k * factor.numerator)
                       for part, k in parts))  # fmt: skip

    def _unit_power(self, base: Term, n: int, rest: Sequence[Term]) -> Term:
        if rest:
            exponent = times(number(Fraction(1, n)), *rest)
            return self._atom("power", ("power", base, exponent), None, Range())
        return (
            base if n == 1 else self._atom("root", ("root", base, n), (n, base), Range(Fraction(0)))
        )

    def _factors(self, base: Term) -> list[tuple[Term, int]]:
        """A number's primes, positive symbols, a sum's content and denominator, and the rest, to powers."""
        head, *rest = base
        if head == "num" and rest[0] > 0:
            return _primes(Fraction(rest[0], rest[1]))
        if head == "^" and rest[1] % 2:
            return [(part, k * rest[1]) for part, k in self._factors(rest[0])]
        if head == "+":
            return self._parts_of_sum(base)
        if head != "*" or any(part[0] == "num" and part[1] < 0 for part in rest):
            return [(base, 1)]
        split = [
            found if self._known_positive(found := self._factors(part)) else None for part in rest
        ]
        other = times(*(part for part, found in zip(rest, split, strict=True) if found is None))
        of_other = (
            [] if other == number(1) else [(other, 1)] if other[0] == "*" else self._factors(other)
        )
        return [*(one for found in split if found is not None for one in found), *of_other]

    def _known_positive(self, found: list[tuple[Term, int]]) -> bool:
        return all(
            part[0] == "num" or (part[0] == "sym" and self._above_zero(part[1]))
            for part, _ in found
        )

    def _parts_of_sum(self, base: Term) -> list[tuple[Term, int]]:
        field = Fractions(tuple(self.domain))
        top, bottom = field.value(base)
        unit, factors = bottom.factor()
        if top.is_zero() or not all(self._seen_positive(field, part) for part, _ in factors):
            return [(base, 1)]
        whole = lcm(*(int(c.q) for c in top.to_dict().values()))
        common = gcd(*(int(c * whole) for c in top.to_dict().values()))
        content = Fraction(common, whole) / Fraction(int(unit.p), int(unit.q))
        rest = top * fmpq(whole, common) * (1 if content > 0 else -1)
        below = [(field.tree(part), -int(k)) for part, k in factors]
        above = [] if rest.is_one() else [(field.tree(rest), 1)]
        return [*_primes(abs(content)), *below, *above]

    def _seen_positive(self, field: Fractions, polynomial: fmpq_mpoly) -> bool:
        """Whether it has positive coefficients and positive symbols alone."""
        terms = polynomial.to_dict()
        there = {
            name for powers in terms for name, k in zip(field.names, powers, strict=False) if k
        }
        return all(c > 0 for c in terms.values()) and all(map(self._above_zero, there))

    def _plain(self, inner: Term) -> Term:
        """An argument over one denominator, powers of roots taken: equal ones become the same tree."""
        field = Fractions(tuple(self.domain))
        top, bottom = field.value(inner)
        for atom in reversed(self.atoms.values()):
            if atom.rule is None:
                continue
            n, (above, below) = atom.rule[0], field.value(atom.rule[1])
            root = field.generator[atom.name]
            powers = field.coefficients(bottom, atom.name)
            if len(powers) == 1 and (k := max(powers) % n):
                top, bottom = top * root ** (n - k), bottom * root ** (n - k)
            sides = [(field.reduce(p, atom.name, n, above, below),
                      max(field.coefficients(p, atom.name), default=0) // n)
                     for p in (top, bottom)]  # fmt: skip
            (top, most), (bottom, least) = sides
            top, bottom = lowest(top * below**least, bottom * below**most)
        if bottom.is_constant():
            ((_, c),) = bottom.to_dict().items()
            return field.tree(top / c)
        return times(field.tree(top), power(field.tree(bottom), -1))

    def _above_zero(self, name: str) -> bool:
        within = self.domain[name]
        return within.low is not None and (within.low > 0 or (within.low == 0 and within.open_low))

    def _gamma(self, inner: Term) -> Term:
        """By Γ(u + 1) = u Γ(u), a whole number in the argument is taken out."""
        parts = inner[1:] if inner[0] == "+" else (inner,)
        known = sum((constant(part) or Fraction(0) for part in parts), Fraction(0))
        rest = plus(*(part for part in parts if constant(part) is None))
        whole, least = int(known // 1), known % 1
        if rest == number(0):
            whole, least = (whole - 1, least + 1) if least == 0 else (whole, least)
        start = plus(rest, number(least))
        found = (
            number(1)
            if start == number(1)
            else self._atom("gamma", ("gamma", start), None, Range())
        )
        for k in range(abs(whole)):
            step = plus(rest, number(least + (k if whole > 0 else -k - 1)))
            found = times(found, step if whole > 0 else power(step, -1))
        return found

    def _function(self, head: str, inner: Term) -> Term:
        inner = self._plain(inner)
        if head == "exp":
            return self._exp(inner)
        if head == "gamma":
            return self._gamma(inner)
        if head == "erfc":
            return self._atom(head, (head, inner), None, Range(Fraction(0), Fraction(2)))
        unit = Range(Fraction(-1), Fraction(1))
        sine = self._atom("sin", ("sin", inner), None, unit)
        cosine = self._atom("cos", ("cos", inner), (2, minus(number(1), power(sine, 2))), unit)
        return sine if head == "sin" else cosine

    def _exp(self, inner: Term) -> Term:
        """The exponential of a sum is a product, with whole factors outside: e^(2a + b) = (e^a)²·e^b."""
        if inner[0] == "+":
            return times(*map(self._exp, inner[1:]))
        top, bottom = inner[1:] if inner[0] == "num" else (1, 1)
        rest: Sequence[Term] = (number(1),) if inner[0] == "num" else (inner,)
        if inner[0] == "*" and inner[1][0] == "num":
            (_, top, bottom), *rest = inner[1:]
        unit = times(number(Fraction(1, bottom)), *rest)
        if unit == number(1):
            e = Fraction("2.718281"), Fraction("2.718282")
            return power(self._atom("e", ("exp", unit), None, Range(*e)), top)
        return power(self._atom("exp", ("exp", unit), None, Range(Fraction(0), open_low=True)), top)

    def _log(self, inner: Term) -> Term:
        """Logarithms of products, powers and numbers are sums of logarithms of what is left."""
        if inner[0] == "*":
            return plus(*map(self._log, inner[1:]))
        if inner[0] == "^":
            return times(number(inner[2]), self._log(inner[1]))
        if inner[0] == "num" and inner[1] > 0:
            within = Range(Fraction(0), open_low=True)
            return plus(*(
                times(number(k), self._atom("log", ("log", prime), None, within))
                for prime, k in _primes(Fraction(inner[1], inner[2]))
            ))  # fmt: skip
        for atom in self.atoms.values():
            if inner == ("sym", atom.name) and atom.meaning[0] == "root":
                return times(number(Fraction(1, atom.meaning[2])), self._log(atom.meaning[1]))
            if inner == ("sym", atom.name) and atom.meaning[0] == "exp":
                return atom.meaning[1]
        self.positive[inner] = None
        return self._atom("log", ("log", inner), None, Range())

    def _atom(self, stem: str, meaning: Term, rule: tuple[int, Term] | None, within: Range) -> Term:
        if meaning not in self.atoms:
            name = f"{stem}_{len(self.atoms) + 1}"
            while name in self.domain:
                name += "_"
            self.atoms[meaning] = Atom(name, meaning, rule)
            self.domain[name] = within
        return "sym", self.atoms[meaning].name


def _primes(value: Fraction) -> list[tuple[Term, int]]:
    tops, bottoms = (fmpz(part).factor() for part in (value.numerator, value.denominator))
    return [
        (number(int(p)), sign * int(k))
        for part, sign in ((tops, 1), (bottoms, -1))
        for p, k in part
    ]


def algebra(obligation: Obligation) -> Algebra:
    """The obligation with a symbol for every root, absolute value, logarithm, exponential, sine and cosine.

    A root y of e has y ≥ 0 and yⁿ = e, a sine and cosine s² + c² = 1; of the others only the rules of
    logarithms are known. What holds of the symbols so held holds of what they stand for.
    """
    lowering = _Lowering(obligation.domain)
    pairs = tuple((lowering.lower(a), lowering.lower(b)) for a, b in obligation.pairs)
    zero = tuple(map(lowering.lower, obligation.vanishing))
    lowered = replace(obligation, pairs=pairs, vanishing=zero, domain=lowering.domain)
    return Algebra(lowered, tuple(lowering.atoms.values()), tuple(lowering.positive))

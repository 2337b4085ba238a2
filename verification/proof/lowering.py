"""An obligation without functions: symbols in the place of roots and function values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from flint import fmpz

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
            return self._atom(
                "root", ("root", inner, rest[1]), (rest[1], inner), Range(Fraction(0))
            )
        if head == "abs":
            return self._atom("abs", ("abs", inner), (2, power(inner, 2)), Range(Fraction(0)))
        return self._log(inner) if head == "log" else self._function(head, inner)

    def _power(self, base: Term, exponent: Term) -> Term:
        """With whole summands and factors of the exponent outside: b^(2n + 3) is (bⁿ)²·b³."""
        whole = constant(exponent)
        if whole is not None and whole.denominator == 1:
            return power(base, int(whole))
        if exponent[0] == "*" and len(exponent) == 3:
            scale, total = sorted(exponent[1:], key=lambda part: bool(part[0] == "+"))
            if total[0] == "+" and constant(scale) is not None:
                exponent = ("+", *(times(scale, part) for part in total[1:]))
        if exponent[0] == "+":
            return times(*(self._power(base, part) for part in exponent[1:]))
        factor = constant(exponent[1]) if exponent[0] == "*" else None
        if factor is not None and factor.denominator == 1:
            return power(self._power(base, times(*exponent[2:])), int(factor))
        return self._atom("power", ("power", base, exponent), None, Range())

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
            primes = [(p, k) for p, k in fmpz(inner[1]).factor()]
            primes += [(p, -k) for p, k in fmpz(inner[2]).factor()]
            within = Range(Fraction(0), open_low=True)
            return plus(*(
                times(number(k), self._atom("log", ("log", number(int(p))), None, within))
                for p, k in primes
            ))  # fmt: skip
        for atom in self.atoms.values():
            if inner == ("sym", atom.name) and atom.meaning[0] == "root":
                return times(number(Fraction(1, atom.meaning[2])), self._log(atom.meaning[1]))
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

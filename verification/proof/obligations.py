"""What a proof step claims, as plain trees that any engine can read: nothing of SymPy is left in them.

A tree is a nested tuple: ("num", p, q), ("sym", name), ("+", …), ("*", …), ("^", base, whole exponent),
("root", base, n) for the n-th root ≥ 0, and (name, argument) for abs, log, exp, sin, cos and erfc,
("power", base, exponent) of two trees, and ("pi",).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import fmpz

Term = tuple[Any, ...]

FUNCTIONS = {
    sp.Abs: "abs", sp.log: "log", sp.exp: "exp", sp.sin: "sin", sp.cos: "cos", sp.erfc: "erfc",
}  # fmt: skip
CONSTANTS = {sp.E: ("exp", ("num", 1, 1)), sp.pi: ("pi",)}


class UnreadableError(ValueError):
    """An expression that the trees cannot say; its text is the reason, for the reader."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where a symbol lies: between two ends (None: no end), which belong to it unless they are open."""

    low: Fraction | None = None
    high: Fraction | None = None
    open_low: bool = False
    open_high: bool = False
    whole: bool = False

    def __contains__(self, value: Fraction) -> bool:
        above = self.low is None or value > self.low or (value == self.low and not self.open_low)
        below = (
            self.high is None or value < self.high or (value == self.high and not self.open_high)
        )
        return above and below and (not self.whole or value.denominator == 1)


@dataclass(frozen=True, slots=True)
class Obligation:
    """`left relation right` for every pair, at all points of the domain where both sides are defined.

    Attributes:
        pairs: the two sides, one pair an entry of a matrix.
        relation: `=`, `≥` or `>`.
        domain: every symbol's range.
        vanishing: trees that are 0 by assumption, such as c² + s² − 1.
        scope: "" if this is the step itself, else which instance of it, for the reader.
    """

    pairs: tuple[tuple[Term, Term], ...]
    domain: Mapping[str, Range]
    relation: str = "="
    vanishing: tuple[Term, ...] = ()
    scope: str = ""

    @property
    def left_nothing(self) -> bool:
        """Whether SymPy had made both sides alike before anybody else saw them."""
        return all(
            _sorted(left) == _sorted(right) or _told(left, right) for left, right in self.pairs
        )


def _sorted(term: Term) -> Term:
    """A tree with the parts of its sums and products in one order."""
    parts = [_sorted(part) if isinstance(part, tuple) else part for part in term[1:]]
    return (term[0], *(sorted(parts, key=repr) if term[0] in ("+", "*") else parts))


def _told(left: Term, right: Term) -> bool:
    return left[0] == right[0] == "num"


@dataclass(slots=True)
class Reader:
    """Reads SymPy expressions; a symbol keeps its name, made plain and unique, and its assumptions."""

    names: dict[Any, str] = field(default_factory=dict)
    domain: dict[str, Range] = field(default_factory=dict)

    def obligation(
        self,
        pairs: Iterable[tuple[Any, Any]],
        relation: str = "=",
        box: Mapping[Any, tuple[Any, Any]] | None = None,
        vanishing: Sequence[Any] = (),
    ) -> Obligation:
        """The obligation that pairs of SymPy expressions make.

        Args:
            pairs: left and right sides.
            relation: `=`, `≥` or `>`.
            box: closed range of a symbol, its assumptions besides.
            vanishing: expressions that are 0 by assumption.

        Raises:
            UnreadableError: if a tree cannot say one of them.
        """
        read = tuple((self.term(left), self.term(right)) for left, right in pairs)
        zero = tuple(self.term(expression) for expression in vanishing)
        for symbol, (low, high) in (box or {}).items():
            name = self.term(symbol)[1]
            ends = [
                None if abs(end) == sp.oo else _fraction(sp.Rational(end)) for end in (low, high)
            ]
            self.domain[name] = Range(ends[0], ends[1], whole=self.domain[name].whole)
        return Obligation(read, dict(self.domain), relation, zero)

    def term(self, expression: Any) -> Term:
        """The tree of one expression."""
        expression = sp.sympify(expression)
        if expression.is_Rational:
            return "num", int(expression.p), int(expression.q)
        if expression.is_Symbol:
            return self._symbol(expression)
        if expression.is_Add or expression.is_Mul:
            return ("+" if expression.is_Add else "*", *map(self.term, expression.args))
        if expression.is_Pow:
            return self._power(*expression.as_base_exp())
        if expression in CONSTANTS:
            return CONSTANTS[expression]
        for kind, name in FUNCTIONS.items():
            if isinstance(expression, kind):
                return name, self.term(expression.args[0])
        raise UnreadableError(f"{type(expression).__name__} has no algebraic tree")

    def _power(self, base: Any, exponent: Any) -> Term:
        if base is sp.E:
            return "exp", self.term(exponent)
        if not exponent.is_Rational:
            return self._symbolic_power(base, exponent)
        root: Term = self.term(base)
        if exponent.q > 1:
            root = "root", root, int(exponent.q)
        return root if exponent.p == 1 else ("^", root, int(exponent.p))

    def _symbolic_power(self, base: Any, exponent: Any) -> Term:
        """With whole summands and factors of the exponent outside: b^(2n + 3) = (bⁿ)²·b³."""
        rest, fixed = exponent.as_independent(*exponent.free_symbols, as_Add=True)[::-1]
        factor, unit = rest.as_coeff_Mul()
        if not factor.is_Integer:
            factor, unit = sp.S.One, rest
        symbolic = power(("power", self.term(base), self.term(unit)), int(factor))
        return times(symbolic, self._power(base, fixed) if fixed else number(1))

    def _symbol(self, symbol: Any) -> Term:
        if symbol not in self.names:
            if symbol.is_commutative is False:
                raise UnreadableError(f"{symbol} does not commute")
            name = plain_name(symbol.name)
            while name in self.domain:
                name += "_"
            self.names[symbol] = name
            self.domain[name] = _assumed(symbol)
        return "sym", self.names[symbol]


def plain_name(name: str) -> str:
    """A name of ASCII letters, digits and underscores, as every prover takes it."""
    letters = (
        unicodedata.name(c).split()[-1].lower() if unicodedata.category(c)[0] == "L" and not c.isascii()
        else c for c in unicodedata.normalize("NFKD", name)
    )  # fmt: skip
    plain = re.sub(r"[^A-Za-z0-9_]", "_", "".join(letters))
    return plain if plain[:1].isalpha() else f"x{plain}"


def number(value: int | Fraction) -> Term:
    """The tree of a rational number."""
    exact = Fraction(value)
    return "num", exact.numerator, exact.denominator


def plus(*terms: Term) -> Term:
    """Their sum, without zeros."""
    kept = [term for term in terms if term != number(0)]
    return number(0) if not kept else kept[0] if len(kept) == 1 else ("+", *kept)


def times(*terms: Term) -> Term:
    """Their product, without ones, and 0 if a factor is."""
    kept = [term for term in terms if term != number(1)]
    if number(0) in kept:
        return number(0)
    return number(1) if not kept else kept[0] if len(kept) == 1 else ("*", *kept)


def minus(left: Term, right: Term) -> Term:
    """Their difference."""
    return plus(left, times(number(-1), right))


def power(base: Term, exponent: int) -> Term:
    """The power; an exponent of 0 gives 1, of 1 the base."""
    return number(1) if exponent == 0 else base if exponent == 1 else ("^", base, exponent)


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
        if head == "power":
            return self._atom("power", (head, inner, self.lower(rest[1])), None, Range())
        if head == "root":
            return self._atom(
                "root", ("root", inner, rest[1]), (rest[1], inner), Range(Fraction(0))
            )
        if head == "abs":
            return self._atom("abs", ("abs", inner), (2, power(inner, 2)), Range(Fraction(0)))
        return self._log(inner) if head == "log" else self._function(head, inner)

    def _function(self, head: str, inner: Term) -> Term:
        if head == "exp":
            return self._exp(inner)
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


def denominators(*terms: Term) -> tuple[Term, ...]:
    """Every base of a negative power in the trees, once each."""
    found: dict[Term, None] = {}
    stack = list(terms)
    while stack:
        term = stack.pop()
        if term[0] == "^" and term[2] < 0:
            found[term[1]] = None
        stack += [part for part in term[1:] if isinstance(part, tuple)]
    return tuple(found)


def fraction(term: Term) -> tuple[Term, dict[Term, int]]:
    """Numerator and denominator of a tree without functions, nothing cancelled or multiplied out.

    The denominator is a product of powers, base ↦ exponent.
    """
    head, *rest = term
    if head == "*":
        tops, bottom = [], dict[Term, int]()
        for top, below in map(fraction, rest):
            tops.append(top)
            for base, k in below.items():
                bottom[base] = bottom.get(base, 0) + k
        return times(*tops), bottom
    if head == "+":
        parts = [fraction(part) for part in rest]
        common = {b: max(p[1].get(b, 0) for p in parts) for _, below in parts for b in below}
        return plus(*(times(top, without(common, below)) for top, below in parts)), common
    if head == "^":
        top, below = fraction(rest[0])
        n = rest[1]
        if n > 0:
            return power(top, n), {base: k * n for base, k in below.items()}
        return power(times(*(power(b, k) for b, k in below.items())), -n), {top: -n}
    return term, {}


def without(common: Mapping[Term, int], below: Mapping[Term, int]) -> Term:
    """The factor that turns one denominator into the common one."""
    return times(*(power(base, k - below.get(base, 0)) for base, k in common.items()))


def _fraction(value: Any) -> Fraction:
    return Fraction(int(value.p), int(value.q))


def _assumed(symbol: Any) -> Range:
    if symbol.is_real is False or symbol.is_finite is False:
        raise UnreadableError(f"{symbol} is not a real number")
    nought = Fraction(0)
    low = nought if symbol.is_nonnegative else None
    high = nought if symbol.is_nonpositive else None
    return Range(
        low, high, bool(symbol.is_positive), bool(symbol.is_negative), bool(symbol.is_integer)
    )

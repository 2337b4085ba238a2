"""What a proof step claims, as trees of `verification.proof.trees`, read from SymPy's expressions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sympy as sp

from verification.proof.flint_values import Fractions
from verification.proof.means import Average
from verification.proof.trees import (
    Term,
    UnreadableError,
    number,
    plus,
    power,
    put,
    slope,
    symbols,
    times,
)

FUNCTIONS = {
    sp.Abs: "abs", sp.log: "log", sp.exp: "exp", sp.sin: "sin", sp.cos: "cos", sp.erfc: "erfc",
    sp.gamma: "gamma",
}  # fmt: skip
CONSTANTS = {sp.E: ("exp", ("num", 1, 1)), sp.pi: ("pi",)}


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
        worked: whether a derivative or a mean in it was taken on the trees, not by SymPy.
        scope: "" if this is the step itself, else which instance of it, for the reader.
    """

    pairs: tuple[tuple[Term, Term], ...]
    domain: Mapping[str, Range]
    relation: str = "="
    vanishing: tuple[Term, ...] = ()
    scope: str = ""
    worked: bool = False

    @property
    def left_nothing(self) -> bool:
        """Whether SymPy had made both sides alike before anybody else saw them."""
        return not self.worked and all(
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
    worked: bool = False

    def obligation(
        self,
        pairs: Iterable[tuple[Any, Any]],
        relation: str = "=",
        box: Mapping[Any, tuple[Any, Any]] | None = None,
        vanishing: Sequence[Any] = (),
        where: Mapping[Any, Any] | None = None,
    ) -> Obligation:
        """The obligation that pairs of SymPy expressions make.

        Args:
            pairs: left and right sides.
            relation: `=`, `≥` or `>`.
            box: closed range of a symbol, its assumptions besides.
            vanishing: expressions that are 0 by assumption.
            where: what is put in for symbols, after derivatives and means are taken.

        Raises:
            UnreadableError: if a tree cannot say one of them.
        """
        values = {self.term(old)[1]: self.term(new) for old, new in (where or {}).items()}
        read = tuple((put(self.term(a), values), put(self.term(b), values)) for a, b in pairs)
        zero = tuple(put(self.term(expression), values) for expression in vanishing)
        for symbol, (low, high) in (box or {}).items():
            name = self.term(symbol)[1]
            ends = [
                None if abs(end) == sp.oo else _fraction(sp.Rational(end)) for end in (low, high)
            ]
            self.domain[name] = Range(ends[0], ends[1], whole=self.domain[name].whole)
        used = set[str]().union(*map(symbols, (*zero, *(side for pair in read for side in pair))))
        used |= {self.names[symbol] for symbol in box or {}}
        domain = {name: within for name, within in self.domain.items() if name in used}
        return Obligation(read, domain, relation, zero, worked=self.worked)

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
        return self._applied(expression)

    def _applied(self, expression: Any) -> Term:
        self.worked = self.worked or isinstance(expression, (Average, sp.Derivative))
        if isinstance(expression, Average):
            return self._average(expression)
        if isinstance(expression, sp.Derivative):
            found = self.term(expression.expr)
            for variable, order in expression.variable_count:
                for _ in range(int(order)):
                    found = slope(found, self.term(variable)[1])
            return found
        for kind, name in FUNCTIONS.items():
            if isinstance(expression, kind):
                return name, self.term(expression.args[0])
        raise UnreadableError(f"{type(expression).__name__} has no algebraic tree")

    def _average(self, average: Average) -> Term:
        """By python-flint's polynomials: of each monomial in the variables its moment."""
        tree = self.term(average.args[0])
        names = [self.term(variable)[1] for variable in average.variables]
        field = Fractions(tuple(self.domain))
        moments, (top, bottom), lowest = [], field.value(tree), dict[str, int]()
        for name in names:
            parts = field.coefficients(bottom, name)
            if len(parts) > 1:
                raise UnreadableError(f"{name} is in a denominator that is no product")
            ((lowest[name], bottom),) = parts.items()
        for powers, coefficient in top.to_dict().items():
            exponents = dict(zip(field.names, map(int, powers), strict=False))
            taken = average.moment(tuple(exponents[name] - lowest[name] for name in names))
            rest = [
                power(("sym", name), k) for name, k in exponents.items() if k and name not in names
            ]
            moments.append(times(number(_fraction(coefficient)), *rest, self.term(taken)))
        return times(plus(*moments), power(field.tree(bottom), -1))

    def _power(self, base: Any, exponent: Any) -> Term:
        if base is sp.E:
            return "exp", self.term(exponent)
        if not exponent.is_Rational:
            return "power", self.term(base), self.term(exponent)
        root: Term = self.term(base)
        if exponent.q > 1:
            root = "root", root, int(exponent.q)
        return root if exponent.p == 1 else ("^", root, int(exponent.p))

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

"""Identities between matrices of any size: sums of words in letters that do not commute.

A letter is a matrix or its transpose, the empty word the identity. Two sums of words that are equal letter
by letter are equal at every size; instances at a few sizes make the same statement to engines of numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import sympy as sp
from flint import fmpq_mpoly

from verification.proof.flint_values import Fractions
from verification.proof.obligations import Obligation, Reader, plain_name
from verification.proof.trees import Term, UnreadableError, number, plus, put, symbols, times

SIZES = (2, 1, 2, 1)
"""Sizes that take the places of the symbolic ones in an instance."""
Word = tuple[tuple[str, bool], ...]
Quotient = tuple[fmpq_mpoly, fmpq_mpoly]
Matrix = list[list[Term]]


class _Matrices(Reader):
    """Reads matrix expressions: ("matrix", name), ("transpose", tree), ("one", size) and a scalar's trees."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[Any, int] = {}

    def tree(self, expression: Any) -> Term:
        if isinstance(expression, sp.MatrixSymbol) or (
            expression.is_Symbol and expression.is_commutative is False
        ):
            return "matrix", plain_name(expression.name)
        if isinstance(expression, sp.Transpose):
            return "transpose", self.tree(expression.arg)
        if isinstance(expression, sp.Identity):
            return "one", self.size(expression.rows)
        if isinstance(expression, sp.ZeroMatrix):
            return number(0)
        if expression.is_commutative is not False and not expression.is_Matrix:
            return self.term(expression)
        if expression.is_Add or expression.is_Mul or expression.is_MatAdd or expression.is_MatMul:
            head = "+" if expression.is_Add or expression.is_MatAdd else "*"
            return (head, *map(self.tree, expression.args))
        base, exponent = (*expression.args, None)[:2]
        if not (expression.is_Pow or isinstance(expression, sp.MatPow)) or exponent < 1:
            raise UnreadableError(f"{type(expression).__name__} is no polynomial in matrices")
        return ("*", *[self.tree(base)] * int(exponent))

    def sides(self, left: Any, right: Any, where: Mapping[Any, Any] | None) -> list[Term]:
        """Both trees, with what is put in."""
        values = {
            self.tree(old)[1]: self.tree(sp.sympify(new)) for old, new in (where or {}).items()
        }
        return [put(self.tree(side), values) for side in (left, right)]

    def size(self, size: Any) -> int:
        if size.is_Integer:
            return int(size)
        if not size.is_Symbol:
            raise UnreadableError(f"size {size} is neither a number nor a symbol")
        return self.sizes.setdefault(size, SIZES[len(self.sizes) % len(SIZES)])

    def entries(self, symbol: Any) -> Matrix:
        """Independent symbols, one an entry."""
        rows, columns = map(self.size, symbol.shape) if symbol.is_Matrix else (2, 2)
        name = plain_name(symbol.name)
        return [
            [self.term(sp.Symbol(f"{name}_{i}{j}", real=True)) for j in range(columns)]
            for i in range(rows)
        ]


def same_words(left: Any, right: Any, where: Mapping[Any, Any] | None = None) -> bool:
    """Whether two expressions in MatrixSymbols or non-commuting symbols are the same sum of words.

    Args:
        where: what is put in for symbols.

    Raises:
        UnreadableError: on an expression that is no polynomial in matrices with scalar coefficients.
    """
    reader = _Matrices()
    trees = reader.sides(left, right, where)
    field = Fractions(tuple(reader.domain))
    sums = [_words(tree, field) for tree in trees]
    nothing = field.value(number(0))
    for word in {*sums[0], *sums[1]}:
        (a, below), (b, under) = (found.get(word, nothing) for found in sums)
        if a * under != b * below:
            return False
    return True


def instance(left: Any, right: Any, where: Mapping[Any, Any] | None = None) -> Obligation:
    """The identity entry by entry, for matrices of independent entries at one set of sizes.

    Raises:
        UnreadableError: as above.
    """
    reader = _Matrices()
    sides = reader.sides(left, right, where)
    handed = (left, right, *map(sp.sympify, (where or {}).values()))
    free = set[Any]().union(*(side.free_symbols for side in handed))
    letters = {
        plain_name(symbol.name): reader.entries(symbol)
        for symbol in sorted(free - set(where or {}), key=str)
        if symbol.is_Matrix or symbol.is_commutative is False
    }
    found = [_evaluate(side, letters) for side in sides]
    shaped = next(side for side in found if isinstance(side, list))
    one, other = (side if isinstance(side, list) else _scalar(side, shaped) for side in found)
    pairs = tuple(
        (a, b) for up, down in zip(one, other, strict=True) for a, b in zip(up, down, strict=True)
    )
    told = ", ".join(f"{name} = {size}" for name, size in reader.sizes.items()) or "2 × 2 matrices"
    used = set[str]().union(*(symbols(entry) for pair in pairs for entry in pair))
    domain = {name: within for name, within in reader.domain.items() if name in used}
    return Obligation(pairs, domain, scope=f"instance {told} only")


def _words(tree: Term, field: Fractions) -> dict[Word, Quotient]:
    head, *rest = tree
    if head == "matrix":
        return {((rest[0], False),): field.value(number(1))}
    if head == "one":
        return {(): field.value(number(1))}
    if head == "transpose":
        return {
            tuple((name, not turned) for name, turned in reversed(word)): c
            for word, c in _words(rest[0], field).items()
        }
    if not _has_matrix(tree):
        return {(): field.value(tree)}
    parts = [_words(part, field) for part in rest]
    return reduce(_sum if head == "+" else _product, parts)


def _sum(left: Mapping[Word, Quotient], right: Mapping[Word, Quotient]) -> dict[Word, Quotient]:
    total = dict(left)
    for word, (a, below) in right.items():
        b, under = total.get(word, (0 * a, below))
        total[word] = a * under + b * below, below * under
    return total


def _product(left: Mapping[Word, Quotient], right: Mapping[Word, Quotient]) -> dict[Word, Quotient]:
    total: dict[Word, Quotient] = {}
    for word, (a, below) in left.items():
        for more, (b, under) in right.items():
            total = _sum(total, {word + more: (a * b, below * under)})
    return total


def _has_matrix(tree: Term) -> bool:
    head, *rest = tree
    return head in ("matrix", "one", "transpose") or any(
        _has_matrix(part) for part in rest if isinstance(part, tuple)
    )


def _evaluate(tree: Term, letters: Mapping[str, Matrix]) -> Matrix | Term:
    head, *rest = tree
    if head == "matrix":
        return letters[rest[0]]
    if head == "one":
        return [[number(int(i == j)) for j in range(rest[0])] for i in range(rest[0])]
    if head == "transpose":
        inner: Any = _evaluate(rest[0], letters)
        return [list(row) for row in zip(*inner, strict=True)]
    if not _has_matrix(tree):
        return tree
    return reduce(
        _added if head == "+" else _multiplied, (_evaluate(part, letters) for part in rest)
    )


def _added(left: Any, right: Any) -> Matrix | Term:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return plus(left, right)
    one = left if isinstance(left, list) else _scalar(left, right)
    other = right if isinstance(right, list) else _scalar(right, left)
    return [
        [plus(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)
    ]


def _multiplied(left: Any, right: Any) -> Matrix | Term:
    if isinstance(left, list) and isinstance(right, list):
        columns = list(zip(*right, strict=True))
        return [[plus(*map(times, row, column)) for column in columns] for row in left]
    if isinstance(left, tuple) and isinstance(right, tuple):
        return times(left, right)
    scalar, matrix = (left, right) if isinstance(left, tuple) else (right, left)
    return [[times(scalar, entry) for entry in row] for row in matrix]


def _scalar(value: Term, like: Any) -> Matrix:
    """A scalar's multiple of the identity."""
    places = [(range(len(row)), i) for i, row in enumerate(like)]
    return [[value if i == j else number(0) for j in row] for row, i in places]

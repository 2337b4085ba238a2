"""Plain trees that any engine can read: nothing of SymPy is left in them.

A tree is a nested tuple: ("num", p, q), ("sym", name), ("+", …), ("*", …), ("^", base, whole exponent),
("root", base, n) for the n-th root ≥ 0, and (name, argument) for abs, log, exp, sin, cos, erfc and gamma,
("power", base, exponent) of two trees, and ("pi",).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import prod
from typing import Any

Term = tuple[Any, ...]


class UnreadableError(ValueError):
    """An expression that the trees cannot say; its text is the reason, for the reader."""


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


def put(term: Term, values: Mapping[str, Term]) -> Term:
    """The tree with trees in the place of symbols, nothing simplified."""
    if term[0] in ("sym", "matrix"):
        return values.get(term[1], term)
    return (term[0], *(put(p, values) if isinstance(p, tuple) else p for p in term[1:]))


def symbols(term: Term) -> set[str]:
    """The names in a tree."""
    parts = [symbols(part) for part in term[1:] if isinstance(part, tuple)]
    return {term[1]} if term[0] == "sym" else set[str]().union(*parts)


def constant(term: Term) -> Fraction | None:
    """The value of a tree of rational numbers, None for any other and where it is not defined."""
    head, *rest = term
    if head == "num":
        return Fraction(rest[0], rest[1])
    if head not in ("+", "*", "^"):
        return None
    parts = [constant(part) for part in rest if isinstance(part, tuple)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if head == "^":
        return None if known[0] == 0 and rest[1] < 0 else Fraction(known[0] ** rest[1])
    return sum(known, Fraction(0)) if head == "+" else prod(known, start=Fraction(1))


def slope(term: Term, name: str) -> Term:
    """The tree's derivative in one symbol, by the rules of sums, products and powers and the chain rule.

    Raises:
        UnreadableError: for a function whose derivative has no tree.
    """
    head, *rest = term
    if name not in symbols(term):
        return number(0)
    if head == "sym":
        return number(1)
    if head == "+":
        return plus(*(slope(part, name) for part in rest))
    if head == "*":
        return plus(*(
            times(*rest[:at], slope(part, name), *rest[at + 1 :]) for at, part in enumerate(rest)
        ))  # fmt: skip
    inner, grown = rest[0], slope(rest[0], name)
    if head == "power":
        by_exponent = times(slope(rest[1], name), ("log", inner))
        return times(term, plus(by_exponent, times(rest[1], grown, power(inner, -1))))
    if head == "^":
        return times(number(rest[1]), power(inner, rest[1] - 1), grown)
    outer = _outer_slopes(head, term, rest).get(head)
    if outer is None:
        raise UnreadableError(f"{head} has no algebraic derivative")
    return times(outer, grown)


def _outer_slopes(head: str, term: Term, rest: Sequence[Any]) -> dict[str, Term]:
    inner = rest[0]
    return {
        "root": times(number(Fraction(1, rest[-1] if head == "root" else 1)), term, power(inner, -1)),
        "abs": times(term, power(inner, -1)),
        "log": power(inner, -1),
        "exp": term,
        "sin": ("cos", inner),
        "cos": times(number(-1), ("sin", inner)),
        "erfc": times(number(-2), power(("root", ("pi",), 2), -1),
                      ("exp", times(number(-1), power(inner, 2)))),
    }  # fmt: skip


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

"""A proof step as SMT-LIB 2, and what Z3 says of it.

The text asserts the assumptions and the negation of the step: `unsat` is a proof by whatever solver reads it.
Denominators are multiplied out, because solvers reason about polynomials.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from verification.proof import flint_engine
from verification.proof.lowering import algebra
from verification.proof.obligations import Obligation, Range
from verification.proof.trees import (
    Term,
    UnreadableError,
    denominators,
    fraction,
    minus,
    number,
    power,
    times,
    without,
)

NAME = "Z3"
RELATIONS = {"≥": ">=", ">": ">"}
RESOURCES = 3_000_000
"""Z3's own unit of work (`rlimit`): a few seconds, the same on every machine."""


class _Writer:
    """Writes trees without functions; what occurs again is defined once."""

    def __init__(self, taken: Mapping[str, Range]) -> None:
        self.taken, self.known, self.definitions = taken, dict[Term, str](), list[str]()

    def write(self, term: Term) -> str:
        head, *rest = term
        if head == "sym":
            return str(rest[0])
        if head == "num":
            top = f"{abs(rest[0])}.0"
            size = top if rest[1] == 1 else f"(/ {top} {rest[1]}.0)"
            return size if rest[0] >= 0 else f"(- {size})"
        if term not in self.known:
            parts = [self.write(rest[0])] * rest[1] if head == "^" else map(self.write, rest)
            body = f"({'*' if head == '^' else head} {' '.join(parts)})"
            name = f"t{len(self.definitions) + 1}"
            while name in self.taken:
                name += "_"
            self.definitions.append(f"(define-fun {name} () Real {body})")
            self.known[term] = name
        return self.known[term]

    def equal(self, left: Term, right: Term) -> str:
        """That they are equal, multiplied out."""
        (top, bottom), (above, below) = fraction(left), fraction(right)
        common = {b: max(bottom.get(b, 0), below.get(b, 0)) for b in (*bottom, *below)}
        sides = times(top, without(common, bottom)), times(above, without(common, below))
        return f"(= {self.write(sides[0])} {self.write(sides[1])})"

    def goal(self, left: Term, right: Term, relation: str) -> str:
        if relation == "=":
            return self.equal(left, right)
        top, bottom = fraction(minus(left, right))
        odd = [base for base, k in bottom.items() if k % 2]  # even powers have no sign
        return f"({RELATIONS[relation]} {self.write(times(top, *odd))} 0.0)"

    def nonzero(self, base: Term) -> str:
        return f"(not (= {self.write(fraction(base)[0])} 0.0))"

    def within(self, name: str, at: Range) -> list[str]:
        facts = []
        if at.low is not None:
            facts.append(f"({'>' if at.open_low else '>='} {name} {self.write(number(at.low))})")
        if at.high is not None:
            facts.append(f"({'<' if at.open_high else '<='} {name} {self.write(number(at.high))})")
        return facts


def text(obligation: Obligation, statement: str) -> str:
    """The step as SMT-LIB 2, to be answered by `unsat`.

    Raises:
        UnreadableError: if it cannot be said.
    """
    lowered = algebra(obligation)
    told, writer = lowered.obligation, _Writer(lowered.obligation.domain)
    rules = [(power(("sym", a.name), a.rule[0]), a.rule[1]) for a in lowered.atoms if a.rule]
    trees = [
        *(side for pair in (*told.pairs, *rules) for side in pair),
        *lowered.positive,
        *told.vanishing,
    ]
    facts = [fact for name, at in told.domain.items() for fact in writer.within(name, at)]
    facts += map(writer.nonzero, denominators(*trees))
    facts += [writer.goal(tree, number(0), ">") for tree in lowered.positive]
    facts += [
        writer.equal(*pair) for pair in (*((tree, number(0)) for tree in told.vanishing), *rules)
    ]
    goals = [writer.goal(left, right, told.relation) for left, right in told.pairs]
    return "\n".join([
        *(f"; {line}" for line in statement.splitlines()),
        *(f"; {atom.name} stands for {readable(atom.meaning)}" for atom in lowered.atoms),
        "(set-logic QF_NRA)",
        "(set-info :status unsat)",
        *(f"(declare-const {name} Real)" for name in told.domain),
        *writer.definitions,
        *(f"(assert {fact})" for fact in facts),
        f"(assert (not {goals[0] if len(goals) == 1 else '(and ' + ' '.join(goals) + ')'}))",
        "(check-sat)",
        "",
    ])  # fmt: skip


def readable(term: Term) -> str:
    """A tree as a formula."""
    head, *rest = term
    if head == "sym":
        return str(rest[0])
    if head == "num":
        return str(Fraction(rest[0], rest[1]))
    if head in ("+", "*"):
        return f"({f' {head} '.join(map(readable, rest))})"
    if not rest:
        return str(head)
    inner = readable(rest[0])
    if head == "power":
        return f"{inner}^{readable(rest[1])}"
    return f"{inner}^{rest[1]}" if head == "^" else (
        f"{inner}^(1/{rest[1]})" if head == "root" else f"{head}({inner})"
    )  # fmt: skip


def opinion(obligation: Obligation) -> tuple[bool | None, str]:
    """Whether the obligation is true, None if Z3 cannot tell, and why. It reads the text above."""
    import z3

    try:
        if not flint_engine.somewhere(obligation):
            return None, flint_engine.NOWHERE  # whatever follows of what is nowhere is no news
        said = text(obligation, "")
    except UnreadableError as reason:
        return None, str(reason)
    solver = z3.Solver(ctx=z3.Context())
    solver.set("rlimit", RESOURCES)
    solver.from_string(said)
    answer = str(solver.check())
    if answer == "unsat":
        return True, "the assumptions and the step's negation are unsatisfiable"
    if answer == "unknown":
        return None, "no answer within its limit of work"
    return _model(obligation, solver.model())


def _model(obligation: Obligation, model: Any) -> tuple[bool | None, str]:
    """A model contradicts the step if balls at its values do, for it knows functions by few rules only."""
    point = {}
    for found in model.decls():
        name, at = found.name(), model[found]
        if name in obligation.domain:
            close = at.approx(60) if hasattr(at, "approx") else at
            point[name] = Fraction(close.numerator_as_long(), close.denominator_as_long())
    point = {name: point.get(name, Fraction(0)) for name in obligation.domain}
    if all(point[name] in within for name, within in obligation.domain.items()) and (
        against := flint_engine.contradicted(obligation, point)
    ):
        return False, f"{against}, found by Z3"
    return None, "a model that exact arithmetic does not confirm as a point of the domain"

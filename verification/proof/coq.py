"""A proof step as lemmas of Coq over the reals, each with the tactics that should prove it.

An equality of quotients is for `field`, modulo roots or equations with their rules; a sign on a box comes
with its certificate, the polynomial as a sum of non-negative products of distances to the box's ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from verification.proof import flint_engine, flint_signs
from verification.proof.lowering import Algebra, algebra
from verification.proof.obligations import Obligation, Range
from verification.proof.trees import Term, UnreadableError, denominators, fraction, minus, times

PREAMBLE = """From Coq Require Import Reals Lra Psatz.
Open Scope R_scope.
Set Default Timeout 60.

Ltac sides := repeat split; first [assumption | lra | nra | apply Rgt_not_eq; nra].
Ltac by_field := intros; first [ring | field; sides | field].
Ltac nonnegative := match goal with
  | |- 0 <= _ + _ => apply Rplus_le_le_0_compat; nonnegative
  | |- 0 <= _ * _ => apply Rmult_le_pos; nonnegative
  | |- 0 <= _ ^ _ => apply pow_le; nonnegative
  | _ => lra
  end.
Ltac positive := match goal with
  | |- 0 < _ * _ => apply Rmult_lt_0_compat; positive
  | |- 0 < _ ^ _ => apply pow_lt; positive
  | _ => lra
  end.
"""
RESERVED = {
    "R", "S", "O", "I", "PI", "exp", "ln", "sqrt", "pow", "sum", "at", "as", "by", "else", "end", "exists",
    "for", "forall", "fun", "if", "in", "let", "match", "return", "then", "using", "where", "with",
}  # fmt: skip
CERTAIN, HOPED, ENCLOSED = "expected", "tried", "by interval"
ENCLOSURES = "From Interval Require Import Tactic.\n"
"""What lemmas proved by interval arithmetic need besides, Debian's libcoq-interval."""
FUNCTIONS = {"exp": "exp", "log": "ln", "abs": "Rabs", "sin": "sin", "cos": "cos"}
MOST_TERMS = 400
"""A certificate with more terms than this is left out: Coq would take minutes."""


def comment(reason: str) -> str:
    """Why there is no lemma."""
    return f"(* not stated: {reason.replace('*)', '* )').replace('(*', '( *')} *)"


def lemma(obligation: Obligation) -> str:
    """The obligation as `(* expected *)`, `(* tried *)` or `(* by interval *)`; its name is LEMMA."""
    try:
        lowered = algebra(obligation)
    except UnreadableError as reason:
        return comment(str(reason))
    told, rules = lowered.obligation, flint_engine.rewriting(lowered)
    trees = [
        *(side for pair in told.pairs for side in pair),
        *lowered.positive,
        *(e for _, _, e in rules),
    ]
    facts = [fact for name, at in told.domain.items() for fact in _within(name, at)]
    facts += [f"{_told(fraction(base)[0])} <> 0" for base in denominators(*trees)]
    facts += [f"0 < {_told(_product(tree))}" for tree in lowered.positive]
    named = [f"rule_{k}" for k in range(1, len(rules) + 1)]
    if told.relation == "=":
        goals = [f"{_told(left)} = {_told(right)}" for left, right in told.pairs]
        using = f"[{' '.join(named)}]"
        proof = f"intros; first [ring {using} | field {using}; sides]." if rules else "by_field."
        proofs, certain = [proof] * len(goals), all(not denominators(e) for _, _, e in rules)
    else:
        sign = "<" if told.relation == ">" else "<="
        goals = [f"0 {sign} {_told(_product(minus(*pair)))}" for pair in told.pairs]
        found = [_certificate(lowered, minus(*pair)) for pair in told.pairs]
        enclosed = _enclosed(obligation)
        if enclosed and not all(found):
            return enclosed
        proofs = [one or "intros; timeout 30 nra." for one in found]
        certain = all(found)
    symbols = f"forall ({' '.join(map(_name, told.domain))} : R), " if told.domain else ""
    meant = "".join(f"(* {_name(a.name)}: {_told_meaning(a.meaning)} *)\n" for a in lowered.atoms)
    given = "".join(f"{fact} ->\n  " for fact in dict.fromkeys(facts))
    powers = [f"{_name(name)} ^ {n} = {_told(e)}" for name, n, e in rules]
    given += "".join(f"forall {h} : {fact},\n  " for h, fact in zip(named, powers, strict=True))
    return "\n".join(
        f"(* {CERTAIN if certain else HOPED} *)\n{meant}Lemma LEMMA : {symbols}\n  {given}{goal}.\n"
        f"Proof. {proof} Qed.\n"
        for goal, proof in zip(goals, proofs, strict=True)
    )


def _enclosed(obligation: Obligation) -> str:
    """Signs of functions themselves on a bounded box, for interval arithmetic; "" for what it cannot say."""
    domain = obligation.domain
    if any(at.low is None or at.high is None for at in domain.values()):
        return ""
    try:
        goals = [_told(minus(*pair)) for pair in obligation.pairs]
    except UnreadableError:
        return ""
    if not any(word in goal for goal in goals for word in ("PI", "sqrt", *FUNCTIONS.values())):
        return ""  # polynomials have better tactics
    sign = "<" if obligation.relation == ">" else "<="
    symbols = f"forall ({' '.join(map(_name, domain))} : R), " if domain else ""
    given = "".join(f"{fact} ->\n  " for name, at in domain.items() for fact in _within(name, at))
    halved = ", ".join(f"i_bisect {_name(name)}" for name in domain)
    how = f"interval with ({halved})" if domain else "interval"
    return "\n".join(
        f"(* {ENCLOSED} *)\nLemma LEMMA : {symbols}\n  {given}0 {sign} {goal}.\nProof. intros; {how}. Qed.\n"
        for goal in goals
    )


def _certificate(lowered: Algebra, tree: Term) -> str:
    """A proof by a sum of products that are non-negative on the domain, "" if one piece of it will not do."""
    domain = lowered.obligation.domain
    if not domain:
        return "lra."
    found = flint_signs.certificate(_product(tree), domain, MOST_TERMS)
    if found is None:
        return ""
    scale, terms = found
    strict = lowered.obligation.relation == ">"
    inside = [term for term in terms if all(_open(domain, name, high) for name, high, _ in term[1])]
    if strict and not inside:
        return ""
    terms = [*inside[:1], *(term for term in terms if term not in inside[:1])] if strict else terms
    said = [" * ".join([str(c), *(_distance(domain[n], _name(n), high, k) for n, high, k in factors)])
            for c, factors in terms]  # fmt: skip
    split = "apply Rplus_lt_le_0_compat; [positive | nonnegative]" if len(said) > 1 else "positive"
    total = (
        f"{said[0]} + ({' + '.join(said[1:])})" if strict and len(said) > 1 else " + ".join(said)
    )
    return (
        f"intros; apply (Rmult_{'lt' if strict else 'le'}_reg_l {scale}); [lra |].\n"
        f"  replace ({scale} * 0) with 0 by ring.\n"
        f"  replace ({scale} * {_told(_product(tree))}) with ({total or 0}) by first [ring | field].\n"
        f"  {split if strict else 'nonnegative'}."
    )


def _open(domain: Mapping[str, Range], name: str, high: bool) -> bool:
    return domain[name].open_high if high else domain[name].open_low


def _distance(within: Range, name: str, high: bool, exponent: int) -> str:
    end = within.high if high else within.low
    inner = f"({end} - {name})" if high else name if end == 0 else f"({name} - {_number(end)})"
    return inner if exponent == 1 else f"{inner} ^ {exponent}"


def _within(name: str, at: Range) -> list[str]:
    facts = []
    if at.low is not None:
        facts.append(f"{_number(at.low)} {'<' if at.open_low else '<='} {_name(name)}")
    if at.high is not None:
        facts.append(f"{_name(name)} {'<' if at.open_high else '<='} {_number(at.high)}")
    return facts


def _product(tree: Term) -> Term:
    """Numerator times the odd powers of the denominator: of one sign with the tree."""
    top, bottom = fraction(tree)
    return times(top, *(base for base, k in bottom.items() if k % 2))


def _name(name: str) -> str:
    return f"{name}_" if name in RESERVED else name


def _number(value: Fraction | None) -> str:
    text = str(value).replace("/", " / ")
    return f"({text})" if value is not None and (value < 0 or value.denominator > 1) else text


def _told(term: Term) -> str:
    """A tree without powers to trees and roots but square ones."""
    head, *rest = term
    if head == "pi":
        return "PI"
    if head == "num":
        return _number(Fraction(rest[0], rest[1]))
    if head == "sym":
        return _name(rest[0])
    if head == "^":
        size = f"({_told(rest[0])} ^ {abs(rest[1])})"
        return size if rest[1] > 0 else f"(/ {size})"
    if head in FUNCTIONS or (head == "root" and rest[1] == 2):
        return f"({FUNCTIONS.get(head, 'sqrt')} {_told(rest[0])})"
    if head not in ("+", "*"):
        raise UnreadableError(f"{head} is no function of Coq's that is used here")
    return f"({f' {head} '.join(map(_told, rest))})"


def _told_meaning(term: Term) -> str:
    """What an atom stands for, inside a comment."""
    head, *rest = term
    if head in ("num", "sym", "^", "+", "*", "pi"):
        return _told(term)
    return (
        f"{head} {' '.join(str(part) if isinstance(part, int) else _told(part) for part in rest)}"
    )

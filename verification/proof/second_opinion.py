"""Every algebraic step is decided again by engines that share no code with SymPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from verification.finding import Fails, Opinion, ProofStep, Says
from verification.proof import coq, flint_engine, smt
from verification.proof.obligations import Obligation
from verification.proof.trees import UnreadableError

ENGINES = {flint_engine.NAME: flint_engine.opinion, smt.NAME: smt.opinion}
ALIKE = "both sides were alike as SymPy had left them"
WORDS = {True: Says.AGREES, False: Says.DISAGREES, None: Says.NOTHING}


def decided_again(
    statement: str,
    holds: bool,
    certificate: str,
    oblige: Callable[[], Sequence[Obligation]],
    every_size: Callable[[], bool] | None = None,
    *,
    fails: Fails,
) -> ProofStep:
    """A step with every engine's opinion; one that disagrees makes it not hold.

    Args:
        statement, holds, certificate: what SymPy found.
        oblige: what together is the step, for engines of numbers; may raise `UnreadableError`.
        every_size: for matrices of symbolic size: whether the sides are the same words. `oblige` is an
            instance then.
        fails: as in `ProofStep`.
    """
    try:
        obligations = tuple(oblige())
    except UnreadableError as reason:
        opinions = tuple(Opinion(name, Says.NOTHING, str(reason)) for name in ENGINES)
        return ProofStep(
            statement, holds, certificate, opinions, (), coq.comment(str(reason)), fails
        )
    opinions = tuple(_opinion(name, obligations) for name in ENGINES)
    if every_size is not None and opinions[0].says is Says.AGREES and every_size():
        words = "the same words in matrices of any size"
        opinions = Opinion(flint_engine.NAME, Says.AGREES, words), *opinions[1:]
    if all(obligation.left_nothing for obligation in obligations):
        opinions = tuple(
            replace(opinion, scope="; ".join(filter(None, (opinion.scope, ALIKE))))
            for opinion in opinions
        )
    against = [o for o in opinions if o.says is Says.DISAGREES]
    if against and holds:
        certificate = f"SymPy: {certificate}; {against[0].engine} disagrees: {against[0].detail}"
    return ProofStep(
        statement,
        bool(holds) and not against,
        certificate,
        opinions,
        tuple(smt.text(obligation, statement) for obligation in obligations),
        "\n".join(coq.lemma(obligation) for obligation in obligations),
        fails,
    )


def _opinion(name: str, obligations: Sequence[Obligation]) -> Opinion:
    said = [(ENGINES[name](obligation), obligation.scope) for obligation in obligations]
    for wanted in (False, None, True):
        for (truth, why), scope in said:
            if truth is wanted:
                return Opinion(name, WORDS[truth], why, scope)
    return Opinion(name, Says.NOTHING, "nothing to decide")

"""A proof step as lemmas of Coq."""

from verification.proof.obligations import Obligation


def comment(reason: str) -> str:
    """Why there is no lemma."""
    return f"(* {reason} *)"


def lemma(obligation: Obligation) -> str:
    """The lemma."""
    return str(obligation)

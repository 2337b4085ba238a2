"""What a frozen random A can learn: r/d of the signal (theory.md §8)."""

from typing import Any

import sympy as sp

from theory.samples import moments
from verification.finding import ProofStep
from verification.proof.identities import identity, induction, sized_identity


def remaining_fraction(rank: Any, d: Any) -> Any:
    """E||(I − A⁰A⁰ᵀ)A*B*||² / ||A*B*||² = 1 − r/d for A⁰ uniform on orthonormal d × r frames.

    Source: theory.md §8. Works on numbers and SymPy expressions.
    """
    return 1 - rank / d


ARGUED = (
    ("each column w of A⁰ is uniform on the unit sphere, (w·v)² has the law of ‖v‖² w₁², and w's"
        " coordinates have one law",
        "since the law of a uniform frame does not change under rotations"),
)  # fmt: skip
"""What the derivation takes from probability: statement and reason."""


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """For any d, r and target: the projection's Pythagoras, and r columns that each catch 1/d.

    Args:
        stretch: multiplies the share that is left; 1 for the true statement.
    """
    d, r, outputs = sp.symbols("d r p", integer=True, positive=True)
    A, target = sp.MatrixSymbol("A", d, r), sp.MatrixSymbol("T", d, outputs)
    count, norm = sp.Symbol("k", integer=True, nonnegative=True), sp.Symbol("F", positive=True)
    caught = moments.sphere_second_moment(d) * norm**2
    left, learned = target - A @ A.T @ target, A.T @ target
    one, share = sp.Identity(r), sp.Symbol("share", positive=True)
    return (
        *moments.derive((1,)),
        sized_identity("‖(I − AAᵀ)T‖² = ‖T‖² − ‖AᵀT‖² for AᵀA = I: the difference has the factor AᵀA − I",
            left.T @ left - target.T @ target + learned.T @ learned,
            learned.T @ (A.T @ A - one) @ learned),
        identity("the d coordinates of a unit vector have like laws, and squares that add up to 1",
            d * share, sp.Integer(1), where={share: moments.sphere_second_moment(d)}),
        induction("r columns catch r times what one does", count * caught, count, caught),
        identity(
            "so E||A⁰ᵀ A*B*||² = r·E[w₁²]·||A*B*||², and what is left is 1 − r/d of it",
            norm**2 - count * caught, stretch * remaining_fraction(r, d) * norm**2, where={count: r}),
    )  # fmt: skip

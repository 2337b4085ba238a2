"""What a frozen random A can learn: r/d of the signal (theory.md §8)."""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory.samples import moments
from verification.finding import ProofStep
from verification.proof.identities import identity


def remaining_fraction(rank: Any, d: Any) -> Any:
    """E||(I − A⁰A⁰ᵀ)A*B*||² / ||A*B*||² = 1 − r/d for A⁰ uniform on orthonormal d × r frames.

    Source: theory.md §8. Works on numbers and SymPy expressions.
    """
    return 1 - rank / d


def derive() -> tuple[ProofStep, ...]:
    """E[A⁰A⁰ᵀ] = (r/d) I: every column is uniform on the sphere, and the mean commutes with rotations."""
    d, r, norm = sp.symbols("d r F", positive=True)
    signs, swaps = sp.diag(-1, 1, 1), sp.Matrix([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    E = sp.Matrix(3, 3, sp.symbols("e1:10", real=True))
    equations = [*(signs * E - E * signs), *(swaps * E - E * swaps)]
    solution = sp.solve(equations, list(E), dict=True)[0]
    free = E.subs(solution)
    learned = r * moments.sphere_second_moment(d) * norm**2
    return (
        *moments.derive((1,)),
        identity("a matrix that commutes with a sign flip and the cyclic permutation is a multiple of I"
            " (d = 3; the same elimination at every d)", free, free[0, 0] * sp.eye(3)),
        identity(
            "so E||A⁰ᵀ A*B*||² = r·E[w₁²]·||A*B*||², and what is left is 1 − r/d of it", norm**2 - learned,
            remaining_fraction(r, d) * norm**2),
    )  # fmt: skip

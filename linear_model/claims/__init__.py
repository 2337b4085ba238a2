"""The claims about the linear model whose evidence is a simulation."""

from __future__ import annotations

from linear_model.claims import bstep_law, fixed_data_rate
from theory.claim import Claim


def claims() -> tuple[Claim, ...]:
    """Every claim of this package, in the order of theory.md."""
    return (
        bstep_law.CLAIM,
        fixed_data_rate.CLAIM,
    )

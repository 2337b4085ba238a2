"""The claims that mathematics alone decides. Claims that need a simulator live with the laboratories."""

from __future__ import annotations

from theory import (
    alternating,
    contraction,
    escape_time,
    interference,
    nonconvex,
    plateau,
    population_map,
    rank_r,
    recovery_norm,
    traffic,
)
from theory.claim import Claim


def claims() -> tuple[Claim, ...]:
    """Every claim of this package, in the order of theory.md."""
    return (
        interference.CLAIM,
        alternating.CLAIM,
        population_map.CLAIM,
        contraction.CLAIM,
        plateau.CLAIM,
        recovery_norm.CLAIM,
        escape_time.CLAIM,
        rank_r.CLAIM,
        nonconvex.CLAIM,
        traffic.CLAIM,
    )

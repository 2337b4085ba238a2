"""The claims that mathematics alone decides. Claims that need a simulator live with the laboratories."""

from __future__ import annotations

from theory.averaging import alternating_exact, interference_identity, traffic_halved
from theory.nonconvex import nonconvex_bound
from theory.population import contraction_lemma, plateau, population_map, rank_r_map
from theory.recovery import escape_time, recovery_norm
from verification.claim import Claim


def claims() -> tuple[Claim, ...]:
    """Every claim of this package, in the order of theory.md."""
    return (
        interference_identity.CLAIM,
        alternating_exact.CLAIM,
        population_map.CLAIM,
        contraction_lemma.CLAIM,
        plateau.CLAIM,
        recovery_norm.CLAIM,
        escape_time.CLAIM,
        rank_r_map.CLAIM,
        nonconvex_bound.CLAIM,
        traffic_halved.CLAIM,
    )

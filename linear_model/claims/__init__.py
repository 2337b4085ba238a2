"""The claims about the linear model whose evidence is a simulation."""

from __future__ import annotations

from linear_model.claims import (
    bstep_law,
    fedavg_heterogeneity,
    ffa_floor,
    ffa_random_init,
    fixed_data_rate,
    heterogeneous_population,
    mean_square_rate,
    noise_floor,
    pooled_samples,
    rank_r_ffa_floor,
    recovery_theorem,
)
from verification.claim import Claim


def claims() -> tuple[Claim, ...]:
    """Every claim of this package, in the order of theory.md."""
    return (
        bstep_law.CLAIM,
        recovery_theorem.CLAIM,
        mean_square_rate.CLAIM,
        pooled_samples.CLAIM,
        fixed_data_rate.CLAIM,
        ffa_floor.CLAIM,
        rank_r_ffa_floor.CLAIM,
        ffa_random_init.CLAIM,
        noise_floor.CLAIM,
        heterogeneous_population.CLAIM,
        fedavg_heterogeneity.CLAIM,
    )

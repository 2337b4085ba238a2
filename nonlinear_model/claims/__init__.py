"""The claims about the two-layer network. Listing them imports no torch; checking them does."""

from __future__ import annotations

from nonlinear_model.claims import (
    early_a_matters,
    ffa_seed_spread,
    local_steps,
    mnist_gap_widens,
    mnist_ranking,
    schedule_balance,
)
from verification.claim import Claim


def claims() -> tuple[Claim, ...]:
    """Every claim of this package, in the paper's order."""
    return (
        mnist_ranking.CLAIM,
        mnist_gap_widens.CLAIM,
        schedule_balance.CLAIM,
        early_a_matters.CLAIM,
        local_steps.CLAIM,
        ffa_seed_spread.CLAIM,
    )

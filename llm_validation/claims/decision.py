"""From paired accuracies to a verdict: supported, refuted, or not decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from verification.finding import Finding, Plot, Table
from verification.paired_study import Rule, paired
from verification.verdict import Verdict

RULE = Rule(alpha=0.05, number="+.2f", unit=" points")
"""An empirical study, not a simulation: 5 % error probability of all intervals of one claim together."""
LEAST_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Lead:
    """How far one side is ahead, seed by seed.

    Attributes:
        quantity: in words.
        ahead: seed to accuracy (or change of accuracy) of the side said to be ahead, in points.
        behind: the same of the other side.
        by: points by which it is said to be ahead at least (0 in the claims).
    """

    quantity: str
    ahead: Mapping[int, float]
    behind: Mapping[int, float]
    by: float = 0.0

    def differences(self) -> np.ndarray:
        """Paired differences over the seeds both sides have, in points."""
        return np.array(list(difference(self.ahead, self.behind).values()))


def decide(
    leads: Sequence[Lead],
    *,
    method: str,
    missing: str,
    table: Table,
    plot: Plot | None,
    notes: tuple[str, ...] = (),
) -> Finding:
    """Every lead exceeds its demand, as `RULE` judges it.

    Args:
        leads: what is compared; each needs `LEAST_SEEDS` common seeds.
        method: how the numbers were made.
        missing: what is needed, said where nothing can be decided.
        table: data of the picture.
        plot: the picture.
        notes: further remarks.
    """
    samples = [lead.differences() for lead in leads]
    if any(differences.size < LEAST_SEEDS for differences in samples):
        return Finding(
            Verdict.NOT_CHECKED,
            "no verdict: results are missing",
            missing=missing,
            notes=notes,
            table=table,
            plot=plot,
        )
    comparisons = [
        paired(
            lead.quantity,
            differences,
            RULE.alpha / len(leads),
            by=lead.by,
            certify=False,
            why="points of accuracy, mean of paired differences over seeds; the theory value is the"
            " lead that the statement demands",
        )
        for lead, differences in zip(leads, samples, strict=True)
    ]
    n = min(differences.size for differences in samples)
    return RULE.conclude(
        comparisons,
        f"{method}; paired differences over {n} seeds, Student intervals with error probability"
        f" {RULE.alpha:g} together",
        trials=n,
        notes=notes,
        table=table,
        plot=plot,
    )


def difference(later: Mapping[int, float], earlier: Mapping[int, float]) -> dict[int, float]:
    """Change per seed, over the seeds both have."""
    return {seed: later[seed] - earlier[seed] for seed in later if seed in earlier}

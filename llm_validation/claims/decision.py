"""From paired accuracies to a verdict: supported, refuted, or not decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from verification.finding import Comparison, Finding, Plot, Relation, Table
from verification.statistics import mean_estimate
from verification.verdict import Verdict

ALPHA = 0.05
"""Error probability of all intervals of one claim together (an empirical study, not a simulation)."""
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
        return np.array([self.ahead[s] - self.behind[s] for s in self.ahead if s in self.behind])


def decide(
    leads: Sequence[Lead],
    *,
    method: str,
    missing: str,
    table: Table,
    plot: Plot | None,
    notes: tuple[str, ...] = (),
) -> Finding:
    """Every lead exceeds its demand: supported if all intervals lie above it, refuted if one lies below.

    Args:
        leads: what is compared; each needs `LEAST_SEEDS` common seeds.
        method: how the numbers were made.
        missing: what is needed, said where nothing can be decided.
        table: data of the picture.
        plot: the picture.
        notes: further remarks.
    """
    samples = [lead.differences() for lead in leads]
    short = [lead for lead, d in zip(leads, samples, strict=True) if d.size < LEAST_SEEDS]
    if short:
        return Finding(
            Verdict.NOT_CHECKED,
            "no verdict: results are missing",
            missing=missing,
            notes=notes,
            table=table,
            plot=plot,
        )
    estimates = [mean_estimate(d, ALPHA / len(leads)) for d in samples]
    below = [e.interval[1] < lead.by for lead, e in zip(leads, estimates, strict=True)]
    above = [e.interval[0] > lead.by for lead, e in zip(leads, estimates, strict=True)]
    comparisons = tuple(
        Comparison(
            lead.quantity,
            lead.by,
            e.mean,
            Relation.GE,
            interval=e.interval,
            why="points of accuracy, mean of paired differences over seeds; the theory value is the"
            " lead that the statement demands",
        )
        for lead, e in zip(leads, estimates, strict=True)
    )
    n = min(int(d.size) for d in samples)
    open_ones = [lead for lead, up in zip(leads, above, strict=True) if not up]
    verdict = Verdict.SUPPORTED if all(above) else Verdict.NOT_CHECKED
    counterexample = ""
    if any(below):
        verdict = Verdict.REFUTED
        worst = below.index(True)
        low, high = estimates[worst].interval
        counterexample = (
            f"{leads[worst].quantity}: {estimates[worst].mean:+.2f} points, interval"
            f" [{low:+.2f}, {high:+.2f}], not above {leads[worst].by:g}"
        )
    undecided = (
        f"not decided with {n} seeds: the interval of “{open_ones[0].quantity}” contains {open_ones[0].by:g};"
        " more"
        " seeds or longer runs would decide"
        if verdict is Verdict.NOT_CHECKED
        else ""
    )
    return Finding(
        verdict,
        f"{method}; paired differences over {n} seeds, Student intervals with error probability"
        f" {ALPHA:g} together",
        comparisons=comparisons,
        trials=n,
        alpha=ALPHA,
        counterexample=counterexample,
        missing=undecided,
        notes=notes,
        table=table,
        plot=plot,
    )


def difference(later: Mapping[int, float], earlier: Mapping[int, float]) -> dict[int, float]:
    """Change per seed, over the seeds both have."""
    return {seed: later[seed] - earlier[seed] for seed in later if seed in earlier}

"""Claim `ffa-seed-spread`: FFA-LoRA's result depends more on the seed than RoLoRA's."""

from __future__ import annotations

from functools import partial
from math import sqrt

import numpy as np
from scipy import stats

from nonlinear_model.claims import study
from nonlinear_model.claims.study import Setting
from verification.claim import PAPER, claim
from verification.evidence import Evidence
from verification.finding import Mark, Plot, Rule, Series
from verification.names import one_of
from verification.verdict import Verdict

METHODS = ("ffa", "rolora")
RULE = Rule(study.ALPHA, ".2f")


def spread_ratio(
    first: np.ndarray, second: np.ndarray, alpha: float
) -> tuple[float, tuple[float, float]]:
    """Ratio of two standard deviations of paired samples, with Pitman and Morgan's interval (1939).

    Exact for bivariate normal pairs; the pairs may be correlated, as runs of one seed are.

    Args:
        first, second: paired samples, shape (n,), n ≥ 3.
        alpha: error probability of the interval.
    """
    n = first.size
    w = float(first.var(ddof=1) / second.var(ddof=1))
    r = float(np.corrcoef(first, second)[0, 1])
    t = float(stats.t.isf(alpha / 2.0, n - 2))
    k = 1.0 + 2.0 * (1.0 - r**2) * t**2 / (n - 2)
    reach = sqrt(k**2 - 1.0)
    return sqrt(w), (sqrt(w * (k - reach)), sqrt(w * (k + reach)))


@claim(
    "ffa-seed-spread",
    "FFA-LoRA depends on its seed",
    statement="Over seeds, the final accuracy of FFA-LoRA has a larger standard deviation than RoLoRA's.",
    latex=r"\mathrm{std}_{\mathrm{seed}}(\mathrm{FFA})>\mathrm{std}_{\mathrm{seed}}(\mathrm{RoLoRA})",
    source=f"{PAPER}, seed-to-seed deviations of the commonsense results",
    section="network",
    assumptions=(
        "two-layer network, images split by label over 5 clients",
        study.CHOSEN,
        "final accuracies near normal over seeds (for the interval)",
    ),
    expected=Verdict.SUPPORTED,
    mutant={"wide": "rolora"},
    says="RoLoRA spreads more than FFA-LoRA",
    order=270,
)
def check(
    evidence: Evidence,
    *,
    wide: str = "ffa",
    clients: int = 5,
    seeds: int = 0,
    ratio: float = 1.0,
) -> None:
    """Train both methods on many seeds and compare the spreads of their final accuracies.

    Args:
        evidence: gathers what is found.
        wide: the method said to spread more: `ffa` or `rolora`.
        clients: number of clients, split by label.
        seeds: how many judge; 0 for 24.
        ratio: demanded ratio of the standard deviations.
    """
    one_of("wide", wide, METHODS)
    if not 0.0 < ratio < float("inf"):
        raise ValueError(f"ratio must be positive and finite, got {ratio}")
    seeds, settings = seeds or 24, (Setting(clients, 10, 60),)
    found = study.trained(evidence, settings, METHODS, seeds, rule=RULE)
    if not found:
        return
    final = {method: result.scores() for (_, method), result in found.items()}
    narrow = METHODS[wide == METHODS[0]]
    spread = partial(spread_ratio, final[wide], final[narrow])
    evidence.share(1)
    asked = evidence.ask(spread(0.5)[0], seeds, lambda alpha: spread(alpha)[1])
    evidence.state(
        f"standard deviation over seeds of {wide}'s final accuracy, over {narrow}'s",
        asked,
        at_least=ratio,
        certify=True,
        why=f"Pitman–Morgan interval, {seeds} seeds with the same split, start and batches",
    )
    evidence.record(detectable=asked.interval[1] / asked.measured - 1.0)
    stds = {method: float(values.std(ddof=1)) for method, values in final.items()}
    evidence.note(
        f"Standard deviations: FFA-LoRA {stds['ffa']:.4f}, RoLoRA {stds['rolora']:.4f};"
        f" ranges {np.ptp(final['ffa']):.3f} and {np.ptp(final['rolora']):.3f}."
    )
    rows = [
        {"seed_rank": place, "method": method, "accuracy": float(value)}
        for method, values in final.items()
        for place, value in enumerate(np.sort(values), start=1)
    ]
    evidence.table(rows, PLOT)


PLOT = Plot(
    x="seed_rank",
    series=(Series("accuracy", "final accuracy", Mark.POINTS),),
    xlabel="seeds, in the order of the result",
    ylabel="test accuracy",
    caption="Final test accuracy of every seed, sorted, at each method's best learning rate. FFA-LoRA"
    " keeps the A it was dealt, so its seed decides what B can reach; RoLoRA trains the luck away.",
    group="method",
)

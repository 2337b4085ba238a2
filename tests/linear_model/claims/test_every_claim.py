"""Every claim on the linear model: at another seed, on its mutant, and at a user's own parameters."""

import pytest

from rolora.verify.registry import entries
from verification import statistics
from verification.budget import Budget
from verification.verdict import Verdict

CLAIMS = {
    entry.name: entry.value
    for entry in entries()
    if entry.value.module.startswith("linear_model.claims.")
}

OWN = {
    "bstep-law": (
        {"samples": 12, "epsilon": 0.3, "d": 6},
        "ε' = 0.3, N = 1, m = 12",
        {"epsilon": 4.0},
    ),
    "mean-square-rate": ({"d": 10, "kappa": 0.7, "alone": True}, "d = 10, κ = 0.7", {"kappa": 2.1}),
    "pooled-samples": ({"d": 50, "samples": (9, 30), "alone": True}, "d = 50", {"samples": (7,)}),
    "fixed-data-rate": (
        {"d": 2, "samples": 15, "kappa": 1.1},
        "d = 2, N = 3, m = 15",
        {"kappa": 0.0},
    ),
    "noise-floor": ({"d": 3, "kappa": 0.2, "alone": True}, "d = 3, N = 2", {"kappa": 1.3}),
    "ffa-floor": (
        {"clients": 4, "samples": 11, "angle": 0.2, "alone": True},
        "N = 4, m = 11",
        {"samples": 9},
    ),
    "rank-r-ffa-floor": ({"clients": 3, "rank": 1, "alone": True}, "r = 1", {"samples": 10}),
    "ffa-random-init": ({"d": (6,), "rank": (2,), "clients": 3}, "d = 6, r = 2", {"rank": (1, 2)}),
    "heterogeneous-population": (
        {"clients": 7, "d": 12, "angle": 0.5},
        "start angle 0.5",
        {"angle": 1},
    ),
    "fedavg-heterogeneity": ({"clients": 5, "angle": 0.3}, "after round 1", {"clients": 1}),
    "recovery-theorem": (
        {"d": 50, "samples": 1_000, "delta0": 0.3, "alone": True},
        "T = 111",
        {"kappa": 1.6},
    ),
}
"""A user's parameters, words of the headline at them, and a value that is refused."""


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=list(CLAIMS))
def test_the_claim_holds_and_its_picture_can_be_drawn(claim) -> None:
    finding = claim.check(Budget(seed=5))
    assert finding.verdict is claim.expected, finding.counterexample
    assert finding.alpha is None or finding.alpha <= statistics.ALPHA
    columns = set(finding.table.columns)
    wanted = {finding.plot.x, *(series.y for series in finding.plot.series)}
    wanted |= {name for series in finding.plot.series for name in (series.low, series.high) if name}
    wanted |= {finding.plot.group} if finding.plot.group else set()
    assert wanted <= columns


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=list(CLAIMS))
def test_the_negative_control_is_refuted(claim) -> None:
    assert claim.negative_control(Budget(seed=5)).verdict is Verdict.REFUTED


@pytest.mark.parametrize("name", OWN)
def test_the_claim_holds_at_a_users_own_parameters(name: str) -> None:
    claim, (given, words, _) = CLAIMS[name], OWN[name]
    finding = claim.check(Budget(), **given)
    assert finding.verdict is claim.expected, finding.counterexample
    assert words in finding.headline.quantity


@pytest.mark.parametrize("name", OWN)
def test_a_refused_value_is_told_in_one_sentence(name: str) -> None:
    refused = OWN[name][2]
    with pytest.raises(ValueError, match=rf"^{next(iter(refused))} must .*, got \S+$"):
        CLAIMS[name].check(Budget(), **refused)

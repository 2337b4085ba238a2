"""Each claim on the linear theory: at its own setting and a user's, its control, a value it refuses."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sympy import Rational

import rolora
from rolora.verify.registry import entries
from verification.budget import Budget
from verification.claim import ELSEWHERE
from verification.evidence import Evidence
from verification.finding import Finding, Relation
from verification.statistics import ALPHA
from verification.verdict import Verdict

PLACES = ("theory.", "linear_model.")
CLAIMS = {one.name: one.value for one in entries() if one.value.module.startswith(PLACES)}

AT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "interference-identity": ({"clients": 7, "d_in": 4, "rank": 2, "d_out": 3}, {"clients": 1}),
    "alternating-exact": ({"clients": 3, "rank": 5, "rounds": 4}, {"exact": ("rolora", "flora")}),
    "population-map": ({"kappa": 2.3, "tangent": 12.0, "d": 3}, {"tangent": 1e5}),
    "contraction-lemma": ({"start": Rational(1, 4), "d": 9, "rounds": 20}, {"start": 0}),
    "plateau": ({"kappa": 5.0}, {"kappa": 2.0}),
    "recovery-norm": ({"d": 8, "outputs": 1, "clients": 5, "samples": (4, 9)}, {"samples": (3, 0)}),
    "escape-time": ({"d": 50, "kappa": 0.98, "epsilon": 1e-3}, {"kappa": 1.0}),
    "rank-r-map": ({"d": 5, "values": (1.0, 0.9), "eta": 0.2}, {"eta": 1.0}),
    "oja-identity": ({"d": 7, "outputs": 9, "clients": 3, "rank": 3}, {"rank": 12}),
    "best-rank-r-of-the-mean": ({"d": 6, "outputs": 5, "clients": 3, "rank": 1}, {"rank": 6}),
    "no-client-drift": ({"d": 5, "outputs": 4, "clients": 3, "rank": 1, "steps": 3}, {"steps": 0}),
    "covariate-shift-bias": ({"d": 5, "outputs": 3, "clients": 3, "rank": 1}, {"rank": 4}),
    "drift-correction-is-unbiased": (
        {"d": 5, "outputs": 3, "clients": 3, "rank": 1, "steps": 4},
        {"steps": 1},
    ),
    "momentum-and-preconditioning": (
        {"d": 6, "clients": 3, "values": (2.0, 0.8)},
        {"values": (1.0,)},
    ),
    "nonconvex-bound": (
        {"rounds": 20, "clients": 3, "local_steps": 2, "sigma": 0.0, "heterogeneity": 2.0},
        {"clients": 0},
    ),
    "traffic-halved": (
        {"d_in": 30, "d_out": 7, "rank": 3, "participation": 0.3},
        {"participation": 0.0},
    ),
    "bstep-law": ({"samples": 12, "epsilon": 0.3, "d": 6}, {"epsilon": 4.0}),
    "mean-square-rate": ({"d": 10, "kappa": 0.7, "alone": True}, {"kappa": 2.1}),
    "pooled-samples": ({"d": 50, "samples": (9, 30), "alone": True}, {"samples": (7,)}),
    "fixed-data-rate": ({"d": 2, "samples": 15, "kappa": 1.1}, {"kappa": 0.0}),
    "noise-floor": ({"d": 6, "kappa": 0.7, "alone": True}, {"kappa": 1.3}),
    "rank-r-mean-square": (
        {"d": 12, "clients": 2, "samples": 14, "sizes": (2.0, 1.7, 1.6), "alone": True},
        {"kappa": 2.0},
    ),
    "limits-of-pooling": (
        {"d": 10, "clients": 2, "samples": 9, "kappa": 0.3, "local_steps": 3, "alone": True},
        {"samples": 7},
    ),
    "decreasing-steps": (
        {"d": 8, "clients": 2, "samples": 9, "rounds": 5, "alone": True},
        {"rounds": 2},
    ),
    "ffa-floor": ({"clients": 4, "samples": 11, "angle": 0.2, "alone": True}, {"samples": 9}),
    "rank-r-ffa-floor": ({"clients": 2, "rank": 3, "alone": True}, {"samples": 10}),
    "ffa-random-init": ({"d": (6,), "rank": (2,), "clients": 3}, {"rank": (1, 2)}),
    "heterogeneous-population": ({"clients": 7, "d": 12, "angle": 0.5}, {"angle": 1}),
    "heterogeneous-samples": ({"d": 5, "samples": 20, "kappa": 0.5, "alone": True}, {"samples": 7}),
    "heterogeneity-floor": (
        {"d": 12, "clients": 2, "samples": 12, "kappa": 0.7, "across": 0.5, "alone": True},
        {"samples": 7},
    ),
    "partial-participation": (
        {"clients": 5, "taking_part": 3, "spread": 0.8, "kappa": 0.4, "alone": True},
        {"taking_part": 6},
    ),
    "privacy-floor": (
        {"d": 6, "clients": 5, "samples": 12, "kappa": 0.7, "alone": True},
        {"kappa": 2.0},
    ),
    "heterogeneous-recovery": ({"d": 4, "clients": 6, "epsilon": 1e-4}, {"spread": 1.5}),
    "fedavg-heterogeneity": ({"clients": 5, "angle": 0.3}, {"clients": 1}),
    "one-shot-averaging": ({"clients": 3, "d": 7, "rank": 1}, {"rank": 5}),
    "personalised-second-moment": (
        {"d": 24, "clients": 4, "samples": 14, "kappa": 1.2, "alone": True},
        {"samples": 9},
    ),
    "turns-inside-a-round": ({"clients": 6, "local_steps": 5, "angle": 0.4}, {"kappa": 2.0}),
    "fedavg-against-rolora": ({"condition": 3.0, "kappa": 0.1}, {"kappa": 0.2}),
    "method-floors": ({"active": 3, "privacy": 0.1, "labels": 1.0}, {"active": 1}),
    "recovery-theorem": (
        {"d": 2_000, "samples": 40_000, "delta0": 0.3, "alone": True},
        {"epsilon": 0.2},
    ),
    "noise-helps-escape": (
        {"d": 50_000_000, "samples": 200_000, "kappa": 0.8},
        {"kappa": 0.0},
    ),
    "small-angle-clt": ({"d": 300, "clients": 8, "samples": 90, "kappa": 0.7}, {"samples": 5}),
    "lemma-edge-at-finite-m": ({"d": 800, "samples": 300}, {"d": 10}),
    "too-few-samples": (
        {"d": 200, "clients": 1, "samples": 100, "kappa": 0.9, "alone": True},
        {"samples": 5_000},
    ),
    "dominating-chain": (
        {"d": 30, "clients": 4, "samples": 60, "kappa": 0.7, "alone": True},
        {"kappa": 0.1},
    ),
    "sharp-recovery": ({"d": 300, "samples": 900, "kappa": 0.7, "alone": True}, {"samples": 3}),
}
"""Of a claim: parameters that are not its own, and one that it refuses."""


BY_MEASUREMENT_ALONE = {
    "heterogeneous-recovery": "a simulation, with no derivation",
    "recovery-theorem": "a step of 1.6 is too long for 20 d samples, not for infinitely many",
}
"""Claims whose mutant the proof does not see, with the reason."""
TOOTHLESS_THERE = {
    "recovery-theorem": "its step is one that the true statement allows",
    "escape-time": "its bounds on whole rounds are wider than what 2 % of the step make",
}
"""Claims whose mutant no measurement tells at the user's setting of `AT`, with the reason."""
COARSE = {"bstep-law": "it counts rare failures on literal data, to one per cent of their number"}
"""Claims with an estimate coarser than `PRECISION` in the quick profile, with the reason."""
PRECISION = 0.005
"""Largest standard error, over its value, of an estimate that is said to equal theory."""


@cache
def found(name: str, users: bool) -> Finding:
    if users:
        return rolora.check(name, **AT[name][0]).finding
    return CLAIMS[name].check(Budget(seed=5))


def test_every_claim_is_here() -> None:
    assert set(AT) == set(CLAIMS)


@pytest.mark.parametrize("users", [False, True], ids=["own setting", "user's setting"])
@pytest.mark.parametrize("name", AT)
def test_a_claim_holds_and_its_control_is_refuted(name: str, users: bool) -> None:
    claim, finding = CLAIMS[name], found(name, users)
    assert finding.verdict is claim.expected, finding.counterexample
    assert finding.alpha is None or finding.alpha <= ALPHA
    control = claim.negative_control(Budget(seed=5), **(AT[name][0] if users else {}))
    assert control.verdict is Verdict.REFUTED
    assert 0 < len(control.counterexample) < 400
    assert (ELSEWHERE in control.counterexample) is (users and name in TOOTHLESS_THERE)
    assert control.measured_false
    if not users:  # either half of the evidence tells the mutant
        assert control.proved_false or name in BY_MEASUREMENT_ALONE


def coarse(finding: Finding) -> list[str]:
    """Its estimates that are said to equal theory and are coarser than `PRECISION`, by their intervals."""
    estimates = [c for c in finding.comparisons if c.interval and c.n]
    # Each interval's error probability is at least this share, so that this is its reach at most.
    reach = norm.isf((finding.alpha or ALPHA) / max(len(estimates), 1) / 2) if estimates else 1.0
    return [
        c.quantity
        for c in estimates
        if c.relation is Relation.EQ
        and c.interval[1] - c.interval[0] > 2 * PRECISION * reach * abs(c.measured)
    ]


@pytest.mark.parametrize("name", AT)
def test_every_estimate_that_equals_theory_is_precise(name: str) -> None:
    assert bool(coarse(found(name, False))) is (name in COARSE)


def test_a_coarse_estimate_is_seen() -> None:
    for n, seen in ((100, True), (100_000, False)):
        evidence = Evidence("coarse", Budget())
        samples = np.arange(n) % 2.0  # standard error 1/√n of the mean
        evidence.mean("a half", samples, equals=0.5)
        assert bool(coarse(evidence.conclude(Verdict.CONSISTENT))) is seen


@pytest.mark.parametrize("name", AT)
def test_a_claims_picture_can_be_drawn(name: str) -> None:
    table, plot = found(name, False).table, found(name, False).plot
    assert table
    assert plot
    wanted = {plot.x, plot.group, *(n for s in plot.series for n in (s.y, s.low, s.high))}
    assert wanted - {None} <= set(table.columns)


@pytest.mark.parametrize("name", AT)
def test_the_headline_is_about_the_users_setting(name: str) -> None:
    own, users = (found(name, users).headline for users in (False, True))
    assert own
    assert users
    assert (own.quantity, own.measured) != (users.quantity, users.measured)


@pytest.mark.parametrize(
    ("name", "far", "beyond"),
    [
        ("plateau", {"kappa": 2.001}, {"kappa": 2.0001}),
        ("plateau", {"kappa": 15.0}, {"kappa": 51.0}),
        ("plateau", {"kappa": 50.0}, {"kappa": 1e3}),
        ("population-map", {"kappa": 1e4, "tangent": 1e-4}, {"kappa": 1e6, "tangent": 1e-4}),
        ("escape-time", {"d": 10**200}, {"d": 10**210}),
    ],
)
def test_a_true_statement_is_not_refuted_at_the_ends_of_what_is_accepted(name, far, beyond) -> None:
    assert rolora.check(name, **far).finding.verdict is CLAIMS[name].expected
    with pytest.raises(ValueError, match=rf"^{next(iter(beyond))} must .*, got [^\n]+$"):
        rolora.check(name, **beyond)


@pytest.mark.parametrize("name", AT)
def test_a_value_outside_the_claim_is_refused(name: str) -> None:
    refused = AT[name][1]
    with pytest.raises(ValueError, match=rf"^{next(iter(refused))} must .*, got [^\n]+$"):
        rolora.check(name, **refused)

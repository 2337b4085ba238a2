"""Each claim that mathematics decides: at its own setting and a user's, its control, a value it refuses."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from sympy import Rational

import rolora
from rolora.verify.registry import select
from verification.budget import Budget
from verification.finding import Finding
from verification.verdict import Verdict

AT: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "interference-identity": (
        {"clients": 7, "d_in": 4, "rank": 2, "d_out": 3},
        {"clients": 1},
        "clients must be at least 2, got 1",
    ),
    "alternating-exact": (
        {"clients": 3, "rank": 5, "rounds": 4, "local_steps": 2},
        {"exact": ("rolora", "flora")},
        "exact must be one of rolora, ffa, fedavg, got 'flora'",
    ),
    "population-map": (
        {"kappa": 2.3, "tangent": 12.0, "d": 3},
        {"tangent": 1e5},
        "tangent must lie between 0.0001 and 10000, got 100000.0",
    ),
    "contraction-lemma": (
        {"start": Rational(1, 4), "d": 9, "rounds": 20},
        {"start": 0},
        r"start must lie in \(0, 1], got 0",
    ),
    "plateau": (
        {"kappa": 5.0},
        {"kappa": 2.0},
        "kappa must be above 2, where there is a plateau, got 2.0",
    ),
    "recovery-norm": (
        {"d": 8, "outputs": 1, "clients": 5, "samples": (4, 9)},
        {"samples": (3, 0)},
        "samples must be at least 1, got 0",
    ),
    "escape-time": (
        {"d": 50, "kappa": 0.98, "epsilon": 1e-3},
        {"kappa": 1.0},
        "kappa must lie between 0.01 and 0.99, got 1.0",
    ),
    "rank-r-map": (
        {"d": 5, "values": (1.0, 0.9), "eta": 0.2},
        {"eta": 1.0},
        r"eta must give values \(1.5, 1.0, 0.75\) a local rate in \[0.1, 1\), got 1.0",
    ),
    "nonconvex-bound": (
        {"rounds": 20, "clients": 3, "local_steps": 2, "sigma": 0.0, "heterogeneity": 2.0},
        {"clients": 0},
        "clients must be at least 1, got 0",
    ),
    "traffic-halved": (
        {"d_in": 30, "d_out": 7, "rank": 3, "participation": 0.3},
        {"participation": 0.0},
        r"participation must lie in \(0, 1], got 0.0",
    ),
}
"""Of a claim: parameters that are not its own, parameters it refuses, and the sentence."""


@cache
def found(name: str, users: bool) -> Finding:
    return rolora.check(name, **(AT[name][0] if users else {})).finding


@pytest.mark.parametrize("users", [False, True], ids=["own setting", "user's setting"])
@pytest.mark.parametrize("name", AT)
def test_a_claim_holds_and_its_control_is_refuted(name: str, users: bool) -> None:
    claim = select([name])[0].value
    assert found(name, users).verdict is claim.expected
    control = claim.negative_control(Budget(seed=5), **(AT[name][0] if users else {}))
    assert control.verdict is Verdict.REFUTED
    assert 0 < len(control.counterexample) < 400


@pytest.mark.parametrize("name", AT)
def test_the_headline_is_about_the_users_setting(name: str) -> None:
    own, users = (found(name, users).headline for users in (False, True))
    assert own
    assert users
    assert (own.quantity, own.measured) != (users.quantity, users.measured)


@pytest.mark.parametrize("name", AT)
def test_a_value_outside_the_claim_is_refused(name: str) -> None:
    _, refused, sentence = AT[name]
    with pytest.raises(ValueError, match=f"^{sentence}"):
        rolora.check(name, **refused)

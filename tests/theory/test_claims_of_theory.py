"""Each claim that mathematics decides: at its own setting and a user's, its control, a value it refuses."""

from __future__ import annotations

from typing import Any

import pytest

import rolora
from rolora.verify.registry import select
from verification.budget import Budget
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
    "traffic-halved": (
        {"d_in": 30, "d_out": 7, "rank": 3, "participation": 0.3},
        {"participation": 0.0},
        r"participation must lie in \(0, 1], got 0.0",
    ),
}
"""Of a claim: parameters that are not its own, parameters it refuses, and the sentence."""


@pytest.mark.parametrize("users", [False, True], ids=["own setting", "user's setting"])
@pytest.mark.parametrize("name", AT)
def test_a_claim_holds_and_its_control_is_refuted(name: str, users: bool) -> None:
    claim = select([name])[0].value
    parameters = AT[name][0] if users else {}
    assert rolora.check(name, **parameters).finding.verdict is claim.expected
    control = claim.negative_control(Budget(seed=5), **parameters)
    assert control.verdict is Verdict.REFUTED
    assert 0 < len(control.counterexample) < 400


@pytest.mark.parametrize("name", AT)
def test_the_headline_is_about_the_users_setting(name: str) -> None:
    own, users = (rolora.check(name, **given).finding.headline for given in ({}, AT[name][0]))
    assert own
    assert users
    assert own.quantity != users.quantity


@pytest.mark.parametrize("name", AT)
def test_a_value_outside_the_claim_is_refused(name: str) -> None:
    _, refused, sentence = AT[name]
    with pytest.raises(ValueError, match=f"^{sentence}"):
        rolora.check(name, **refused)

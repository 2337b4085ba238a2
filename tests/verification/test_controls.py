"""A negative control runs at the user's setting, and says so where it had to leave it."""

from functools import partial

import pytest

from verification.budget import Budget
from verification.claim import ELSEWHERE, OURS, claim
from verification.verdict import Verdict

CLAIM = partial(
    claim,
    statement="x + x = 2x.",
    latex="x+x=2x",
    source=OURS,
    assumptions=("x is a number",),
    expected=Verdict.CONSISTENT,
    mutant={"factor": 2.02},
    says="x + x = 2.02x",
)


@CLAIM("double", "Twice a number", control_at={"x": 3.0})
def double(evidence, *, x: float = 1.0, factor: float = 2.0, rounding: float = 1e-9) -> None:
    evidence.method("arithmetic")
    evidence.equal(f"x + x at {x}", factor * x, x + x, rounding=rounding)


@pytest.mark.parametrize(
    ("given", "at"), [({}, "at 3.0"), ({"x": 5.0}, "at 5.0"), ({"rounding": 0.05}, "at 3.0")]
)
def test_the_control_runs_where_the_user_is(given, at) -> None:
    control = double.negative_control(Budget(), **given)
    assert control.verdict is Verdict.REFUTED
    assert at in control.counterexample
    assert ELSEWHERE not in control.counterexample


def test_where_the_mutant_is_no_mistake_the_control_says_that_it_left() -> None:
    control = double.negative_control(Budget(), x=0.0)
    assert control.verdict is Verdict.REFUTED
    assert control.counterexample.startswith(f"{ELSEWHERE}: x + x at 3.0")


def test_a_check_that_is_blind_at_the_claims_own_setting_too_has_no_control() -> None:
    @CLAIM("blind", "Anything")
    def blind(evidence, *, x: float = 1.0, factor: float = 2.0) -> None:
        evidence.equal("x + x", x + x, x + x)

    assert blind.negative_control(Budget(), x=2.0).verdict is Verdict.CONSISTENT


def test_the_setting_of_a_control_must_exist() -> None:
    with pytest.raises(ValueError, match="has no parameter 'y'"):
        CLAIM("wrong", "Anything", control_at={"y": 1.0})(double.function)

from fractions import Fraction

import numpy as np
import pytest

from federated_lora import Shape
from theory.averaging import traffic_halved
from verification.budget import Budget
from verification.verdict import Verdict


def test_the_assumption_is_named_and_the_control_fails_for_the_right_reason():
    finding = traffic_halved.check(Budget())
    assert "two consecutive rounds" in finding.added_assumption
    control = traffic_halved.check.negative_control(Budget())
    assert control.verdict is Verdict.REFUTED
    assert [c.holds for c in control.comparisons].count(False) == 1


@pytest.mark.parametrize("p", [Fraction(1, 7), Fraction(1, 2), Fraction(1)])
@pytest.mark.parametrize("shape", [Shape(3, 2, 3), Shape(5, 1, 90)])
def test_enumeration_is_exact_for_any_history(p, shape):
    for rounds in (3, 4, 7):
        assert traffic_halved.enumerated_downlink(shape, p, rounds) == 1 - p / 2


def test_enumeration_agrees_with_a_long_simulation():
    """One client, 40,000 rounds: the share sent down per participation, within 5 standard errors."""
    p, d_in, d_out = 0.3, 4, 10
    rng = np.random.default_rng(0)
    last, costs = 0, []
    for t in range(1, 40_001):
        if rng.random() < p:
            if t > 2:
                one = d_out if (t - 1) % 2 == 1 else d_in  # what round t − 1 trained
                costs.append(one if last == t - 1 else d_in + d_out)
            last = t
    share = np.array(costs) / (d_in + d_out)
    error = share.std() / np.sqrt(share.size)
    assert abs(share.mean() - float(traffic_halved.downlink_share(Fraction(3, 10)))) < 5 * error


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="one of fedavg, ffa, rolora, got 'flora'"):
        traffic_halved.numbers_each_way("flora", 2, 2, 1, 1)

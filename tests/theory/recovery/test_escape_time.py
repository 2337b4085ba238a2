import numpy as np
import pytest

from theory.recovery import escape_bounds, escape_time


def test_the_numbers_of_the_text():
    """κ = 0.5, ε = 1e-6, d = 10^4: 32 rounds against 1.1e6."""
    start, target = escape_time.random_start_tangent(10**4), escape_time.target_tangent(1e-6)
    assert escape_time.rounds_needed(start, target, 0.5) == 32
    assert escape_time.theorem_rounds(10**4, 0.5, 1e-6) == pytest.approx(1.105e6, rel=1e-3)
    assert escape_bounds.approximate_rounds(100.0, 1e-6, 0.5) == pytest.approx(31.29, abs=0.01)


def test_bounds_hold_for_random_starts_targets_and_steps():
    rng = np.random.default_rng(0)
    for _ in range(600):
        kappa = rng.uniform(0.02, 0.98)
        start, target = 10 ** rng.uniform(0, 20), 10 ** rng.uniform(-20, 0)
        rounds = escape_time.rounds_needed(start, target, kappa)
        about = escape_bounds.approximate_rounds(start, target, kappa)
        assert about - escape_bounds.spared_rounds(kappa) <= rounds
        assert rounds <= about + escape_bounds.extra_rounds(kappa)
        assert rounds <= escape_time.uniform_rounds(start, target, kappa)


def test_upper_bounds_hold_for_steps_above_one():
    rng = np.random.default_rng(1)
    for _ in range(600):
        kappa = rng.uniform(1.02, 1.98)
        start = 10 ** rng.uniform(0, 20)
        target = np.sqrt(kappa - 1) * 10 ** rng.uniform(-20, 0)
        rounds = escape_time.rounds_needed(start, target, kappa)
        about = escape_bounds.approximate_rounds(start, target, kappa)
        assert rounds <= about + float(escape_bounds.extra_rounds_above_one(kappa))
        assert rounds <= escape_time.uniform_rounds(start, target, kappa)


def test_a_lucky_angle_lands_at_once():
    assert escape_time.rounds_needed(np.sqrt(0.5), 1e-12, 1.5) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((1.0, 0.1, 2.0), "kappa must lie strictly between 0 and 2 .* got 2.0"),
        ((1.0, 0.1, 0.0), "got 0.0"),
        ((float("inf"), 0.1, 1.0), "start must be a positive finite tangent"),
        ((1.0, 0.0, 1.0), "target must be a positive finite tangent"),
        ((1.0, 1e-300, 1e-6), "farther from 0 and 2"),
    ],
)
def test_bad_requests_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        escape_time.rounds_needed(*given)

"""The claims on floors, pool and theorem: what breaks them, and their parts."""

import numpy as np
import pytest

from linear_model.claims.frozen_factor import ffa_random_init
from linear_model.claims.recovery import recovery_theorem
from linear_model.claims.recovery.recovery_theorem import Setting, hitting_rounds
from linear_model.claims.samples import mean_square_rate, noise_floor, pooled_samples
from verification.budget import Budget
from verification.evidence import Evidence
from verification.verdict import Verdict

NARROW = {"d": 10, "clients": 1, "samples": 200, "delta0": 0.05, "kappa": 1.5, "alone": True}
"""Where the theorem needs more than 20 d samples if T is a few rounds."""


def test_the_same_seed_gives_the_same_numbers() -> None:
    first, again = (ffa_random_init.check(Budget(seed=2)) for _ in range(2))
    assert first.comparisons == again.comparisons
    other = ffa_random_init.check(Budget(seed=3))
    assert first.comparisons != other.comparisons


def test_each_trial_gives_one_number() -> None:
    evidence = Evidence("noise-floor", Budget())
    squares = noise_floor.stationary_squares(evidence, (4, 2, 8, 0.5), 0.01, 7)
    assert squares.shape == (7,)
    assert np.all(squares > 0)


def test_a_round_is_a_parabola_in_the_step() -> None:
    evidence = Evidence("pooled-samples", Budget())
    rounds = pooled_samples.one_round(evidence, 3, 12, 15, 500)
    direct = mean_square_rate.one_round_ratios(evidence, (3, 12, 15), 1.3, 500, "round")
    np.testing.assert_allclose(rounds.ratios(1.3), direct, rtol=1e-3, atol=1e-4)
    assert np.mean(rounds.ratios(rounds.thresholds().mean())) == pytest.approx(1.0)
    typical = rounds.typical_threshold()
    assert np.mean(np.log(rounds.ratios(typical))) == pytest.approx(0.0, abs=1e-9)
    assert typical > rounds.thresholds().mean()  # Jensen


def test_hitting_rounds_are_the_first_at_or_below_and_infinite_if_never() -> None:
    angle = np.array([[0.5, 0.2, 0.1, 0.3], [0.5, 0.4, 0.3, 0.2], [0.1, 0.5, 0.5, 0.5]])
    np.testing.assert_array_equal(hitting_rounds(angle, 0.1), [2.0, np.inf, 0.0])


def test_a_target_no_smaller_than_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match="epsilon must lie strictly between 0 and delta0"):
        _ = Setting(10, 1, 200, delta0=1e-7).rounds


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({"epsilon": 2.9e-5}, Verdict.HOLDS_UNDER),
        ({"epsilon": 0.0345, "fewest": 1}, Verdict.REFUTED),
        ({"epsilon": 0.0345, "fewest": 1, "samples": 4_000}, Verdict.HOLDS_UNDER),
    ],
)
def test_the_theorem_without_a_least_number_of_rounds_is_refuted_where_it_is_false(
    more, verdict
) -> None:
    found = recovery_theorem.check(Budget(), **{**NARROW, **more})
    assert found.verdict is verdict
    if verdict is Verdict.REFUTED:
        assert "T = 1, d = 10" in found.counterexample


def test_few_rounds_are_outside_the_claim() -> None:
    with pytest.raises(ValueError, match=r"^epsilon must .* T is at least 20 rounds, got 0.0345$"):
        recovery_theorem.check(Budget(), **NARROW, epsilon=0.0345)


@pytest.mark.parametrize(("d", "samples"), [(10_000, 20_000), (10, 5), (10, 199)])
def test_fewer_samples_than_the_theorem_is_read_with_are_outside_the_claim(d, samples) -> None:
    with pytest.raises(ValueError, match=rf"^samples must lie between {20 * d} .* got {samples}$"):
        recovery_theorem.check(Budget(), d=d, samples=samples, clients=1)

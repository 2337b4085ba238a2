"""The sharp bounds on rounds and samples: what they promise, where they promise nothing, what they refuse."""

import time
from math import inf, isfinite, log

import numpy as np
import pytest
from scipy import stats

from linear_model.prediction.chain import step
from linear_model.prediction.law import Law, draw_sums
from theory.recovery import recovery_theorem, sharp_recovery, sharp_theorem
from theory.recovery.sharp import dominating, too_few

EPSILON = 1e-6


def test_rounds_grow_with_the_logarithm_of_the_width():
    found = [
        sharp_recovery.rounds(0.01, d, 10, 20 * d, 1.0, EPSILON)
        for d in (10**3, 10**4, 10**5, 10**6)
    ]
    added = log(10**3) / 2 / log(2)
    assert found == sorted(found)
    assert abs(found[-1] - found[0] - added) <= 2
    assert found[-1] < 30 < 1e6 < recovery_theorem.rounds_bound(1 - 5e-7, EPSILON, 1.0, log=log)


def test_fewer_failures_take_more_rounds_and_more_samples_fewer():
    forecast = sharp_recovery.Forecast(1_000, 10, 2_000, 1.0, EPSILON)
    found = [forecast.rounds(delta) for delta in (0.5, 0.1, 0.01, 1e-4)]
    assert found == sorted(found)
    assert found[0] < found[-1] < inf
    assert all(forecast.failure(int(n)) <= d < forecast.failure(int(n) - 1)
        for n, d in zip(found, (0.5, 0.1, 0.01, 1e-4), strict=True))  # fmt: skip
    assert sharp_recovery.rounds(0.01, 1_000, 10, 20_000, 1.0, EPSILON) < found[2]


def test_on_the_closed_forms_samples_the_search_finds_fewer_rounds():
    d, clients, delta, kappa = 50, 20, 0.01, 0.5
    start = 0.9
    rounds = sharp_theorem.enough_rounds(
        sharp_recovery.tangent(start), sharp_recovery.tangent(EPSILON), kappa, log=log
    )
    pooled = sharp_theorem.enough_pooled(max(d, 1 / (1 - start**2)), rounds, delta, log=log)
    samples = (
        int(max(pooled / clients, sharp_theorem.enough_each(clients, rounds, delta, log=log))) + 1
    )
    found = sharp_recovery.rounds(delta, d, clients, samples, kappa, EPSILON, start)
    assert sharp_recovery.least_rounds(delta, d, clients, samples, kappa, EPSILON, start) <= found
    assert found < rounds / 2


@pytest.mark.parametrize(
    ("d", "pooled", "kappa"), [(1_000, 900, 1.0), (1_000, 100, 0.5), (10, 20, 1.0)]
)
def test_below_the_threshold_nothing_is_promised(d, pooled, kappa):
    assert sharp_recovery.rounds(0.01, d, 1, pooled, kappa, EPSILON) == inf
    assert sharp_recovery.failure(100, d, 1, pooled, kappa, EPSILON) > 0.01


def test_samples_are_enough_and_not_many_more_than_a_width():
    found = sharp_recovery.samples(0.01, 2_000, 10, 1.0, EPSILON, within=60)
    assert 2_000 < 10 * found < 2.5 * 2_000
    assert sharp_recovery.failure(60, 2_000, 10, int(found), 1.0, EPSILON) <= 0.01


@pytest.mark.parametrize(
    ("d", "kappa", "share"), [(10, 1.0, 0.6), (400, 1.0, 1.0), (400, 0.5, 0.33)]
)
def test_samples_necessary_lie_near_the_threshold_and_below_those_enough(d, kappa, share):
    least = sharp_recovery.least_samples(0.01, d, 1, kappa, EPSILON)
    assert share * d < least < 1.2 * d * kappa / (2 - kappa) < 1.5 * d
    assert too_few.success(150, d, 1, int(least) - 1, kappa, EPSILON, "random") < 0.99
    assert too_few.success(20, d, 1, int(least), kappa, EPSILON, 0.5) < 0.99  # fewer rounds do less
    assert sharp_recovery.failure(150, d, 1, int(least), kappa, EPSILON) > 0.01


def test_nothing_is_known_to_be_necessary_in_three_dimensions():
    assert too_few.success(10, 3, 1, 1, 1.0, EPSILON, "random") == 1.0
    assert sharp_recovery.least_samples(0.01, 3, 1, 1.0, EPSILON) == 1.0


def test_chords_bound_the_moment_from_above_and_close_in():
    rough, fine, finest = (
        too_few.inverse_moment(2.0, 0.8, 0.0, 12, 30, n)[0] for n in (16, 64, 256)
    )
    assert rough > fine > finest > 0.995 * fine
    assert too_few.inverse_moment(2.0, 0.8, 0.01, 12, 30)[0] > 1.01 * finest


def test_an_answer_takes_a_fraction_of_a_second():
    begun = time.process_time()
    assert isfinite(sharp_recovery.rounds(0.01, 10**6, 10, 10**7, 0.5, EPSILON))
    assert time.process_time() - begun < 1.0


@pytest.mark.parametrize(
    "wrong",
    [{"d": 1}, {"clients": 0}, {"samples": 0}, {"kappa": 2.0}, {"kappa": 0.0}, {"epsilon": 1.0},
        {"start": 1e-7}, {"start": 1.0}],
)  # fmt: skip
def test_a_value_outside_is_refused(wrong):
    given = {"d": 10, "clients": 2, "samples": 100, "kappa": 0.5, "epsilon": EPSILON, "start": 0.5}
    with pytest.raises(ValueError, match=rf"^{next(iter(wrong))} must .*, got [^\n]+$"):
        sharp_recovery.rounds(0.01, **given | wrong)


def test_a_chain_that_dominates_the_angle_needs_few_samples_at_small_widths():
    assert sharp_recovery.rounds(0.01, 10, 10, 200, 1.0, EPSILON) == 16
    assert sharp_recovery.rounds(0.01, 10, 10, 12, 1.0, EPSILON) < inf
    assert 3.0 < sharp_recovery.samples(0.01, 10, 1, 1.0, EPSILON) / 10 < 6.0


def test_more_effort_is_sharper_and_every_row_is_a_law():
    asked = 10, 10, 20, 0.8, "random", sharp_recovery.tangent(EPSILON), 60
    full, rough = (
        dominating.failures(*asked, effort) for effort in (dominating.FULL, dominating.ROUGH)
    )
    assert all(0.0 <= one <= 1.0 for one in (*full, *rough))
    assert all(full[20:] < rough[20:])
    grid, small, below = dominating._grid(200, 0.8, 1e-6, 0.06)
    beyond = dominating._beyond(grid, small, (10, 10, 20), 0.8, dominating.ROUGH)
    assert grid[below] == pytest.approx(1e-6, rel=1e-12)
    assert (np.diff(beyond, axis=0) >= 0.0).all()
    assert (np.diff(beyond, axis=1) <= 0.0).all()


@pytest.mark.parametrize("d", [2, 3, 40])
@pytest.mark.parametrize("tan", [50.0, 3.0, 0.5, 0.05, 1e-3])
def test_rows_bound_a_rounds_law(d, tan):
    """Against rounds of the exact law from inside the state: whatever the grid point, no more lie beyond."""
    clients, samples, kappa, n = 2, 30, 0.9, 20_000
    grid, small, _ = dominating._grid(clients * samples, kappa, 1e-6, 0.06)
    sizes = d, clients, samples
    beyond = dominating._beyond(grid, small, sizes, kappa, dominating.ROUGH)
    row = min(int(np.searchsorted(grid, tan)), grid.size)
    c = np.full(n, 1.0 / np.hypot(1.0, tan))
    law = Law(d, clients, clients, samples, kappa)
    rng = np.random.default_rng(1)
    after, sine, _ = step(rng, law, c, np.sqrt(1.0 - c**2), draw_sums(rng, law, n))
    tangents = sine / np.abs(after)
    for g, most in zip(grid[::8], beyond[row][::8], strict=True):
        assert np.count_nonzero(tangents > g) <= stats.binom.isf(1e-9, n, min(most + 1e-12, 1.0))

"""The mean-square rate at known values, and what a mutant of the round does to its derivation."""

import numpy as np
import pytest

from theory.samples import finite_sample, mean_square_rate


@pytest.mark.parametrize("function", ["pull_of_new_batch", "next_direction"])
@pytest.mark.parametrize("coordinate", [0, 1, 2])
def test_a_mutant_of_the_round_breaks_the_rate(
    function: str, coordinate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(finite_sample, function)

    def mutant(*args):
        moved = list(original(*args))
        moved[coordinate] = moved[coordinate] * 21 / 20
        return tuple(moved)

    monkeypatch.setattr(finite_sample, function, mutant)
    assert not all(step.holds for step in mean_square_rate.derive())


def test_rate_at_known_values() -> None:
    q = mean_square_rate.noise_ratio(50, 5, 20)
    assert q == pytest.approx((50 + 49 / 90) / 100)
    assert mean_square_rate.rate_squared(0.5, q) == pytest.approx(0.25 + 0.25 * q)
    best = mean_square_rate.optimal_kappa(q)
    least = mean_square_rate.best_rate_squared(q)
    assert mean_square_rate.rate_squared(best, q) == pytest.approx(least)
    grid = np.linspace(0.0, 2.0, 2001)
    assert grid[np.argmin(mean_square_rate.rate_squared(grid, q))] == pytest.approx(best, abs=1e-3)
    assert mean_square_rate.rate_squared(mean_square_rate.threshold_kappa(q), q) == pytest.approx(1)

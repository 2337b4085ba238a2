import numpy as np
import pytest

from theory.population import plateau, population_map


@pytest.mark.parametrize("kappa", [2.05, 2.4, 2 * np.sqrt(2), 3.3, 5.0, 20.0])
@pytest.mark.parametrize("start", [1e-6, 0.4, 5.0, 1e5])
def test_iteration_locks_to_the_plateau(kappa, start):
    expected = np.sqrt((kappa - 2) / (kappa + 2))
    assert plateau.limit_tangent(start, kappa, 6000) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("kappa", [0.2, 0.9, 1.3, 1.95])
def test_below_two_every_angle_falls_by_the_uniform_rate(kappa):
    t = np.geomspace(1e-9, 1e9, 1001)
    after = population_map.next_tangent(t, kappa)
    assert np.all(after <= plateau.uniform_rate(kappa) * t * (1 + 1e-12))
    assert plateau.uniform_rate(kappa) < 1


def test_deviation_shrinks_by_the_multiplier():
    for kappa in (2.3, 4.0, 7.0):
        point = np.sqrt(plateau.plateau_tangent_squared(kappa))
        t = point + 1e-4
        for _ in range(5):
            after = population_map.next_tangent(t, kappa)
            ratio = (after - point) / (t - point)
            assert ratio == pytest.approx(plateau.plateau_multiplier(kappa), abs=2e-3)
            t = after

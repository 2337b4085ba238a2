"""Floors, rate, pool and theorem: known values, derivations, and what the theorem's rounds can do."""

from math import ceil, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.frozen_factor import ffa_floor, random_init, rank_r_floor
from theory.population import population_map
from theory.recovery import recovery_theorem
from theory.samples import finite_sample, mean_square_rate, pooled_samples

MODULES = (
    ffa_floor,
    rank_r_floor,
    random_init,
    mean_square_rate,
    pooled_samples,
    recovery_theorem,
)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_step_of_the_derivation_holds(module) -> None:
    failing = [step.statement for step in module.derive() if not step.holds]
    assert not failing


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


def test_floor_constants_at_known_values() -> None:
    # One client: the residual of projecting m Gaussians on one direction, (m − 1)/m.
    assert ffa_floor.training_constant(1, 10) == pytest.approx(-1 / 10)
    assert ffa_floor.training_constant(2, 4) == pytest.approx(-2 / 8 + 1 / 16 + 1 / 8)
    # Three samples and three clients or more: the averaged fits are so bad that the constant is positive.
    assert ffa_floor.training_constant(3, 3) > 0.0
    assert ffa_floor.training_constant(3, 4) < 0.0
    assert ffa_floor.fresh_constant(5, 12) == pytest.approx(1 / 50)
    assert rank_r_floor.training_constant(1, 10, 3) == pytest.approx(-3 / 10)
    assert rank_r_floor.fresh_constant(2, 10, 3) == pytest.approx(3 / 12)
    assert random_init.remaining_fraction(3, 12) == pytest.approx(0.75)


@given(st.integers(1, 500), st.integers(3, 500))
def test_the_constant_is_of_order_one_over_the_pool(clients: int, samples: int) -> None:
    assert abs(ffa_floor.training_constant(clients, samples)) <= (1 + 1e-9) / (clients * samples)


def test_rate_at_known_values() -> None:
    q = mean_square_rate.noise_ratio(50, 5, 20)
    assert q == pytest.approx((50 + 49 / 90) / 100)
    assert mean_square_rate.rate_squared(0.5, q) == pytest.approx(0.25 + 0.25 * q)
    best = mean_square_rate.optimal_kappa(q)
    assert mean_square_rate.rate_squared(best, q) == pytest.approx(
        mean_square_rate.best_rate_squared(q)
    )
    grid = np.linspace(0.0, 2.0, 2001)
    assert grid[np.argmin(mean_square_rate.rate_squared(grid, q))] == pytest.approx(best, abs=1e-3)
    assert mean_square_rate.rate_squared(mean_square_rate.threshold_kappa(q), q) == pytest.approx(1)


@given(st.floats(1e-3, 0.999), st.floats(1e-9, 0.9), st.floats(0.05, 1.5))
def test_the_theorem_s_rounds_suffice_in_the_population_limit(
    delta0: float, share: float, kappa: float
) -> None:
    epsilon = share * delta0
    rounds = ceil(float(recovery_theorem.rounds_bound(delta0, epsilon, kappa, log=log)))
    t = delta0 / np.sqrt((1.0 - delta0) * (1.0 + delta0))
    goal = epsilon / np.sqrt((1.0 - epsilon) * (1.0 + epsilon))
    for _ in range(min(rounds, 400_000)):
        if t <= goal:
            break
        t = float(population_map.next_tangent(t, kappa))
    assert t <= goal * (1 + 1e-9)


def test_the_theorem_s_rounds_do_not_suffice_for_a_long_step() -> None:
    delta0, epsilon, kappa = 0.01, 1e-8, 1.9
    rounds = ceil(float(recovery_theorem.rounds_bound(delta0, epsilon, kappa, log=log)))
    t = delta0
    for _ in range(rounds):
        t = float(population_map.next_tangent(t, kappa))
    assert t > epsilon


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0.5, 0.5, 1.0), "epsilon"),
        ((0.5, 0.7, 1.0), "epsilon"),
        ((0.5, 0.0, 1.0), "epsilon"),
        ((1.0, 0.1, 1.0), "delta0"),
        ((0.0, 0.1, 1.0), "delta0"),
        ((float("nan"), 0.1, 1.0), "delta0"),
        ((0.5, float("nan"), 1.0), "epsilon"),
        ((0.5, 0.1, 0.0), "kappa"),
        ((0.5, 0.1, float("inf")), "kappa"),
    ],
)
def test_a_request_outside_the_theorem_is_refused(arguments, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must"):
        recovery_theorem.rounds_bound(*arguments, log=log)

"""Floors of a frozen factor at known values."""

from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.frozen_factor import client_sums, ffa_floor, random_init, rank_r_floor


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


@pytest.mark.parametrize("clients", [1, 2, 4])
def test_sums_over_clients_are_those_of_every_outcome(clients: int) -> None:
    """r is −1 or 2, of mean 0; g = r² + 1 and c = 3r depend on it."""
    chances = {-1: 2 / 3, 2: 1 / 3}
    pairs = own = 0.0
    for outcome in product(chances, repeat=clients):
        chance = prod(chances[r] for r in outcome)
        total = sum(outcome)
        pairs += chance * total**2 * sum(r**2 + 1 for r in outcome)
        own += chance * total * sum(3 * r for r in outcome)
    # E r² = 2, E r⁴ = 6
    assert pairs == pytest.approx(client_sums.pair_sum(clients, 6 + 2, 2 * 3))
    assert own == pytest.approx(client_sums.own_sum(clients, 6))

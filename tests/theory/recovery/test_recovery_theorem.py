"""What the theorem's rounds can do, and what it is not about."""

from math import ceil, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.population import population_map
from theory.recovery import recovery_theorem


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

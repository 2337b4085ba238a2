from __future__ import annotations

import numpy as np
import pytest

from theory.other_methods import turns

TARGETS = np.array([[1.0, 0.2], [0.4, -0.9], [-1.7, 0.5]])


def test_equal_lengths_do_not_interfere_and_no_angle_does_not() -> None:
    kept = turns.kept_share(0.3 * np.ones(3), 0.8, 4)
    assert turns.interference(0.6, kept, TARGETS) == pytest.approx(0.0, abs=1e-15)
    unequal = turns.kept_share(np.array([0.1, 0.5, 1.5]), 1.0, 2)
    assert turns.interference(0.0, unequal, TARGETS) == 0.0
    assert turns.interference(0.2, unequal, TARGETS) > 0.0


def test_many_steps_solve_for_a() -> None:
    kept = turns.kept_share(0.5, 0.9, 200)
    assert turns.next_tangent(0.4, kept) == pytest.approx(0.0, abs=1e-20)
    assert turns.excess(0.4, kept, 3.0) == pytest.approx(0.0, abs=1e-30)


def test_a_mean_target_of_nothing_does_not_stop_the_angle() -> None:
    shares = turns.kept_share(np.array([0.4, 0.4]), 0.6, 1)
    assert turns.next_tangent(0.75, shares.mean()) < 0.75

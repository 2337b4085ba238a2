from __future__ import annotations

import numpy as np
import pytest

from theory.other_methods import second_moment
from theory.samples import mean_square_rate as rate

TARGETS = np.random.default_rng(4).standard_normal((3, 6, 4))


def test_a_step_moves_by_the_mean_of_the_clients_gradients() -> None:
    A = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 2))).Q
    pulls = [-2.0 * (A @ (A.T @ W) - W) @ (A.T @ W).T for W in TARGETS]
    stated = second_moment.moved(A, second_moment.second_moment(TARGETS), 0.1)
    assert stated == pytest.approx(A + 0.1 * np.mean(pulls, axis=0))


def test_targets_that_cancel_in_the_mean_are_learnt() -> None:
    opposite = np.stack([TARGETS[0], -TARGETS[0]])
    C = second_moment.second_moment(opposite)
    assert pytest.approx(TARGETS[0] @ TARGETS[0].T) == C
    assert second_moment.least_risk(opposite, 4) == pytest.approx(0.0, abs=1e-12)


def test_personal_factors_cost_samples_and_unequal_lengths_more() -> None:
    equal, shared = second_moment.noise_ratio(1.0, 9, 5, 8), rate.noise_ratio(9, 5, 8)
    assert equal - shared == pytest.approx(8 * (1 - 1 / 5) / (6 * 40))
    lengths = np.array([1.0, 2.0, 0.5])
    assert second_moment.concentration(np.ones(3)) == 1.0
    assert second_moment.concentration(lengths) == pytest.approx(3 * (1 + 16 + 1 / 16) / 5.25**2)

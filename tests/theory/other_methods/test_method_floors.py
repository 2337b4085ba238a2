from __future__ import annotations

import numpy as np
import pytest

from theory.other_methods import method_floors

TARGETS = np.array([[1.5, 0.4], [0.7, -0.5], [0.8, 0.1]])


def test_everybody_taking_part_and_no_noise_leave_nothing() -> None:
    assert method_floors.of_participation(0.2, 0.9, 1.3, 5, 5) == 0.0
    assert method_floors.of_privacy(0.2, 0.0, 3, 5) == 0.0
    assert method_floors.of_labels(0.2, 0.0, 3, 0.0, 50) == 0.0


def test_the_noise_that_rests_is_what_a_recursion_keeps() -> None:
    rng, eta, sigma, clients = np.random.default_rng(0), 0.3, 0.2, 4
    b, squares = np.zeros((4_000, 2)), []
    for number in range(60):
        noise = rng.standard_normal((clients, *b.shape)).mean(axis=0)
        b = (1 - 2 * eta) * b + sigma * noise
        if number >= 20:
            squares.append(np.square(b).sum(axis=1).mean())
    assert np.mean(squares) == pytest.approx(
        method_floors.of_privacy(eta, sigma, 2, clients), rel=0.02
    )


def test_clients_that_agree_do_not_bias_an_exact_average() -> None:
    alike = np.broadcast_to(TARGETS[0], TARGETS.shape)
    assert method_floors.exact_average_bias(0.1, alike) == pytest.approx([0.0, 0.0])
    assert np.linalg.norm(method_floors.exact_average_bias(0.1, TARGETS)) > 0.0


def test_many_local_steps_weigh_clients_alike() -> None:
    squares = np.array([0.5, 1.0, 1.5])
    few, many = (method_floors.shift_weights(0.1, squares, steps) for steps in (1, 500))
    assert few == pytest.approx(0.2 * squares)
    assert many == pytest.approx(np.ones(3))

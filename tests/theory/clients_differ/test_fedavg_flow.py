import numpy as np
import pytest

from theory.clients_differ import fedavg_flow

TARGETS = np.array([[1.0, 0.2], [0.4, -0.9], [1.7, 0.5], [0.9, 1.1]])


def test_optima_fit_the_targets_and_keep_the_imbalance() -> None:
    scales, fits = fedavg_flow.client_optima(0.7, TARGETS)
    np.testing.assert_allclose(scales[:, None] * fits, TARGETS, rtol=1e-14)
    np.testing.assert_allclose(scales**2 - np.square(fits).sum(axis=1), 0.7, rtol=1e-13)


def test_interference_is_the_excess_risk_of_the_averages() -> None:
    scales, fits = fedavg_flow.client_optima(0.7, TARGETS)
    gap = scales.mean() * fits.mean(axis=0) - TARGETS.mean(axis=0)
    assert fedavg_flow.interference(scales, fits) == pytest.approx(gap @ gap, rel=1e-10)
    size = scales.mean() ** 2 - np.square(fits.mean(axis=0)).sum()
    assert 0.7 + fedavg_flow.growth(scales, fits) == pytest.approx(size, rel=1e-13)


def test_leading_order_at_large_imbalance() -> None:
    squares = np.square(TARGETS).sum(axis=1)
    centred = TARGETS - TARGETS.mean(axis=0)
    covariance = ((squares - squares.mean())[:, None] * centred).mean(axis=0)
    spread = np.square(centred).sum(axis=1).mean()
    for q in (1e2, 1e3, 1e4):
        scales, fits = fedavg_flow.client_optima(q, TARGETS)
        scaled = 4 * q**4 * fedavg_flow.interference(scales, fits)
        assert scaled == pytest.approx(covariance @ covariance, rel=20 / q**2 + 1e-6)
        assert q * fedavg_flow.growth(scales, fits) == pytest.approx(spread, rel=20 / q**2 + 1e-6)


def test_clients_of_equal_strength_do_not_interfere() -> None:
    equal = TARGETS / np.linalg.norm(TARGETS, axis=1)[:, None]
    excess, _ = fedavg_flow.trajectory(equal, 3)
    assert np.all(excess < 1e-30)
    assert fedavg_flow.decay_constant(equal) < 1e-30


def test_equal_targets_have_no_decay_constant() -> None:
    with pytest.raises(ValueError, match="targets must not all be equal"):
        fedavg_flow.decay_constant(np.ones((3, 2)))

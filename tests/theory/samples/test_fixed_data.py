import numpy as np
import pytest

from theory.samples import fixed_data


def instance(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((3, 15, 6))
    a_star = rng.standard_normal(6)
    return np.swapaxes(X, -1, -2) @ X / 15, a_star / np.linalg.norm(a_star)


@pytest.mark.parametrize("kappa", [0.3, 1.0, 2.5])
def test_jacobian_is_the_difference_quotient_of_a_round(kappa: float) -> None:
    grams, a_star = instance(1)
    stated = fixed_data.round_jacobian(grams, a_star, kappa)
    rng = np.random.default_rng(2)
    x = rng.standard_normal(6)
    x -= a_star * (a_star @ x)

    def tangent(size: float) -> np.ndarray:
        a = a_star + size * x
        fit = fixed_data.mean_fit(grams, a, a_star)
        moved = fixed_data.gradient_step(grams.mean(axis=0), a, a_star, fit, kappa)
        return moved / (moved @ a_star) - a_star

    slope = (tangent(1e-5) - tangent(-1e-5)) / 2e-5
    np.testing.assert_allclose(slope, stated @ x, atol=1e-8)


def test_identity_grams_give_the_population_rate() -> None:
    grams = np.broadcast_to(np.eye(5), (2, 5, 5))
    assert fixed_data.local_rate(grams, np.eye(5)[0], 0.4) == pytest.approx(0.6, abs=1e-14)


def test_rate_does_not_depend_on_the_frame() -> None:
    grams, a_star = instance(3)
    Q = np.linalg.qr(np.random.default_rng(4).standard_normal((6, 6)))[0]
    turned = Q @ grams @ Q.T
    assert fixed_data.local_rate(turned, Q @ a_star, 0.9) == pytest.approx(
        fixed_data.local_rate(grams, a_star, 0.9), rel=1e-10
    )

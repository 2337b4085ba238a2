import numpy as np
import pytest

from theory.clients_differ import heterogeneity


@pytest.mark.parametrize("t", [1e-3, 0.4, 7.0])
def test_excess_after_round_is_the_literal_one(t: float) -> None:
    rng = np.random.default_rng(1)
    targets = rng.standard_normal((5, 3))
    mean = targets.mean(axis=0)
    eta, a_star = 0.11, np.eye(4)[0]
    a = (a_star + t * np.eye(4)[2]) / np.hypot(1.0, t)
    b = np.mean([target * (a @ a_star) for target in targets], axis=0)
    gradient = np.mean(
        [2 * (np.outer(a, b) - np.outer(a_star, target)) @ b for target in targets], axis=0
    )
    moved = a - eta * gradient
    moved /= np.linalg.norm(moved)
    norm = float(np.linalg.norm(mean))
    stated = heterogeneity.excess_after_round(t, heterogeneity.effective_kappa(eta, norm), norm)
    literal = np.linalg.norm(np.outer(moved, b) - np.outer(a_star, mean)) ** 2
    assert stated == pytest.approx(literal, rel=1e-9)

import numpy as np
import pytest

from theory.samples import decreasing_steps as theory
from theory.samples import mean_square_rate as rate


def test_no_other_steps_do_better() -> None:
    q, nu = 0.4, 0.01
    steps, squares = theory.schedule(1.0, q, nu, 12)
    rng = np.random.default_rng(0)
    for _ in range(200):
        square = 1.0
        for step in steps:
            kappa = step * rng.uniform(0.5, 1.5)
            square = rate.rate_squared(kappa, q) * square + kappa**2 * nu
        assert square >= squares[-1]
    assert (np.diff(steps) < 0).all()


def test_it_stays_above_its_bound_and_meets_it_without_q() -> None:
    for q in (0.0, 0.3, 3.0):
        _, squares = theory.schedule(0.5, q, 0.02, 300)
        bounds = [theory.least_square(0.5, t, 0.02) for t in range(301)]
        assert all(s >= b * (1 - 1e-12) for s, b in zip(squares, bounds, strict=True))
        assert (squares == pytest.approx(bounds)) is (q == 0.0)


def test_without_noise_there_is_no_schedule() -> None:
    with pytest.raises(ValueError, match="start and nu must be positive"):
        theory.schedule(1.0, 0.1, 0.0, 5)

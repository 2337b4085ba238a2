import numpy as np
import pytest

from linear_model.claims.samples import bstep_law


def test_literal_rho_is_numpys_least_squares() -> None:
    rho, _ = bstep_law.literal_rho(np.random.default_rng(7), 3, 2, 5, 4)
    rng = np.random.default_rng(7)
    c, s = np.cos(bstep_law.ANGLE), np.sin(bstep_law.ANGLE)
    a, u = np.linalg.qr(rng.standard_normal((4, 2)))[0].T
    X = rng.standard_normal((3, 2, 5, 4))
    for trial in range(3):
        for client in range(2):
            target = X[trial, client] @ (c * a + s * u)
            beta = np.linalg.lstsq((X[trial, client] @ a)[:, None], target, rcond=None)[0][0]
            assert rho[trial, client] == pytest.approx((beta - c) / s, rel=1e-12)

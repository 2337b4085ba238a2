import numpy as np
import pytest

from theory.recovery import recovery_norm
from theory.samples.finite_sample import b_scale


def test_gradient_is_the_numerical_derivative_of_the_loss():
    rng = np.random.default_rng(4)
    d, m, N = 4, 7, 3
    a, u = np.linalg.qr(rng.standard_normal((d, 2)))[0].T
    c, s = 0.6, 0.8
    a_star, b_star = c * a + s * u, rng.standard_normal(3)
    X = rng.standard_normal((N, m, d))
    G = np.mean([x.T @ x / m for x in X], axis=0)
    rho = np.mean([(x @ u) @ (x @ a) / ((x @ a) @ (x @ a)) for x in X])
    beta = b_scale(c, s, rho)
    b = beta * b_star

    def loss(point):
        error = np.outer(point, b) - np.outer(a_star, b_star)
        return np.mean([np.sum((x @ error) ** 2) / m for x in X])

    step = 1e-6
    numeric = [(loss(a + step * e) - loss(a - step * e)) / (2 * step) for e in np.eye(d)]
    stated = recovery_norm.astep_gradient(G, a, u, s, rho, beta, np.linalg.norm(b_star))
    np.testing.assert_allclose(stated, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("sine", [1e-3, 0.5, 0.97])
@pytest.mark.parametrize("samples", [1, 2, 30])
def test_literal_rounds_agree_with_the_closed_forms(sine, samples):
    rng = np.random.default_rng(5)
    for clients in (1, 4):
        found = recovery_norm._literal_round(
            rng, clients=clients, samples=samples, d=6, outputs=2, sine=sine
        )
        assert max(found["bstep"], found["astep"], found["recovery"]) < 1e-10
        bound = recovery_norm.recovery_bound(sine, found["rho"], found["scale"])
        assert bound / np.sqrt(2) * (1 - 1e-12) <= found["norm"] <= bound * (1 + 1e-12)

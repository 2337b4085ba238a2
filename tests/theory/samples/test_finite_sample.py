"""The chain's formulas: derived, sensitive to a change, and equal to a literal round on vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.samples import finite_sample as chain


@given(
    seed=st.integers(0, 2**32 - 1),
    exponent=st.floats(-14, -0.01),
    kappa=st.floats(0.05, 3.0),
    flip=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_one_round_is_the_literal_round(
    seed: int, exponent: float, kappa: float, flip: bool
) -> None:
    """Two clients, literal X, the same batch for both half-steps, against the scalar step."""
    rng = np.random.default_rng(seed)
    d, m, s = 4, 6, 10.0**exponent
    c = np.sqrt((1 - s) * (1 + s)) * (-1.0 if flip else 1.0)
    X = rng.standard_normal((2, m, d))
    a, u = np.eye(d)[0], np.eye(d)[1]
    truth = c * a + s * u
    g, h = X @ a, X @ u
    rho = float(np.mean(np.sum(g * h, axis=1) / np.sum(g * g, axis=1)))
    gg, gh, hh = (np.sum(v) / (2 * m) for v in (g * g, g * h, h * h))
    rest = X[:, :, 2:].reshape(2 * m, d - 2).T @ (rho * g - h).ravel() / (2 * m)
    spread = rho**2 * gg - 2 * rho * gh + hh
    pull = chain.pull_of_same_batch(rho, gg, gh, hh, np.linalg.norm(rest) / np.sqrt(spread))
    c_next, s_next = chain.next_angle(c, s, kappa, rho, pull)

    beta = float(np.mean(np.sum(g * (X @ truth), axis=1) / np.sum(g * g, axis=1)))
    assert beta == pytest.approx(chain.b_scale(c, s, rho), rel=1e-12, abs=1e-14)
    gradient = np.mean([2 / m * x.T @ (x @ (beta * a - truth)) * beta for x in X], axis=0)
    moved = a - kappa / 2 * gradient
    moved /= np.linalg.norm(moved)
    aside = np.linalg.norm(moved - truth * (truth @ moved))
    assert c_next == pytest.approx(truth @ moved, rel=1e-10, abs=1e-12)
    assert s_next == pytest.approx(aside, rel=1e-10, abs=1e-13)
    drop = chain.cosine_drop(c, s, c_next, s_next)
    assert drop == pytest.approx(c - c_next, rel=1e-8, abs=1e-13)
    # Lengths, not squares: the literal vectors carry errors of some 1e-16.
    error = np.sqrt(chain.excess_of_round(drop, s, s_next, rho))
    assert error == pytest.approx(np.linalg.norm(moved * beta - truth), rel=1e-9, abs=1e-14)
    fitted = np.sqrt(chain.excess_of_fit(s, rho))
    assert fitted == pytest.approx(np.linalg.norm(a * beta - truth), rel=1e-9, abs=1e-14)


def test_the_sine_is_relative_at_any_size() -> None:
    # 50 digits: mpmath takes the same round at s = 1e-150.
    import mpmath as mp

    with mp.workdps(400):
        s = mp.mpf(10) ** -150
        c = mp.sqrt(1 - s**2)
        kappa, rho, p, q, out = (mp.mpf(v) for v in ("0.7", "0.1", "0.2", "-0.9", "0.3"))
        beta = c + s * rho
        moved = [1 - kappa * beta * s * p, -kappa * beta * s * q, -kappa * beta * s * out]
        along = c * moved[0] + s * moved[1]
        aside = [moved[0] - c * along, moved[1] - s * along, moved[2]]
        exact = mp.sqrt(sum(v**2 for v in aside)) / mp.sqrt(sum(v**2 for v in moved))
        ratio = float(exact / s)
    _, s_next = chain.next_angle(1.0, 1e-150, 0.7, 0.1, (0.2, -0.9, 0.3))
    assert s_next / 1e-150 == pytest.approx(ratio, rel=1e-14)

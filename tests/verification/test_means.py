import numpy as np
import pytest
import sympy as sp

from verification.proof.means import mean

X, Y, C = sp.symbols("x y c", real=True)


def test_the_mean_is_that_of_any_clients() -> None:
    values = np.random.default_rng(0).standard_normal((2, 6))
    expression = 3 * C * X**2 * Y - X * Y + 2 * Y + C**2
    found = mean(expression, {X: "x", Y: "y"})
    moments = {
        s: float(np.mean(values[0] ** i * values[1] ** j))
        for s, i, j in (
            (sp.Symbol("mean_x2_y1", real=True), 2, 1),
            (sp.Symbol("mean_x1_y1", real=True), 1, 1),
            (sp.Symbol("mean_y1", real=True), 0, 1),
        )
    }
    each = 3 * 0.5 * values[0] ** 2 * values[1] - values[0] * values[1] + 2 * values[1] + 0.25
    assert float(found.subs(moments | {C: 0.5})) == pytest.approx(each.mean())


def test_two_independent_clients_share_their_moments() -> None:
    first = sp.Symbol("mean_x1", real=True)
    assert mean(mean(X * Y, {X: "x"}), {Y: "x"}) == first**2

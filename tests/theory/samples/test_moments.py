"""Exact moments against SciPy's, and the expectation operator against a literal sum."""

from functools import partial

import pytest
import sympy as sp
from scipy import stats

from theory.samples import moments


@pytest.mark.parametrize("degrees", [7, 12, 31])
@pytest.mark.parametrize("power", [-2, -1, 0, 1, 2, 3])
def test_chi_squared_moments(degrees: int, power: int) -> None:
    expected = stats.chi2(degrees).expect(lambda x: x ** float(power))
    assert float(moments.chi_squared_moment(degrees, power)) == pytest.approx(expected, rel=1e-7)


def test_an_infinite_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="degrees must exceed 2"):
        moments.chi_squared_moment(2, -1)
    with pytest.raises(ValueError, match="power"):
        moments.normal_moment(-2)


@pytest.mark.parametrize("power", range(7))
def test_normal_moments(power: int) -> None:
    assert moments.normal_moment(power) == pytest.approx(stats.norm.moment(power), abs=1e-12)


def test_student_variance_and_sphere_moment() -> None:
    assert moments.student_variance(9) == pytest.approx(stats.t(9).var())
    assert moments.sphere_second_moment(5) == pytest.approx(0.2)


def test_expectation_of_a_laurent_polynomial() -> None:
    t, x, y = sp.symbols("t x y", positive=True)
    six, three = (partial(moments.chi_squared_moment, sp.Integer(k)) for k in (6, 3))
    laws = {t: moments.normal_moment, x: six, y: three}
    value = moments.expectation((t / sp.sqrt(x) + y) ** 2 + 4 * t * y, laws)
    assert value == sp.Rational(1, 4) + 15  # E[t²]E[1/x] + E[y²]


def test_expectation_refuses_what_is_not_a_power() -> None:
    x = sp.Symbol("x", positive=True)
    with pytest.raises(ValueError, match="power"):
        moments.expectation(sp.exp(x), {x: moments.normal_moment})
    with pytest.raises(ValueError, match="order 4"):
        moments.expectation(x**4, {x: moments.Symmetric(sp.Rational(1, 3))})

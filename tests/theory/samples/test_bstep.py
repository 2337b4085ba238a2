import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from scipy import integrate, special, stats

from theory.samples import bstep
from verification.finding import Says


@pytest.mark.parametrize("samples", [1, 3, 8, 200])
def test_density_and_tail_are_scipys_student_t(samples: int) -> None:
    x = np.linspace(-6.0, 6.0, 41)
    np.testing.assert_allclose(bstep.density(x, samples), stats.t.pdf(x, samples), rtol=1e-12)
    epsilon = np.abs(x)
    slow = 2.0 * stats.t.sf(epsilon * np.sqrt(samples), samples)
    np.testing.assert_allclose(bstep.tail(epsilon, samples), slow, rtol=1e-10)


@pytest.mark.parametrize("order", [2, 4, 6])
def test_moments_are_integrals_of_the_density(order: int) -> None:
    samples = 11
    value = integrate.quad(lambda x: x**order * bstep.density(x, samples), -np.inf, np.inf)[0]
    assert bstep.moment(order, samples) == pytest.approx(value / samples ** (order / 2), rel=1e-8)


def test_bounds_hold_for_one_client_everywhere() -> None:
    for samples in (3, 4, 7, 30, 1000):
        epsilon = np.geomspace(1e-3, 10.0, 200)
        exact = bstep.tail(epsilon, samples)
        assert np.all(exact <= bstep.quadratic_bound(epsilon, 1, samples) * (1 + 1e-12))
        assert np.all(exact <= bstep.union_bound(epsilon, 1, samples) * (1 + 1e-12))


def test_bounds_hold_for_many_clients() -> None:
    clients, trials = 6, 400_000
    rng = np.random.default_rng(5)
    for samples in (3, 12, 40):
        lengths = rng.chisquare(samples, (trials, clients))
        width = np.sqrt((1.0 / lengths).sum(axis=1)) / clients  # of ρ̄ given the X_i a
        for epsilon in (0.05, 0.2, 0.6):
            seen = special.erfc(epsilon / (np.sqrt(2.0) * width))
            low = seen.mean() - 5.5 * seen.std() / trials**0.5
            assert low <= bstep.quadratic_bound(epsilon, clients, samples)
            assert low <= bstep.union_bound(epsilon, clients, samples)


def test_mixture_constant_cannot_be_lowered_in_its_last_digit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bstep, "MIXTURE_CONSTANT", bstep.MIXTURE_CONSTANT - sp.Rational(1, 10**4))
    assert not all(step.holds for step in bstep.derive())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bstep.moment(3, 10), "order must be even"),
        (lambda: bstep.moment(4, 4), "below samples = 4"),
        (lambda: bstep.mean_variance(1, 2), "samples must exceed 2"),
    ],
)
def test_moments_that_do_not_exist_are_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_the_constant_is_proved_once_more_without_balls(monkeypatch: pytest.MonkeyPatch) -> None:
    (opinion,) = bstep._derive_constant().opinions
    assert (opinion.engine, opinion.says) == ("whole numbers", Says.AGREES)
    for y in (Fraction(1, 10), Fraction(1), Fraction(8)):
        exact = math.sqrt(math.pi / 2) * special.erf(float(y) / math.sqrt(2))
        assert float(bstep._normal_integral(y)) == pytest.approx(exact, rel=1e-14)
    given, check = [], bstep._in_whole_numbers
    monkeypatch.setattr(bstep, "_in_whole_numbers", lambda *pieces: given.append(pieces))
    bstep._derive_constant()
    ((pieces, end),) = given
    assert check(pieces, end)
    assert not check(pieces[1:], end)
    assert not check(pieces[:9] + pieces[10:], end)
    assert not check([(Fraction(k, 64), Fraction(k + 1, 64)) for k in range(512)], end)  # too wide
    monkeypatch.setattr(bstep, "MIXTURE_CONSTANT", bstep.MIXTURE_CONSTANT * sp.Rational(98, 100))
    assert not check(pieces, end)

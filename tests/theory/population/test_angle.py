"""The angle distance behaves like a distance between column spaces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from theory.population.angle import angle_distance, spectral_norm

SHAPES = st.tuples(st.integers(1, 3), st.integers(0, 5)).map(lambda k: (k[0] + k[1] + 1, k[0]))


@st.composite
def pairs(draw) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    shape = draw(SHAPES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.standard_normal(shape), rng.standard_normal(shape), rng


@given(pairs())
@settings(max_examples=150, deadline=None)
def test_range_symmetry_and_invariance(pair) -> None:
    A, A_star, rng = pair
    distance = angle_distance(A, A_star)
    assert 0.0 <= distance <= 1.0
    assert angle_distance(A_star, A) == pytest.approx(distance, abs=1e-10)
    assert angle_distance(A, A) <= 1e-10
    mix = np.linalg.qr(rng.standard_normal((A.shape[1],) * 2)).Q * rng.uniform(0.1, 10)
    assert angle_distance(A @ mix, A_star) == pytest.approx(distance, abs=1e-10)
    assert angle_distance(-1e-200 * A, 1e200 * A_star) == pytest.approx(distance, abs=1e-10)
    turn = np.linalg.qr(rng.standard_normal((A.shape[0],) * 2)).Q
    assert angle_distance(turn @ A, turn @ A_star) == pytest.approx(distance, abs=1e-10)
    other = rng.standard_normal(A.shape)
    assert distance <= angle_distance(A, other) + angle_distance(other, A_star) + 1e-10


@given(pairs())
@settings(max_examples=50, deadline=None)
def test_it_is_the_sine_of_the_largest_principal_angle(pair) -> None:
    A, A_star, _ = pair
    largest = np.sin(subspace_angles(A, A_star).max())
    assert angle_distance(A, A_star) == pytest.approx(largest, abs=1e-9)


@pytest.mark.parametrize("exponent", [-4, -8, -12, -15])
def test_small_angles_keep_their_digits(exponent: int) -> None:
    delta = 10.0**exponent
    a = np.array([np.sqrt(1 - delta**2), 0.0, delta])
    # arccos and sqrt(1 − c²) both give 0 from 1e-8 on.
    assert angle_distance(a, np.array([1.0, 0.0, 0.0])) == pytest.approx(delta, rel=1e-14)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3))).Q
    assert angle_distance(turn @ a, turn[:, 0]) == pytest.approx(delta, rel=1e-14, abs=1e-15)


def test_batches_are_one_by_one() -> None:
    rng = np.random.default_rng(1)
    A, A_star = rng.standard_normal((4, 3, 6, 2)), rng.standard_normal((6, 2))
    batched = angle_distance(A, A_star)
    assert batched.shape == (4, 3)
    for i, j in np.ndindex(4, 3):
        assert batched[i, j] == pytest.approx(angle_distance(A[i, j], A_star), abs=1e-12)


def test_spectral_norm_is_the_largest_singular_value() -> None:
    matrix = np.random.default_rng(2).standard_normal((5, 7, 3))
    for scale in (1.0, 1e-200, 1e200):
        expected = np.linalg.svd(scale * matrix, compute_uv=False)[:, 0]
        np.testing.assert_allclose(spectral_norm(scale * matrix), expected, rtol=1e-12)
    assert spectral_norm(np.zeros((3, 2))) == 0.0


@pytest.mark.parametrize(
    ("A", "A_star", "sentence"),
    [
        (np.ones(3), np.ones(4), "same width and rank"),
        (np.array([1.0, np.nan]), np.ones(2), "A must be finite"),
        (np.zeros(3), np.ones(3), "A must not be zero"),
        (np.array(1.0), np.ones(3), "A must have shape"),
    ],
)
def test_bad_input(A: np.ndarray, A_star: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        angle_distance(A, A_star)

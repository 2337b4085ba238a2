import numpy as np
import pytest

from theory.privacy import privacy_floor as theory


def test_many_samples_leave_the_population_floor() -> None:
    few = theory.floor(0.7, 0.1, 0.02, 1.5, 20, 10, 10**12)
    assert few == pytest.approx(theory.population_floor(0.7, 0.02, 20), rel=1e-9)
    assert theory.population_floor(0.7, np.sqrt(0.05**2 / 10), 20) == pytest.approx(
        0.00522, abs=5e-6
    )


def test_at_the_largest_noise_rolora_ties_with_a_frozen_a() -> None:
    square = theory.largest_noise(0.1, 0.8, 2.0, 12, 4, 15)
    each = np.sqrt(theory.averaged_variance(np.sqrt(square), 4))
    assert theory.floor(0.8, each, each, 2.0, 12, 4, 15) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.floor(1.9, 0.1, 0.1, 1.0, 50, 1, 10), "kappa must be below"),
        (lambda: theory.floor(0.5, 0.1, 0.1, 1.0, 5, 9, 2), "samples must exceed 2"),
        (lambda: theory.population_floor(2.0, 0.1, 5), "kappa must be below"),
    ],
)
def test_where_there_is_no_floor_is_said(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()

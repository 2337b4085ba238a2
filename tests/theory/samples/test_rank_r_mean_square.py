import numpy as np
import pytest

from theory.samples import rank_r_mean_square as theory


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"samples": 3}, "samples must exceed rank"),
        ({"kappa": 1.9}, "kappa must be below"),
    ],
)
def test_where_there_is_no_mean_square_is_said(given: dict, words: str) -> None:
    at = {"kappa": 0.9, "label": 0.1, "size": 1.0, "d": 20, "rank": 2, "clients": 2, "samples": 10}
    assert theory.floor(**at) > 0
    with pytest.raises(ValueError, match=words):
        theory.floor(**at | given)


def test_no_other_step_does_better_for_the_slowest_column() -> None:
    sizes, q = np.array([2.0, 1.3, 0.9]), 0.4
    best = theory.best_rate_squared(2.0, 0.9, q)

    def slowest(eta: np.ndarray) -> np.ndarray:
        kappas = 2 * np.asarray(eta)[..., None] * sizes**2
        return ((1 - kappas) ** 2 + q * kappas**2).max(axis=-1)

    assert slowest(theory.best_step(2.0, 0.9, q)) == pytest.approx(best, rel=1e-12)
    assert slowest(np.linspace(1e-3, 0.5, 4001)).min() > best - 1e-12

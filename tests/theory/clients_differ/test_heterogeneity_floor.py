import numpy as np
import pytest

from theory.clients_differ import heterogeneity_floor as theory
from theory.clients_differ import heterogeneous_samples


def test_one_left_factor_is_the_other_claim() -> None:
    rng = np.random.default_rng(0)
    ups = rng.standard_normal((5, 3))
    a = np.linalg.qr(rng.standard_normal((6, 1)))[0]
    along, across, outside = theory.spreads(np.array([a @ b[None] for b in ups]))
    assert across == pytest.approx(0, abs=1e-12)
    assert outside == pytest.approx(0, abs=1e-12)
    B, tau = np.linalg.norm(ups.mean(axis=0)), heterogeneous_samples.spread_along_mean(ups)
    assert along == pytest.approx(tau**2 / B**4)
    stated = theory.floor(0.7, along, 0.0, 6, 5, 9)
    assert stated == pytest.approx(heterogeneous_samples.floor(0.7, tau, B, 6, 5, 9))


def test_a_mean_of_rank_two_is_refused() -> None:
    with pytest.raises(ValueError, match="targets must have a mean of rank one"):
        theory.spreads(np.random.default_rng(0).standard_normal((4, 5, 3)))


@pytest.mark.parametrize(
    ("given", "words"),
    [((1.9, 1, 1, 50, 1, 10), "kappa must be"), ((0.5, 1, 1, 5, 9, 2), "samples")],
)
def test_where_there_is_no_floor_is_said(given: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        theory.floor(*given)

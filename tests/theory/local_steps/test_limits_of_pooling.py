import numpy as np
import pytest

from theory.local_steps import limits_of_pooling as theory
from theory.samples import moments, wishart_traces


@pytest.mark.parametrize("power", range(1, 7))
def test_at_width_one_a_trace_moment_is_that_of_chi_squared(power: int) -> None:
    stated = wishart_traces.trace_moment((power,), 1, 7)
    assert stated == moments.chi_squared_moment(7, power)
    assert wishart_traces.trace_moment((1,) * power, 1, 7) == stated


def test_a_trace_moment_of_many_powers_is_refused() -> None:
    with pytest.raises(ValueError, match="powers must be"):
        wishart_traces.trace_moment((13, 12), 3, 5)


def test_many_local_steps_approach_what_a_client_cannot_see() -> None:
    short = [theory.mean_factor(0.05, 6, 3, K) for K in (1, 4, 8, 12)]
    assert short == sorted(short, reverse=True)
    assert min(short) > 1 - 3 / 6
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 3, 6))
    H = np.linalg.matrix_power(np.eye(6) - 0.05 / 3 * np.swapaxes(X, 1, 2) @ X, 12)
    seen = np.trace(H, axis1=1, axis2=2) / 6
    assert abs(seen.mean() - short[-1]) < 5 * seen.std() / np.sqrt(20_000)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.mean_factor(0.1, 5, 4, 13), "local_steps must lie between 1 and 12"),
        (lambda: theory.mean_square(0.1, 5, 4, 2, 2), "samples must exceed 2"),
        (lambda: theory.exhausted_mean_square(5, 4, 2), "samples must exceed 2"),
    ],
)
def test_what_the_formulas_do_not_cover_is_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_a_client_that_sees_every_direction_ends_at_the_truth() -> None:
    assert theory.exhausted_mean_square(5, 4, 5) == 0.0

from __future__ import annotations

import numpy as np
import pytest

from theory.other_methods import one_shot_averaging as one_shot

TARGETS = np.random.default_rng(2).standard_normal((3, 5, 4))


def test_the_best_of_rank_r_is_what_singular_values_say() -> None:
    matrix = TARGETS[0]
    best = one_shot.best_of_rank(matrix, 2)
    assert np.linalg.matrix_rank(best) == 2
    assert np.square(matrix - best).sum() == pytest.approx(one_shot.out_of_reach(matrix, 2))
    assert one_shot.out_of_reach(matrix, 4) == 0.0


def test_one_round_of_flora_is_the_merged_excess() -> None:
    one = one_shot.merged_excess_later(TARGETS, 2, 1)
    assert one == pytest.approx(one_shot.merged_excess(TARGETS, 2))
    assert one < one_shot.truncated_excess(TARGETS, 2)


def test_two_clients_of_rank_r_rest_at_their_mean_and_three_do_not() -> None:
    low = one_shot.best_of_rank(TARGETS, 1)
    for count, rests in ((2, True), (3, False)):
        few = low[:count]
        at_mean = -one_shot.out_of_reach(few.mean(axis=0), 1)
        assert one_shot.merged_excess_later(few, 1, 1) == pytest.approx(at_mean)
        assert (one_shot.merged_excess_later(few, 1, 2) == pytest.approx(at_mean)) is rests


def test_flora_descends_the_mean_of_half_the_largest_squares() -> None:
    def value(X: np.ndarray) -> float:
        return float(
            np.mean([np.square(one_shot.best_of_rank(W - X, 1)).sum() / 2 for W in TARGETS])
        )

    X, step = np.zeros((5, 4)), 1e-6
    ahead = one_shot.best_of_rank(TARGETS - X, 1).mean(axis=0)
    way = np.random.default_rng(0).standard_normal(X.shape)
    slope = (value(X + step * way) - value(X - step * way)) / (2 * step)
    assert slope == pytest.approx(-np.sum(ahead * way), rel=1e-6)

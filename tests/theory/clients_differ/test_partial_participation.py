from itertools import combinations

import numpy as np
import pytest

from theory.clients_differ import partial_participation as theory


@pytest.mark.parametrize(("clients", "n"), [(5, 2), (6, 1), (6, 3), (4, 4), (7, 5), (1, 1)])
def test_closed_forms_are_the_means_over_all_sets(clients: int, n: int) -> None:
    b, eta = np.random.default_rng(clients).standard_normal((clients, 3)) + 1.0, 0.1
    means = np.array([b[list(who)].mean(axis=0) for who in combinations(range(clients), n)])
    kappas = 2 * eta * np.square(means).sum(axis=1)
    assert theory.mean_square_step(b, n, eta) == pytest.approx(np.mean(kappas**2))
    assert theory.mean_square_rate(b, n, eta) == pytest.approx(np.mean((1 - kappas) ** 2))
    assert theory.log_rate(b, n, eta) == pytest.approx(np.mean(np.log(np.abs(1 - kappas))))


def test_one_client_a_round_has_no_floor_of_the_angle() -> None:
    assert theory.floor(0.5, 0.1, 8, 5, 20, 1) == 0.0
    assert theory.floor(0.5, 0.1, 8, 5, 20, 2) > 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.log_rate(np.ones((40, 2)), 20, 0.1), "taking_part must leave"),
        (lambda: theory.floor(0.5, 0.1, 8, 5, 2, 3), "samples must exceed 2"),
        (lambda: theory.floor(1.9, 0.1, 80, 5, 9, 3), "kappa must be below"),
    ],
)
def test_what_the_formulas_do_not_cover_is_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()

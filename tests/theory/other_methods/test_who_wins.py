from __future__ import annotations

import numpy as np
import pytest

from theory.other_methods import who_wins
from theory.population import population_map


@pytest.mark.parametrize("condition", [1.0, 1.5, 4.0])
def test_no_step_beats_the_best(condition: float) -> None:
    steps = np.linspace(0.01, 0.6, 3001)
    for ends, best in (
        (who_wins.fedavg_ends, who_wins.fedavg_best_rate),
        (who_wins.rolora_ends, who_wins.rolora_best_rate),
    ):
        rates = np.max(np.abs(ends(steps, condition, 1.0)), axis=0)
        assert rates.min() == pytest.approx(best(condition), abs=2e-3)


def test_an_orthonormal_a_turns_the_order_near_a_condition_of_1_18() -> None:
    for condition in (1.17, 1.19):
        slower = (
            who_wins.algorithm2_best_rate(condition) > who_wins.fedavg_best_rate(condition) ** 2
        )
        assert slower is (who_wins.algorithm2_balance(condition) > 0) is (condition > 1.18)


def test_without_a_crossing_the_answer_is_the_start() -> None:
    assert who_wins.crossing_round(decay=100.0, start=1.0, kappa=0.3) == 0.0
    late = who_wins.crossing_round(decay=0.01, start=1.0, kappa=0.1)
    assert 1.0 * late * 0.9**late == pytest.approx(0.1)
    assert late > -1.0 / np.log(0.9)


def test_the_prefactor_is_the_limit_it_is_called() -> None:
    assert who_wins.prefactor(1e-8, 0.4) == pytest.approx(1e-8)
    t = 3.0
    for _ in range(25):
        t = float(population_map.next_tangent(t, 0.4))
    assert who_wins.prefactor(3.0, 0.4) == pytest.approx(t / 0.6**25)
    with pytest.raises(ValueError, match="kappa must lie between 0 and 2 and not be 1, got 1"):
        who_wins.prefactor(1.0, 1.0)

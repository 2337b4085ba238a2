from __future__ import annotations

import numpy as np
import pytest

from linear_model import Algorithm2, Problem, simulate
from theory.population import rank_r_map


@pytest.mark.parametrize("simulator", ["population", "data"])
def test_tangent_map_predicts_the_simulators(simulator: str) -> None:
    # `data` at m = 40 000 is the population up to O(1/sqrt(m)); the population is exact.
    rng = np.random.default_rng(3)
    A_star, start = (np.linalg.qr(rng.standard_normal((5, 2)))[0] for _ in range(2))
    B_star = rng.standard_normal((2, 3))
    problem = Problem(d=5, clients=1, samples=40_000, rank=2, A_star=A_star, B_star=B_star)
    run = simulate(problem, Algorithm2(eta=0.05), simulator=simulator, rounds=4, start=start)
    tangents = rank_r_map.tangents_of(start, A_star)
    tolerance = 1e-10 if simulator == "population" else 0.05
    for number in range(1, 5):
        tangents = rank_r_map.next_tangents(tangents, B_star @ B_star.T, 0.05)
        largest = np.linalg.norm(tangents, 2)
        assert run.angle[0, number] == pytest.approx(largest / np.hypot(1, largest), rel=tolerance)

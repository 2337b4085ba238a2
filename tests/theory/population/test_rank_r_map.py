import numpy as np
import pytest

from theory.population import population_map, rank_r_map


def planted(d: int, r: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    A = np.linalg.qr(rng.standard_normal((d, r)))[0]
    A_star = np.linalg.qr(rng.standard_normal((d, r)))[0]
    return A, A_star, rng.standard_normal((r, r + 2))


@pytest.mark.parametrize(("d", "r"), [(2, 1), (5, 2), (9, 4), (12, 6)])
@pytest.mark.parametrize("eta", [0.01, 0.2, 1.3])
def test_tangent_map_is_the_literal_round_at_random_starts(d: int, r: int, eta: float) -> None:
    A, A_star, B_star = planted(d, r, seed=d)
    moved = rank_r_map.round_by_matrices(A, A_star, B_star, eta)
    literal = rank_r_map.tangents_of(moved, A_star)
    stated = rank_r_map.next_tangents(rank_r_map.tangents_of(A, A_star), B_star @ B_star.T, eta)
    np.testing.assert_allclose(
        np.linalg.norm(literal - stated), 0.0, atol=1e-9 * max(1.0, np.linalg.norm(stated))
    )


def test_well_conditioned_b_sends_every_principal_angle_through_the_rank_one_map() -> None:
    tangents = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 3)))[0]
    tangents = tangents * np.array([0.01, 0.7, 40.0])
    kappa = 0.8
    moved = np.linalg.svd(
        rank_r_map.next_tangents(tangents, np.eye(3), kappa / 2), compute_uv=False
    )
    expected = sorted(population_map.next_tangent(np.array([0.01, 0.7, 40.0]), kappa))[::-1]
    np.testing.assert_allclose(moved, expected, rtol=1e-10)


def test_best_step_beats_a_fine_grid() -> None:
    values = np.array([1.7, 1.1, 0.6])
    grid = np.linspace(1e-3, 1.0, 4001)
    best = rank_r_map.local_rate(values, rank_r_map.best_step(1.7, 0.6))
    assert best <= min(rank_r_map.local_rate(values, eta) for eta in grid) + 1e-15
    assert best == pytest.approx(rank_r_map.best_rate(1.7, 0.6), rel=1e-14)

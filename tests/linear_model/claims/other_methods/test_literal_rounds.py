from __future__ import annotations

import numpy as np
import pytest

from federated_lora import Adapter
from linear_model.claims.other_methods import floor_runs, literal
from linear_model.claims.other_methods.floor_runs import Hardship
from linear_model.methods.base import State

TARGETS = np.random.default_rng(6).standard_normal((3, 4, 3))


def test_a_client_at_its_optimum_holds_the_best_of_rank_r() -> None:
    A, B = literal.to_the_optimum(np.eye(4, 2), np.zeros((2, 3)), TARGETS[0])
    lost = np.square(np.linalg.svd(TARGETS[0], compute_uv=False)[2:]).sum()
    assert np.square(A @ B - TARGETS[0]).sum() == pytest.approx(lost)


def test_only_what_the_round_trains_reaches_the_server() -> None:
    server = Adapter(np.eye(4, 2), np.zeros((2, 3)))
    made = literal.server_round("rolora", server, TARGETS, lambda A, _, W: (2.0 * A, A.T @ W))
    assert made.adapter.A is server.A
    assert pytest.approx(TARGETS.mean(axis=0)[:2]) == made.adapter.B


def test_what_a_method_merges_is_taken_off_the_next_targets() -> None:
    def one_row(A: np.ndarray, _: np.ndarray, W: np.ndarray) -> literal.Pair:
        return A, A.T @ W

    server = Adapter(np.eye(4, 1), np.zeros((1, 3)))
    first, second = literal.models("flora", server, TARGETS, one_row, 2)
    assert first[0] == pytest.approx(TARGETS.mean(axis=0)[0])
    assert second == pytest.approx(first)


@pytest.mark.parametrize("shift", [False, True])
def test_no_rank_one_model_is_better_than_the_best(shift: bool) -> None:
    hardship = Hardship(shift=shift)
    excess = floor_runs.excess_over_best(hardship)
    rng = np.random.default_rng(1)
    near = floor_runs.A_STAR + 0.1 * rng.standard_normal((200, 4, 1))
    state = State(near, floor_runs.MEAN + 0.1 * rng.standard_normal((200, 1, 3)), np.zeros(200))
    assert excess(state).min() > 0.0
    if not shift:
        best = State(floor_runs.A_STAR[None], floor_runs.MEAN[None], np.zeros(1))
        assert excess(best) == pytest.approx([0.0], abs=1e-15)


def test_a_method_that_diverges_has_no_floor() -> None:
    found = floor_runs.run("lora-fair", Hardship(), np.random.default_rng(0), 1, 100, 4)
    assert np.isinf(found).all()

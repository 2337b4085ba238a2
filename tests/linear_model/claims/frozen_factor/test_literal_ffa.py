"""The batched least squares on literal data against one client and one trial at a time."""

import numpy as np
import pytest

from linear_model.claims.frozen_factor.literal_ffa import training_losses
from verification.streams import generator


def _problem() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    A = np.linalg.qr(rng.standard_normal((6, 2)))[0]
    return A, rng.standard_normal((6, 3))


def test_equals_a_loop_over_trials_and_clients() -> None:
    A, target = _problem()
    clients, samples, trials = 3, 7, 5
    got = training_losses(
        A, target, clients=clients, samples=samples, trials=trials, seed=4, axes=("slow",)
    )
    X = generator(4, "slow", 0).standard_normal((trials, clients, samples, 6))
    left = target - A @ A.T @ target
    scale = np.sum(left**2)
    for trial in range(trials):
        fits = [np.linalg.lstsq(x @ A, x @ target, rcond=None)[0] for x in X[trial]]
        joint = np.linalg.lstsq(
            X[trial].reshape(-1, 6) @ A, X[trial].reshape(-1, 6) @ target, rcond=None
        )[0]
        for found, B in ((got.averaged, np.mean(fits, axis=0)), (got.pooled, joint)):
            loss = np.mean([np.sum((x @ (A @ B - target)) ** 2) / samples for x in X[trial]])
            assert found[trial] == pytest.approx(loss / scale, rel=1e-10)
        free = np.mean([np.sum((x @ left) ** 2) / samples for x in X[trial]])
        assert got.unlearned[trial] == pytest.approx(free / scale, rel=1e-10)


def test_no_choice_of_B_beats_joint_least_squares() -> None:
    A, target = _problem()
    got = training_losses(A, target, clients=4, samples=5, trials=500, seed=0, axes=("order",))
    assert np.all(got.pooled <= got.averaged * (1 + 1e-12))


def test_more_trials_leave_the_first_ones_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    A, target = _problem()
    monkeypatch.setattr("linear_model.claims.frozen_factor.literal_ffa.BLOCK_ENTRIES", 1_000)
    few, many = (
        training_losses(A, target, clients=2, samples=4, trials=n, seed=1, axes=("prefix",))
        for n in (30, 90)
    )
    np.testing.assert_array_equal(few.averaged, many.averaged[:30])


def test_too_few_samples_are_refused() -> None:
    A, target = _problem()
    with pytest.raises(ValueError, match="samples must be at least the rank 2, got 1"):
        training_losses(A, target, clients=2, samples=1, trials=3, seed=0, axes=("bad",))

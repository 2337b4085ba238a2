from __future__ import annotations

import numpy as np
import pytest

from linear_model.claims.clients_differ import heterogeneous_recovery
from theory.clients_differ import heterogeneous_samples
from verification.budget import Budget
from verification.verdict import Verdict

TARGETS = np.array([[1.0, 0.2], [0.4, -0.9], [1.7, 0.5], [0.9, 1.1]])


def test_one_round_leaves_the_truth_by_the_stated_mean_square() -> None:
    clients, samples, d, kappa, trials = len(TARGETS), 6, 5, 0.7, 40_000
    mean = TARGETS.mean(axis=0)
    size = float(mean @ mean)
    X = np.random.default_rng(3).standard_normal((trials, clients, samples, d))
    a_star = np.eye(d)[0]
    # From a = a*, literally: b̄ = b̄*, then the mean gradient of ‖X_i (a b̄ᵀ − a* b_i*ᵀ)‖²/m at b̄.
    residual = np.einsum("tnm,np->tnmp", X @ a_star, mean - TARGETS)
    gradient = 2.0 / samples * np.einsum("tnmd,tnmp,p->td", X, residual, mean) / clients
    moved = a_star - kappa / (2.0 * size) * gradient
    across = np.square(moved[:, 1:]).sum(axis=1)
    tau = heterogeneous_samples.spread_along_mean(TARGETS)
    stated = heterogeneous_samples.round_spread(kappa, tau, size**0.5, d, clients * samples)
    error = across.std() / trials**0.5
    assert error < 0.01 * stated
    assert abs(across.mean() - stated) < 5.5 * error


def test_only_the_spread_along_the_mean_counts() -> None:
    mean = TARGETS.mean(axis=0)
    sideways = np.outer([1.0, -2.0, 0.5, 0.5], [-mean[1], mean[0]])
    tau = heterogeneous_samples.spread_along_mean(TARGETS)
    assert heterogeneous_samples.spread_along_mean(TARGETS + sideways) == pytest.approx(tau)
    assert heterogeneous_samples.spread_along_mean(mean + sideways) == pytest.approx(0.0, abs=1e-15)


def test_the_floor_tends_to_the_first_order_in_one_over_m() -> None:
    many, few = (
        heterogeneous_samples.floor(0.8, 0.3, 2.0, 7, 3, m)
        / heterogeneous_samples.first_order_floor(0.8, 0.3, 2.0, 7, 3 * m)
        for m in (10**6, 12)
    )
    assert many == pytest.approx(1.0, abs=1e-5)
    assert few > 1.1


def test_an_unstable_step_has_no_floor() -> None:
    with pytest.raises(ValueError, match=r"kappa must be below 2/\(1 \+ q\)"):
        heterogeneous_samples.floor(1.9, 0.3, 2.0, 7, 3, 4)


@pytest.mark.parametrize(
    ("spread", "verdict"), [(0.0, Verdict.CONSISTENT), (0.02, Verdict.REFUTED)]
)
def test_recovery_is_confirmed_for_clients_that_agree_only(spread: float, verdict: Verdict) -> None:
    assert heterogeneous_recovery.check(Budget(seed=2), spread=spread).verdict is verdict

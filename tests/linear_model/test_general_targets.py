"""Targets of any rank, features of any covariance: literal loop, agreement, limit, optimum, refusals."""

from functools import cache

import numpy as np
import pytest

from linear_model import (
    Algorithm2,
    FFALeastSquares,
    GramSimulator,
    LocalSteps,
    Problem,
    shifted_covariances,
    simulate,
    singular_values,
)
from tests.support.linear_loop import ETA, ROUNDS, SEED, TRIALS, K, loss, rounds
from theory.population.angle import angle_distance

RNG = np.random.default_rng(12)
D, N, P = 6, 4, 5
TARGETS = RNG.standard_normal((N, D, P)) + 2 * RNG.standard_normal((D, P))
COVARIANCES = shifted_covariances(0.6, N, D, RNG) * 1.3
CASES = {
    "full rank": {"B_star": TARGETS},
    "rank 3 of 2": {
        "B_star": TARGETS[:, :3],
        "A_star": np.linalg.qr(RNG.standard_normal((D, 3))).Q,
    },
    "covariances": {"B_star": TARGETS, "covariances": COVARIANCES, "participants": 3},
    "covariances, rank 2, fixed": {
        "B_star": TARGETS[:, :2],
        "covariances": COVARIANCES,
        "data": "fixed",
    },
}
METHODS = {
    "algorithm2": Algorithm2(eta=ETA / 10),
    "algorithm2-pooled": Algorithm2(eta=ETA / 10, pooled=True),
    "ffa-ls": FFALeastSquares(),
    "rolora": LocalSteps("rolora", eta=ETA / 10, local_steps=K),
    "rolora-cv": LocalSteps("rolora-cv", eta=ETA / 10, local_steps=K),
    "fedsa": LocalSteps("fedsa", eta=ETA / 10, local_steps=K),
    "flexlora": LocalSteps("flexlora", eta=ETA / 10, local_steps=K),
}


def problem(case: str, **changes) -> Problem:
    return Problem(**{"d": D, "clients": N, "samples": 9, "rank": 2, **CASES[case], **changes})


@cache
def lowest_of(case: str) -> float:
    return lowest(problem(case))


def lowest(of: Problem) -> float:
    """The least mean loss of a shared rank-2 model, by alternating exact minimisation."""
    S = np.broadcast_to(np.eye(D), (N, D, D)) if of.covariances is None else of.covariances
    W = of.A_star @ of.B_star
    A = np.random.default_rng(1).standard_normal((D, 2))
    for _ in range(1000):
        B = np.linalg.solve(A.T @ S.mean(0) @ A, A.T @ (S @ W).mean(0))
        # vec of Σ S_i A B Bᵀ = Σ S_i W_i Bᵀ
        left = np.kron(S.mean(0), B @ B.T)
        A = np.linalg.solve(left, ((S @ W).mean(0) @ B.T).ravel()).reshape(D, 2)
    return loss(of, [A] * N, [B] * N, 0.0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", METHODS)
def test_data_is_the_literal_loop(name, case):
    of = problem(case)
    start = np.linalg.qr(np.random.default_rng(3).standard_normal((TRIALS, D, 2))).Q
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.linear_loop.ETA", ETA / 10)
        options = {"rounds": ROUNDS, "trials": TRIALS, "seed": SEED, "start": start}
        run = simulate(of, METHODS[name], simulator="data", **options)
        best = lowest_of(case)
        for number, (A, B, W, errors) in enumerate(rounds(of, start, name), 1):
            for trial in range(TRIALS):
                expected = loss(of, A[trial], B[trial], W[trial])
                assert run.loss[trial, number] == pytest.approx(expected, rel=1e-9)
                assert run.excess[trial, number] == pytest.approx(expected - best, rel=1e-6)
                error = pytest.approx(errors[trial], rel=1e-9, abs=1e-10)
                assert run.aggregation_error[trial, number] == error


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", METHODS)
def test_sufficient_statistics_give_what_the_samples_give(name, case):
    options = {"rounds": 4, "trials": 3, "seed": 2}
    one = simulate(problem(case), METHODS[name], simulator="data", **options)
    way = GramSimulator(from_samples=True)
    other = simulate(problem(case), METHODS[name], simulator=way, **options)
    for field in ("angle", "excess", "recovery", "loss"):
        np.testing.assert_allclose(
            getattr(one, field), getattr(other, field), rtol=1e-9, atol=1e-9, err_msg=field
        )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["algorithm2", "algorithm2-pooled", "rolora-cv"])
def test_many_samples_come_near_the_population(name, case):
    start = np.linalg.qr(np.random.default_rng(3).standard_normal((D, 2))).Q
    many = problem(case, samples=10**9, participants=None)
    options = {"rounds": 6, "start": start}
    gram, limit = (
        simulate(many, METHODS[name], simulator=way, **options) for way in ("gram", "population")
    )
    for field in ("angle", "excess", "loss"):
        left, right = (getattr(run, field) for run in (gram, limit))
        np.testing.assert_allclose(left, right, rtol=2e-3, atol=2e-4, err_msg=field)
    assert np.ptp(limit.excess[0, 1:]) > 0.01


def test_the_limit_does_not_feel_the_width_with_targets_of_higher_rank():
    start, turn = (np.linalg.qr(RNG.standard_normal((9, k))).Q for k in (2, 9))
    for frame, first in ((np.eye(9, 4), start), (turn[:, :4], turn @ start)):
        of = Problem(d=9, clients=N, rank=2, A_star=frame, B_star=TARGETS[:, :4])
        by_width = simulate(of, METHODS["rolora"], simulator="population", rounds=5, start=first)
        literal = simulate(
            Problem(
                d=9, clients=N, rank=2, A_star=frame, B_star=TARGETS[:, :4], covariances=np.eye(9)
            ),
            METHODS["rolora"], simulator="population", rounds=5, start=first,
        )  # fmt: skip
        for field in ("angle", "excess", "recovery", "loss"):
            np.testing.assert_allclose(
                getattr(by_width, field), getattr(literal, field), rtol=0, atol=1e-11
            )


@pytest.mark.parametrize("case", CASES)
def test_the_optimum_is_the_least_loss(case):
    of = problem(case, noise=0.3)
    best = of.optimum
    assert best.spread + best.tail + 0.09 * of.outputs == pytest.approx(lowest(of), rel=1e-9)
    np.testing.assert_allclose(best.A.T @ best.A, np.eye(2), rtol=0, atol=1e-12)
    S = np.eye(D) if of.covariances is None else of.covariances.mean(0)
    W = of.A_star @ of.B_star
    right = W.mean(0) if of.covariances is None else (of.covariances @ W).mean(0)
    B = np.linalg.solve(best.A.T @ S @ best.A, best.A.T @ right)
    assert loss(of, [best.A] * N, [B] * N, 0.0) == pytest.approx(lowest(of), rel=1e-9)


def test_spectra_end_where_they_should():
    for name in ("linear", "geometric", "power"):
        values = singular_values(name, 5, 8.0)
        assert values[0] == pytest.approx(1.0)
        assert values[-1] == pytest.approx(1 / 8)
        assert np.all(np.diff(values) < 0)
        assert singular_values(name, 1, 8.0) == pytest.approx([1.0])
    assert singular_values("power", 4, 4.0) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert singular_values("geometric", 3, 4.0) == pytest.approx([1, 1 / 2, 1 / 4])
    assert singular_values("flat", 3, 4.0) == pytest.approx([1, 1, 1])


def test_shifted_covariances_have_mean_one_and_the_spread_asked_for():
    S = shifted_covariances(0.4, 5, 3, np.random.default_rng(0))
    assert S.mean(axis=0) == pytest.approx(np.eye(3))
    assert np.abs(np.linalg.eigvalsh(S) - 1).max() == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"covariances": np.eye(3)}, r"covariances must have shape \(d, d\) = \(6, 6\) or"),
        ({"covariances": -np.eye(6)}, "positive definite, got an eigenvalue of -1"),
        ({"covariances": np.eye(6) + np.eye(6, k=1)}, "got one that is not symmetric"),
        ({"A_star": np.eye(6, 1), "B_star": None}, r"or more columns up to d, got \(6, 1\)"),
    ],
)
def test_bad_targets_and_covariances_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        problem("full rank", **changes)


@pytest.mark.parametrize("case", ["rank 3 of 2", "covariances"])
def test_the_chain_refuses_them(case):
    of = problem(case)
    one = Problem(
        d=D, samples=9, A_star=np.eye(D, 2), B_star=np.ones((2, 2))
    ) if case == "rank 3 of 2" else Problem(d=D, samples=9, covariances=of.covariances[0])  # fmt: skip
    with pytest.raises(ValueError, match=r"simulator chain can do .* only, got .*; use simulator"):
        simulate(one, Algorithm2(kappa=0.5), simulator="chain", rounds=1)


def test_an_angle_to_start_from_needs_targets_of_rank_one():
    of = Problem(d=D, samples=9, B_star=np.diag([2.0, 1.0]))
    with pytest.raises(ValueError, match="start as an angle distance needs targets of rank 1"):
        simulate(of, Algorithm2(kappa=0.5), rounds=1, start=0.3)


@pytest.mark.parametrize("simulator", ["data", "gram", "population"])
def test_a_random_start_has_the_law_of_a_random_subspace(simulator):
    of = Problem(d=7, samples=9, rank=2, B_star=np.diag([3.0, 2.0, 1.0]))
    run = simulate(of, Algorithm2(kappa=0.5), simulator=simulator, rounds=1, trials=20_000, seed=1)
    rng = np.random.default_rng(0)
    A = np.linalg.qr(rng.standard_normal((20_000, 7, 2))).Q
    haar = np.asarray(angle_distance(A, np.eye(7, 2), orthonormal=True))
    gap = np.abs(np.quantile(run.angle[:, 0], (0.1, 0.5, 0.9)) - np.quantile(haar, (0.1, 0.5, 0.9)))
    assert gap.max() < 0.02

import numpy as np
import pytest

from linear_model import Algorithm2, Data, Problem, simulate
from linear_model.claims.samples.given_data import GivenData


def test_given_data_runs_literal_rounds() -> None:
    problem = Problem(d=4, clients=2, samples=6, B_star=np.array([1.0, 2.0]), data=Data.FIXED)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3, 2, 6, 4))
    A = np.linalg.qr(rng.standard_normal((3, 4, 1)))[0]
    run = simulate(
        problem, Algorithm2(kappa=0.7), simulator=GivenData(X), rounds=4, trials=3, start=A
    )
    b_star, eta = np.array([1.0, 2.0]), 0.7 / (2 * 5.0)
    for trial in range(3):
        a = A[trial, :, 0]
        for _ in range(4):
            Y = [x @ np.outer(np.eye(4)[0], b_star) for x in X[trial]]
            fits = [
                np.linalg.lstsq((x @ a)[:, None], y, rcond=None)[0][0]
                for x, y in zip(X[trial], Y, strict=True)
            ]
            b = np.mean(fits, axis=0)
            gradients = [
                2 / 6 * x.T @ (x @ np.outer(a, b) - y) @ b for x, y in zip(X[trial], Y, strict=True)
            ]
            a = a - eta * np.mean(gradients, axis=0)
            a /= np.linalg.norm(a)
        assert run.angle[trial, -1] == pytest.approx(np.linalg.norm(a[1:]), rel=1e-10)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"data": Data.FRESH}, "fixed data"), ({"noise": 0.1}, "no label noise"), ({"d": 5}, "shape")],
)
def test_given_data_refuses_what_it_cannot_do(change: dict, words: str) -> None:
    options = {"d": 4, "clients": 2, "samples": 6, "data": Data.FIXED} | change
    with pytest.raises(ValueError, match=words):
        simulate(
            Problem(**options),
            Algorithm2(kappa=0.7),
            simulator=GivenData(np.ones((1, 2, 6, 4))),
            rounds=1,
        )

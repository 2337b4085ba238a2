"""Given the same X and E, sufficient statistics give the same trajectories as the samples."""

import numpy as np
import pytest

from linear_model import (
    Algorithm2,
    FFALeastSquares,
    GramSimulator,
    LinearMethod,
    LocalSteps,
    Problem,
    simulate,
)
from linear_model.clients import transpose
from linear_model.simulators.gram import bartlett_root, gram_of_samples
from linear_model.simulators.moments import RootClients
from linear_model.simulators.samples import SampleClients

FIELDS = ("angle", "excess", "recovery", "loss", "aggregation_error")


def methods() -> tuple[LinearMethod, ...]:
    return (
        Algorithm2(kappa=0.4),
        FFALeastSquares(),
        FFALeastSquares(pooled=True),
        LocalSteps("rolora", kappa=0.02, local_steps=3),
        LocalSteps("fedavg", kappa=0.02, local_steps=3),
        LocalSteps("ffa", kappa=0.02, local_steps=3),
    )


def problems() -> dict[str, Problem]:
    rng = np.random.default_rng(5)
    frame = np.linalg.qr(rng.standard_normal((7, 2))).Q
    one, many = rng.standard_normal((2, 3)), rng.standard_normal((4, 2, 3))
    return {
        "rank 1": Problem(d=6, clients=3, samples=12),
        "m below d": Problem(d=12, clients=3, samples=6, B_star=np.array([1.0, 2.0])),
        "label noise": Problem(d=6, clients=3, samples=12, noise=0.3),
        "rank 2": Problem(d=7, clients=4, samples=12, rank=2, A_star=frame, B_star=one),
        "heterogeneous": Problem(d=7, clients=4, samples=12, rank=2, A_star=frame, B_star=many),
        "fixed data": Problem(d=6, clients=3, samples=12, data="fixed", noise=0.1),
        "shared batches": Problem(d=6, clients=3, samples=12, batches="shared", noise=0.1),
        "participants": Problem(d=7, clients=4, samples=12, rank=2, B_star=many, participants=2),
        "all of it": Problem(
            d=9, clients=4, samples=7, rank=2, B_star=many, noise=0.2, data="fixed", participants=3
        ),
    }


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
@pytest.mark.parametrize("case", problems())
def test_same_samples_same_trajectories(case, method):
    problem = problems()[case]
    options = {"rounds": 6, "trials": 5, "seed": 11}
    data = simulate(problem, method, simulator="data", **options)
    gram = simulate(problem, method, simulator=GramSimulator(from_samples=True), **options)
    for field in FIELDS:
        left, right = getattr(data, field), getattr(gram, field)
        scale = np.maximum(np.abs(left), 1.0)
        np.testing.assert_allclose(left / scale, right / scale, rtol=0, atol=1e-10, err_msg=field)
    assert np.ptp(data.loss[:, -1]) > 0  # the trials do differ


@pytest.mark.parametrize("samples", [20, 4])
def test_a_root_answers_like_the_gram_matrix_it_is_the_root_of(samples):
    rng = np.random.default_rng(2)
    T, n, d, r, p = 3, 4, 6, 2, 3
    A_star = np.eye(d, r)
    root = bartlett_root(rng, samples, d, (T, n)) / np.sqrt(samples)
    cross = rng.standard_normal((T, n, d, p))
    A, B = rng.standard_normal((T, d, r)), rng.standard_normal((T, r, p))
    for B_star in (rng.standard_normal((1, 1, r, p)), rng.standard_normal((1, n, r, p))):
        light = RootClients(A_star, B_star, cross, root)
        left, right = (
            [*one.normal(A), one.fit(A), one.mean_gradient(A, B),
             *one.gradients(A[:, None], B[:, None], of_B=True)]
            for one in (light, light.formed())
        )  # fmt: skip
        for x, y in zip(left, right, strict=True):
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-10 * max(1.0, np.abs(y).max()))


def test_statistics_of_samples_keep_every_answer():
    rng = np.random.default_rng(3)
    T, n, m, d, r, p = 2, 3, 9, 5, 2, 2
    X, noise = rng.standard_normal((T, n, m, d)), rng.standard_normal((T, n, m, p))
    A_star, B_star = np.eye(d, r), rng.standard_normal((1, n, r, p))
    data = SampleClients(X, X @ A_star @ B_star + noise)
    gram = gram_of_samples(X, A_star, B_star, noise)
    A, B = rng.standard_normal((T, n, d, r)), rng.standard_normal((T, n, r, p))
    for x, y in zip(data.gradients(A, B, of_B=True), gram.gradients(A, B, of_B=True), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-11)
    np.testing.assert_allclose(gram.gram, transpose(X) @ X / m, rtol=1e-14)

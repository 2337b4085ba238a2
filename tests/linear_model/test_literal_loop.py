"""The reference against a loop over trials and clients written with nothing but numpy."""

import numpy as np
import pytest

from linear_model import Algorithm2, FFALeastSquares, LocalSteps, Problem, simulate
from tests.support.linear_loop import ETA, ROUNDS, SEED, TRIALS, K, loss, rounds

METHODS = {
    "algorithm2": Algorithm2(eta=ETA),
    "ffa-ls": FFALeastSquares(),
    "algorithm2-pooled": Algorithm2(eta=ETA, pooled=True),
    "ffa-pooled": FFALeastSquares(pooled=True),
    "rolora": LocalSteps("rolora", eta=ETA, local_steps=K),
    "fedavg": LocalSteps("fedavg", eta=ETA, local_steps=K),
    "ffa": LocalSteps("ffa", eta=ETA, local_steps=K),
}


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize(
    "regime",
    [
        {},
        {"batches": "shared", "noise": 0.2},
        {"data": "fixed", "participants": 2},
        {"participants": 3, "noise": 0.1, "samples": 4},
    ],
    ids=["separate", "shared", "fixed", "few samples"],
)
@pytest.mark.parametrize("name", METHODS)
def test_data_is_the_literal_loop(name, regime, rank):
    rng = np.random.default_rng(8)
    truth = np.linalg.qr(rng.standard_normal((6, rank))).Q
    shape = {"d": 6, "clients": 4, "samples": 9, "rank": rank}
    problem = Problem(
        **{**shape, "A_star": truth, "B_star": rng.standard_normal((4, rank, 3)), **regime}
    )
    start = np.linalg.qr(rng.standard_normal((TRIALS, 6, rank))).Q
    options = {"rounds": ROUNDS, "trials": TRIALS, "seed": SEED, "start": start}
    run = simulate(problem, METHODS[name], simulator="data", **options)
    best = truth @ np.mean(problem.B_star, axis=0)
    before = start
    for number, (A, B, W, errors) in enumerate(rounds(problem, start, name), 1):
        for trial in range(TRIALS):
            a, b = A[trial][0], B[trial][0]
            q = np.linalg.qr(a).Q
            for measured, expected in (
                (run.angle, np.linalg.norm(q - truth @ truth.T @ q, 2)),
                (run.excess, np.sum((a @ b - best) ** 2)),
                (run.loss, loss(problem, A[trial], B[trial], W[trial])),
                (run.recovery, np.linalg.norm(before[trial] @ b - best)),
                (run.aggregation_error, errors[trial]),
            ):
                assert measured[trial, number] == pytest.approx(expected, rel=1e-10, abs=1e-10)
        before = [factors[0] for factors in A]

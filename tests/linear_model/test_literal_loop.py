"""The reference against a loop over trials and clients written with nothing but numpy."""

from __future__ import annotations

import numpy as np
import pytest

from linear_model import Algorithm2, FFALeastSquares, LocalSteps, Problem, simulate
from tests.support.linear_samples import ROUNDS, SEED, TRIALS, Samples, of_A, of_B

K, ETA = 3, 0.03


def least_squares(x, y, A):
    return np.linalg.lstsq(x @ A, y, rcond=None)[0]


def one_round(name, number, A, B, samples):
    """New A, new B and the aggregation error of every trial; A and B are lists over trials."""
    first = samples.half_step()
    errors = [0.0] * len(A)
    if name in ("algorithm2", "ffa-ls"):
        B = [
            np.mean([least_squares(x, y, a) for x, y in pairs], axis=0)
            for a, pairs in zip(A, first, strict=True)
        ]
    if name == "ffa-pooled":
        B = [
            least_squares(
                np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs]), a
            )
            for a, pairs in zip(A, first, strict=True)
        ]
    if name == "algorithm2":
        second = samples.half_step()
        moved = [
            a - ETA * np.mean([of_A(x, y, a, b) for x, y in pairs], axis=0)
            for a, b, pairs in zip(A, B, second, strict=True)
        ]
        A = [np.linalg.qr(a).Q for a in moved]
        # Signs of a QR are free; take those that keep each column's direction.
        A = [q * np.sign(np.sum(q * a, axis=0)) for q, a in zip(A, moved, strict=True)]
    if name in ("rolora", "fedavg", "ffa"):
        move_A = name == "fedavg" or (name == "rolora" and number % 2 == 0)
        move_B = name in ("fedavg", "ffa") or (name == "rolora" and number % 2 == 1)
        new_A, new_B, errors = [], [], []
        for a0, b0, pairs in zip(A, B, first, strict=True):
            sent = []
            for x, y in pairs:
                a, b = a0, b0
                for _ in range(K):
                    step_a, step_b = of_A(x, y, a, b), of_B(x, y, a, b)
                    a = a - ETA * step_a if move_A else a
                    b = b - ETA * step_b if move_B else b
                sent.append((a, b))
            a, b = np.mean([a for a, _ in sent], axis=0), np.mean([b for _, b in sent], axis=0)
            new_A.append(a)
            new_B.append(b)
            errors.append(np.linalg.norm(a @ b - np.mean([a @ b for a, b in sent], axis=0)))
        A, B = new_A, new_B
    return A, B, errors


METHODS = {
    "algorithm2": Algorithm2(eta=ETA),
    "ffa-ls": FFALeastSquares(),
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
def test_data_is_the_literal_loop(name: str, regime: dict, rank: int) -> None:
    rng = np.random.default_rng(8)
    problem = Problem(
        **{
            "d": 6,
            "clients": 4,
            "samples": 9,
            "rank": rank,
            "A_star": np.linalg.qr(rng.standard_normal((6, rank))).Q,
            "B_star": rng.standard_normal((4, rank, 3)),
            **regime,
        }
    )
    start = np.linalg.qr(rng.standard_normal((TRIALS, 6, rank))).Q
    run = simulate(
        problem,
        METHODS[name],
        simulator="data",
        rounds=ROUNDS,
        trials=TRIALS,
        seed=SEED,
        start=start,
    )
    samples = Samples(problem)
    A, B = list(start), [np.zeros((rank, 3))] * TRIALS
    truth = problem.A_star
    best = truth @ np.mean(problem.B_star, axis=0)
    for number in range(1, ROUNDS + 1):
        samples.begin()
        before = A
        A, B, errors = one_round(name, number, A, B, samples)
        for trial in range(TRIALS):
            a, b = A[trial], B[trial]
            q = np.linalg.qr(a).Q
            angle = np.linalg.norm(q - truth @ truth.T @ q, 2)
            loss = np.mean([np.sum((a @ b - truth @ own) ** 2) for own in problem.B_star])
            loss += problem.noise**2 * 3
            for measured, expected in (
                (run.angle, angle),
                (run.excess, np.sum((a @ b - best) ** 2)),
                (run.loss, loss),
                (run.recovery, np.linalg.norm(before[trial] @ b - best)),
                (run.aggregation_error, errors[trial]),
            ):
                assert measured[trial, number] == pytest.approx(expected, rel=1e-10, abs=1e-10)

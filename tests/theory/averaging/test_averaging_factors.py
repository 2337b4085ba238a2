from dataclasses import replace

import numpy as np
import pytest

from federated_lora import FedAvgLoRA, FFALoRA, RoLoRA
from theory.averaging import alternating_exact, interference_identity
from verification.budget import Budget
from verification.verdict import Verdict


def literal(A, B, p):
    d_in, r, d_out = A.shape[1], A.shape[2], B.shape[2]
    out = np.zeros((d_in, d_out))
    for i in range(d_in):
        for j in range(d_out):
            for k in range(r):
                a, b = A[:, i, k], B[:, k, j]
                out[i, j] += np.sum(p * a * b) - np.sum(p * a) * np.sum(p * b)
    return out


def test_interference_is_the_literal_covariance():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((4, 5, 2)), rng.standard_normal((4, 2, 3))
    p = np.array([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(
        interference_identity.interference(list(A), list(B), list(p)), literal(A, B, p), atol=1e-14
    )


def test_an_average_that_uses_the_first_client_only_is_noticed(monkeypatch):
    """The misspelt variable of a public implementation."""

    class FirstOnly(RoLoRA):
        def combine(self, server, replies, round):
            first = np.eye(len(replies.weights))[0]
            return super().combine(server, replace(replies, weights=first), round)

    monkeypatch.setattr(alternating_exact, "RoLoRA", FirstOnly)
    assert alternating_exact.check(Budget()).verdict is Verdict.REFUTED


def test_rounds_do_not_depend_on_the_order_of_methods():
    one = alternating_exact._federated_rounds(FedAvgLoRA(), Budget().rng("alternating-exact"))
    alternating_exact._federated_rounds(FFALoRA(), Budget().rng("alternating-exact"))
    two = alternating_exact._federated_rounds(FedAvgLoRA(), Budget().rng("alternating-exact"))
    assert one == two


def test_the_logged_error_is_the_literal_one():
    for method in (FedAvgLoRA(), RoLoRA(), FFALoRA()):
        for record in alternating_exact._federated_rounds(method, np.random.default_rng(3)):
            assert record["logged"] == pytest.approx(record["error"], rel=1e-9, abs=1e-13)


@pytest.mark.parametrize(
    "late",
    [
        lambda r: r > 100,
        lambda r: r >= 100,
        lambda r: not r < 100,
        lambda r: not r <= 100,
        lambda r: r == 100,
        lambda r: r != 1,
        lambda r: r % 3 == 0,
        lambda r: [False, False, False, True][r],
        lambda r: {1: False, 2: False}.get(r, True),
        lambda r: r // 100,
        lambda r: str(r + 0) == "100",
        lambda r: r and False,
    ],
)
def test_a_schedule_that_is_not_one_of_parity_is_no_proof(late):
    class LateB(RoLoRA):
        def trainable(self, round):
            return super().trainable(1 if late(round) else round)

    step = alternating_exact._trains_one(LateB())
    assert not step.holds
    assert "more of a round than its parity" in step.certificate

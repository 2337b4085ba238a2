"""Momentum on A and the preconditioned a-step, at the rates of theory-2.md A5, and what they refuse.

Population limit, clients of equal mean target W̄ = U diag(σ) Vᵀ of rank r, exact b-steps: A's rounds of the
plain rule contract by (c² − 1)/(c² + 1) at best, c = σ_1/σ_r.
"""

import numpy as np
import pytest

from federated_lora import Adapter, ClientFactors, aggregate, method_named
from linear_model.experiment import Experiment
from llm_validation.config import Config
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment
from tests.support.killed_runs import StopError, stopping

C = 3.0
SIGMA = np.array([C, 2.0, 1.0])
RATE, HEAVY = (C**2 - 1) / (C**2 + 1), (C - 1) / (C + 1)


def errors(name, eta, rounds, clients=3, scale=1.0):
    """‖(I − UUᵀ)A‖ after every round of A."""
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((size, 3))).Q for size in (9, 7))
    apart = rng.standard_normal((clients, 9, 7))
    targets = U * SIGMA @ V.T + apart - apart.mean(axis=0)
    # Near U, without a component of its own in it: the linear regime.
    aside = rng.standard_normal((9, 3))
    A = U + 1e-6 * (aside - U @ (U.T @ aside))
    server, method, memory, found = (
        Adapter(A, np.zeros((3, 7)), scale),
        method_named(name),
        None,
        [],
    )
    for t in range(1, 2 * rounds + 1):
        A, B = server.A, server.B
        if t % 2:
            sent = ClientFactors(B=np.stack([np.linalg.lstsq(scale * A, W)[0] for W in targets]))
        else:
            by_A = np.stack([2 * scale * (scale * A @ B - W) @ B.T for W in targets])
            shape = method.preconditioner(server, t)
            sent = ClientFactors(A=A - eta * (by_A if shape is None else by_A @ shape))
        made = aggregate(method, server, sent, None, t, memory)
        server, memory = made.adapter, made.memory
        if t % 2 == 0:
            found.append(np.linalg.norm(server.A - U @ (U.T @ server.A)))
    return np.array(found)


def rate(found, last=40):
    return (found[-1] / found[-1 - last]) ** (1.0 / last)


def test_heavy_ball_takes_the_root_of_the_condition_number():
    plain = errors("rolora", 1.0 / (C**2 + 1), 60)
    assert rate(plain) == pytest.approx(RATE, rel=1e-3)
    heavy = errors(f"rolora-momentum:{HEAVY**2}", 2.0 / (C + 1) ** 2, 41, clients=2)
    # Critical damping: t·ρᵗ, so the rate measured over t rounds is a little above ρ.
    assert HEAVY < rate(heavy[:31], 20) < 1.06 * HEAVY
    # The control: the same step without the momentum is far from that.
    assert rate(errors("rolora", 2.0 / (C + 1) ** 2, 60)) > 1.4 * HEAVY


@pytest.mark.parametrize("scale", [1.0, 0.25, -2.0])
def test_the_preconditioned_step_does_not_feel_the_conditioning(scale):
    assert errors("rolora-precond:0", 0.5, 1, scale=scale)[0] < 1e-11  # one round is enough
    for eta in (0.1, 0.4):
        found = errors("rolora-precond:0", eta, 6, scale=scale)
        assert rate(found, 4) == pytest.approx(abs(1 - 2 * eta), rel=1e-4)


def test_no_share_and_no_movement_are_the_plain_rule():
    plain = errors("rolora", 0.05, 9)
    np.testing.assert_array_equal(errors("rolora-momentum:0", 0.05, 9), plain)
    assert not np.array_equal(errors("rolora-momentum:0.1", 0.05, 9), plain)
    at_zero = Adapter(np.eye(3), np.zeros((3, 3)))
    assert method_named("rolora-precond").preconditioner(at_zero, 1) is None
    assert np.isfinite(method_named("rolora-precond").preconditioner(at_zero, 2)).all()


def test_what_is_remembered_survives_a_stop(tmp_path):
    config = Configuration(
        method="rolora-momentum:0.9", rounds=6, hidden=20, rank=3, probe=0, participation=0.6
    )
    whole = experiment.run(config, load())
    with pytest.raises(StopError):
        experiment.run(config, load(), checkpoints=tmp_path, every=1, progress=stopping(3))
    again = experiment.run(config, load(), checkpoints=tmp_path)
    assert again.rows == whole.rows
    assert experiment.weights_bytes(again) == experiment.weights_bytes(whole)
    linear = Experiment(method="rolora-momentum:0.9", d=6, kappa=0.2, trials=2, rounds=8)
    assert not np.array_equal(linear.run().loss, linear.changed(method="rolora").run().loss)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: method_named("rolora-momentum:1"),
            "'rolora-momentum:1' must be a finite number of at least 0 and below 1",
        ),
        (
            lambda: method_named("rolora-precond:x"),
            "'rolora-precond:x' must be a finite number of at least 0",
        ),
        (
            lambda: method_named("lora-fair:inf"),
            "'lora-fair:inf' must be a finite number of at least 0",
        ),
        (
            lambda: Configuration(method="rolora-precond", optimiser="adam"),
            "preconditions gradients",
        ),
        (lambda: Config(model="m", task="sst2", method="rolora-precond"), "but optimiser = sgd"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()

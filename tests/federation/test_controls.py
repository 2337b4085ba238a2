"""Control variates: their fixed points, what is sent for them, what they refuse, and stopped runs."""

import numpy as np
import pytest

from federation.controls import Controls
from linear_model import LocalSteps, Problem, simulate
from llm_validation.config import Config
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment
from nonlinear_model.training.federation import Federation

K = 10


def final_loss(name, steps, rounds):
    """Of four clients with samples and targets of their own, few of them, that are kept."""
    rng = np.random.default_rng(1)
    problem = Problem(
        d=6, rank=2, clients=4, samples=9, data="fixed", B_star=rng.standard_normal((4, 2, 3))
    )
    start = np.linalg.qr(rng.standard_normal((1, 6, 2))).Q
    method = LocalSteps(name, eta=0.03, local_steps=steps)
    run = simulate(
        problem, method, simulator="data", rounds=rounds, trials=1, seed=3, start=start
    )  # fmt: skip
    return run.loss[0, -1]


@pytest.mark.fixed_seed  # which fixed point a start leads to is not what is tested
def test_local_steps_no_longer_move_the_fixed_point():
    """K steps end where one step a round does; without controls they end elsewhere (theory-2.md E2)."""
    one = final_loss("rolora", 1, 8000)
    assert final_loss("rolora-cv", K, 800) == pytest.approx(one, rel=1e-9)
    assert abs(final_loss("rolora", K, 800) / one - 1.0) > 1e-4


def test_corrections_sum_to_nothing_and_are_mean_gradients():
    rng = np.random.default_rng(0)
    held = {"A": rng.standard_normal((2, 5, 3))}
    controls = Controls.nothing(held, 4)
    p = np.array([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
    for who in ([[0, 1, 2, 3]] * 2, [[0, 2], [1, 3]], [[1, 2], [0, 2]]):
        people = np.array(who)
        gradients = rng.standard_normal((2, people.shape[1], 5, 3))
        # Two steps of 0.1 along g − c_i + c.
        moved = 0.2 * (gradients + controls.corrections(people, ["A"])["A"])
        controls = controls.after(people, {"A": moved}, 0.2, p)
        rows = np.arange(2)[:, None]
        np.testing.assert_allclose(controls.own["A"][rows, people], gradients, atol=1e-12)
        everybody = np.tile(np.arange(4), (2, 1))
        sums = np.einsum("rn,rnij->rij", p, controls.corrections(everybody, ["A"])["A"])
        np.testing.assert_allclose(sums, 0.0, atol=1e-12)
    assert controls.corrections(people, ["B"]) == {}


@pytest.mark.parametrize(("name", "plain"), [("rolora-cv", "rolora"), ("fedavg-cv", "fedavg")])
def test_what_travels(name, plain):
    """With everybody taking part c follows from the broadcasts; else it goes down with its factor."""
    common = {"hidden": 20, "rank": 3, "rounds": 4, "probe": 0, "local_steps": 2}

    def sent(method, **changes):
        row = experiment.run(Configuration(**common | changes, method=method), load()).rows[-1]
        return row["numbers_up"], row["numbers_down"]

    assert sent(name) == sent(plain)
    up, down = sent(plain, participation=0.6)
    cv_up, cv_down = sent(name, participation=0.6)
    assert cv_up == up
    assert cv_down == 2 * down  # as many numbers as the factors, missed ones included


def test_the_first_round_is_the_plain_methods():
    """All control variates start at 0."""
    config = Configuration(hidden=20, rank=3, rounds=3, probe=0, local_steps=3, learning_rate=0.3)
    runs = []
    for name in ("rolora", "rolora-cv"):
        federation = Federation(config.changed(method=name), load())
        runs.append([federation.step() and federation.server.tensors() for _ in range(3)])
    plain, corrected = runs
    for t, same in enumerate((True, True, False)):  # B's first round, A's first, B's second
        assert bool((plain[t]["B"] == corrected[t]["B"]).all()) == same
        assert bool((plain[t]["A"] == corrected[t]["A"]).all())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Configuration(method="rolora-cv", optimiser="adam"),
            "not possible with optimiser = adam",
        ),
        (lambda: Configuration(method="fedavg-cv", optimiser="momentum"), "has control variates"),
        (
            lambda: Config(model="m", task="sst2", method="rolora-cv"),
            "anything but optimiser = sgd",
        ),
        (
            lambda: Config(model="m", task="sst2", method="rolora-cv", optimiser="sgd", clip=1.0),
            "without momentum, clip",
        ),
    ],
)
def test_other_steps_are_refused_before_any_work(make, said):
    with pytest.raises(ValueError, match=said):
        make()

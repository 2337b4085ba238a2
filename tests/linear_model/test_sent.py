"""Numbers sent in the linear laboratory: hand counts, and those of the network for the same method."""

from functools import cache

import numpy as np
import pytest

from federated_lora import method_names
from federation.participants import participants
from linear_model import Problem, method_named, simulate
from linear_model.simulators import base
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment
from verification.streams import generator

D, N, R, P, ROUNDS = 64, 3, 3, 20, 4
A, B = D * R, R * P
RANKS = (1, 3, 2)
TURNS = (B, A, B, A)  # RoLoRA's
BOTH = (A + B,) * ROUNDS

HAND = {
    # Of one client and round: up, down.
    "algorithm2": (BOTH, BOTH),
    "algorithm2-pooled": ((A + B + R * R,) * ROUNDS, BOTH),  # theory-2.md E1: r² more
    "ffa-ls": ((B,) * ROUNDS, (B,) * ROUNDS),
    "ffa-pooled": ((B + R * R,) * ROUNDS, (B,) * ROUNDS),
    "rolora": (TURNS, TURNS),
    "rolora-cv": (TURNS, TURNS),
    "fedavg": (BOTH, BOTH),
    "fedavg-cv": (BOTH, BOTH),
    "ffa": ((B,) * ROUNDS, (B,) * ROUNDS),
    "fedsa": ((A,) * ROUNDS, (A,) * ROUNDS),  # B never leaves its client
    "fedsvd": ((B,) * ROUNDS, BOTH),
    "flora": (BOTH, (min(N * R * (D + P), D * P),) * ROUNDS),
    "fedex": (BOTH, (A + B + min((N + 1) * R * (D + P), D * P),) * ROUNDS),
}


def linear(name, simulator="gram", rounds=ROUNDS, trials=2, **options):
    of_problem = {
        key: options.pop(key) for key in ("participants", "rank", "B_star") if key in options
    }
    problem = Problem(
        **{"d": D, "clients": N, "samples": 40, "rank": R, "B_star": np.eye(R, P)} | of_problem
    )
    if not name.startswith("ffa-") or name not in HAND:
        options.setdefault("eta", 1e-3)
    return simulate(
        problem, method_named(name, rounds, **options), simulator=simulator, rounds=rounds, trials=trials
    )  # fmt: skip


@cache
def network(name, rounds=ROUNDS, **options):
    small = {"hidden": P, "rank": R, "probe": 0, "local_steps": 1, "learning_rate": 1e-3}
    config = Configuration(
        **small, clients=N, method=name, rounds=rounds, evaluate_every=1, **options
    )
    rows = experiment.run(config, load()).rows
    return [[row[f"numbers_{way}"] for row in rows] for way in ("up", "down")]


@pytest.mark.parametrize("simulator", ["data", "gram", "population"])
@pytest.mark.parametrize("name", HAND)
def test_every_simulator_counts_as_by_hand(name, simulator):
    run = linear(name, simulator)
    for counts, each in zip((run.numbers_up, run.numbers_down), HAND[name], strict=True):
        assert counts.dtype == np.int64
        np.testing.assert_array_equal(counts, np.tile(np.cumsum((0, *each)) * N, (2, 1)))


@pytest.mark.parametrize("name", method_names())
def test_the_count_is_the_networks(name):
    run, rounds = linear(name, rounds=10, trials=1), 10
    up, down = network(name, rounds)
    assert (run.numbers_up[0].tolist(), run.numbers_down[0].tolist()) == (up, down)
    assert 0 < up[1] <= up[-1]


@pytest.mark.parametrize(
    ("name", "ranks"),
    [
        ("fedavg", ()),
        ("rolora", ()),
        ("rolora-cv", ()),
        ("fedex", ()),
        ("flora", RANKS),
        ("flexlora", RANKS),
    ],
)
def test_so_it_is_for_the_same_participants(name, ranks, monkeypatch):
    rounds = iter(range(1, ROUNDS + 1))

    def same(problem, _rng, trials):
        rng = generator(0, "nonlinear", "participants", next(rounds))
        return np.tile(participants(rng, problem.clients, 0.67), (trials, 1))

    monkeypatch.setattr(base, "drawn", same)
    options = {"ranks": ranks} if ranks else {}
    # A first B that is not zero, as the network's: FLoRA's first round changes it.
    run = linear(name, trials=2, participants=2, B=np.ones((R, P)), **options)
    up, down = network(name, participation=0.67, ranks=ranks)
    for trial in range(2):
        assert run.numbers_up[trial].tolist() == up
        assert run.numbers_down[trial].tolist() == down
    assert down[-1] > up[-1]  # what they missed, and what corrects them


def test_trials_with_participants_of_their_own_are_counted_apart():
    """FLoRA brings back as many columns as the one client of the round has."""
    run = linear("flora", trials=6, participants=1, ranks=RANKS)
    steps = np.diff(run.numbers_up, axis=1)
    assert {*steps.ravel().tolist()} == {rank * (D + P) for rank in RANKS}
    np.testing.assert_array_equal(run.numbers_down[:, 1], steps[:, 0])


def test_the_chain_counts_for_the_participants_that_the_samples_would_have_had():
    for options in ({}, {"participants": 2}):
        runs = [
            linear("algorithm2-pooled", simulator, rank=1, B_star=np.ones(1), **options)
            for simulator in ("gram", "chain")
        ]
        for way in ("numbers_up", "numbers_down"):
            np.testing.assert_array_equal(*(getattr(run, way) for run in runs))
    assert (runs[0].numbers_down > runs[0].numbers_up).any()

"""What `simulate` promises whatever the simulator: errors before work, streams, memory, precision."""

import tracemalloc
from functools import partial

import numpy as np
import pytest

from linear_model import (
    Algorithm2,
    FFALeastSquares,
    LocalSteps,
    Problem,
    method_named,
    simulate,
    simulator_named,
)
from linear_model.simulators import base
from theory.population import population_map

METHOD = Algorithm2(kappa=0.5)
SIMULATORS = ("data", "gram", "chain", "population")
FIELDS = ("angle", "excess", "recovery", "loss", "aggregation_error")


def problem(**changes) -> Problem:
    return Problem(**{"d": 6, "clients": 3, "samples": 9, **changes})


OF_A_PROBLEM = [
    ({"d": 1}, "d must be an integer between 2 and 100,000,000, got 1"),
    ({"rank": 7}, "rank must be at most d = 6, got 7"),
    ({"samples": 1, "rank": 2}, "samples must be at least the rank 2"),
    ({"clients": 0}, "clients must be an integer between 1 and 100,000,000"),
    ({"A_star": np.ones(6)}, "A_star must have orthonormal columns"),
    ({"A_star": "x"}, "A_star must be an array of real numbers"),
    ({"B_star": np.array([np.nan])}, "B_star must be finite"),
    ({"B_star": np.ones((2, 1, 1))}, "B_star must have shape"),
    ({"B_star": np.ones((1, 0))}, "B_star must have shape"),
    ({"B_star": np.ones(2) * 1j}, "B_star must be an array of real numbers"),
    ({"participants": 4}, "participants must lie between 1 and clients = 3"),
    ({"participants": 2.5}, "participants must lie between 1 and clients = 3"),
    ({"participants": True}, "participants must lie between 1 and clients = 3"),
    ({"noise": -1.0}, "noise must be finite and non-negative"),
    ({"noise": "x"}, "noise must be finite and non-negative, got 'x'"),
    ({"data": "frsh"}, "data must be one of fresh, fixed.*mean 'fresh'"),
    ({"batches": "shard"}, "batches must be one of .*mean 'shared'"),
]
OF_A_RUN = [
    ({"method": Algorithm2(eta=0.0)}, "eta must be finite and pos"),
    ({"method": Algorithm2(eta=np.nan)}, "eta must be finite"),
    ({"method": Algorithm2()}, "exactly one of eta and kappa"),
    ({"method": Algorithm2(1.0, 1.0)}, "exactly one of eta and"),
    ({"method": LocalSteps(eta=1.0, B=np.ones((2, 2)))}, "B must have shape"),
    ({"method": "algoritm2"}, "did you mean 'algorithm2'"),
    ({"rounds": 0}, "rounds must be an integer of at least 1"),
    ({"trials": 0}, "trials must be an integer"),
    ({"seed": -1}, "seed must be a non-negative"),
    ({"start": 1.0}, r"must lie in \(0, 1\)"),
    ({"start": 0.5, "rank": 2}, "needs rank 1"),
    ({"start": "rnd"}, "start must be 'random'"),
    ({"start": np.ones(6)}, "orthonormal columns"),
    ({"start": np.eye(5, 1)}, "start must have sh"),
    ({"start": np.full((6, 1), np.nan)}, "finite"),
    ({"simulator": "garm"}, "did you mean 'gram'"),
    ({"memory_bytes": 0}, "memory_bytes must be"),
    ({"B_star": np.zeros(2)}, "kappa = .* needs a mean of B_star that is not zero"),
]
OF_A_METHOD = [
    (("ffa-ls", {"eta": 1.0}), "has no option 'eta'"),
    (("rolorra", {}), "did you mean 'rolora'"),
    (("rolora", {"local_steps": 0}), "local_steps must be an integer"),
]


def one_round(rank=1, B_star=None, method=METHOD, **options):
    return simulate(problem(rank=rank, B_star=B_star), method, **{"rounds": 1, **options})


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        *((partial(problem, **wrong), said) for wrong, said in OF_A_PROBLEM),
        *((partial(one_round, **wrong), said) for wrong, said in OF_A_RUN),
        *((partial(method_named, name, **wrong), said) for (name, wrong), said in OF_A_METHOD),
    ],
)
def test_bad_input_is_named_in_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("name", ["algorithm2", "algorithm2-pooled", "ffa-ls", "ffa-pooled"])
def test_least_squares_needs_more_than_rank_plus_one_samples(name, simulator, rank):
    method = method_named(name, **({"kappa": 0.5} if name.startswith("algorithm2") else {}))
    # One client, so that the pool is its samples.
    few = problem(clients=1, rank=rank, samples=rank + 1)
    with pytest.raises(ValueError, match=rf"samples must exceed rank \+ 1 = {rank + 1}"):
        simulate(few, method, simulator=simulator, rounds=1)
    enough = problem(clients=1, rank=rank, samples=rank + 2)
    if simulator != "chain" or rank == 1:
        assert simulate(enough, method, simulator=simulator, rounds=1).rounds == 1


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({"rank": 2}, METHOD),
        ({"noise": 0.1}, METHOD),
        ({"data": "fixed"}, METHOD),
        ({"B_star": np.arange(1.0, 4.0).reshape(3, 1, 1)}, METHOD),
        ({}, LocalSteps("fedavg", eta=0.1)),
    ],
)
def test_chain_names_the_simulator_that_can(changes, method):
    with pytest.raises(ValueError, match="use simulator 'gram'"):
        simulate(problem(**changes), method, simulator="chain", rounds=1)
    assert simulate(problem(**changes), method, simulator="gram", rounds=1).rounds == 1


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_too_little_memory_is_said_before_any_work(simulator):
    options = {"rounds": 3, "memory_bytes": 100, "progress": lambda *done: pytest.fail("began")}
    with pytest.raises(ValueError, match=r"memory needed is \d+ bytes but 100 bytes are available"):
        simulate(problem(), METHOD, simulator=simulator, **options)


def test_a_request_beyond_any_machine_is_refused_at_once():
    huge = Problem(d=1000, clients=10_000, samples=10**6)
    for simulator, advice in (("data", "use simulator 'gram'"), ("gram", "simulator 'chain'")):
        with pytest.raises(ValueError, match=advice):
            simulate(huge, METHOD, simulator=simulator, rounds=1)
    assert simulate(huge, METHOD, simulator="chain", rounds=1).angle.shape == (1, 2)


@pytest.mark.parametrize(
    "method", ["algorithm2", "ffa-ls", "ffa-pooled", "fedavg", "ffa", "rolora"]
)
@pytest.mark.parametrize(
    "shape",
    [
        {"d": 40, "clients": 10, "samples": 80},
        {"d": 30, "clients": 12, "samples": 60, "rank": 2, "noise": 0.1, "data": "fixed"},
        {"d": 8, "clients": 4, "samples": 30, "noise": 0.1, "participants": 2},
        {"d": 60, "clients": 9, "samples": 10, "data": "fixed", "participants": 8},
        {"d": 60, "clients": 9, "samples": 31, "data": "fixed", "participants": 8},
    ],
)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_memory_stays_within_what_was_asked_for(simulator, shape, method):
    many = Problem(**shape)
    options = {} if method in ("ffa-ls", "ffa-pooled", "algorithm2") else {"local_steps": 2}
    if not method.startswith("ffa-"):
        options["eta"] = 0.05
    chosen = method_named(method, **options)
    way = simulator_named(simulator)
    try:
        base.refuse(way, many, chosen)
    except ValueError:
        return
    arguments = {"simulator": simulator, "rounds": 2, "trials": 60}
    with pytest.raises(ValueError, match="memory needed is") as caught:
        simulate(many, chosen, memory_bytes=1, **arguments)
    needed = int(str(caught.value).split("memory needed is ")[1].split()[0])
    tracemalloc.start()
    simulate(many, chosen, memory_bytes=needed, **arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= needed + 200_000  # the interpreter's own objects


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_blocks_of_trials_do_not_change_a_result(simulator, monkeypatch):
    monkeypatch.setattr(base, "LARGEST_BLOCK", 4)
    options = {"simulator": simulator, "rounds": 3, "start": "random", "seed": 3}
    whole = simulate(problem(), METHOD, trials=12, **options)
    part = simulate(problem(), METHOD, trials=8, **options)
    tight = simulate(problem(), METHOD, trials=12, memory_bytes=10**6, **options)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(whole, field), getattr(tight, field))
        np.testing.assert_array_equal(getattr(whole, field)[:8], getattr(part, field))


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_the_seed_and_the_axes_name_the_streams(simulator):
    options = {"simulator": simulator, "rounds": 2, "trials": 5}
    first = simulate(problem(), METHOD, seed=1, axes=("cell", 2), **options)
    same = simulate(problem(), METHOD, seed=1, axes=("cell", 2), **options)
    np.testing.assert_array_equal(first.angle, same.angle)
    for other in ({"seed": 2, "axes": ("cell", 2)}, {"seed": 1, "axes": ("cell", 3)}):
        assert not np.any(first.angle == simulate(problem(), METHOD, **other, **options).angle)


def test_methods_and_clients_counts_share_a_start():
    one = simulate(problem(), METHOD, rounds=1, trials=5)
    other = simulate(problem(), FFALeastSquares(), rounds=1, trials=5)
    np.testing.assert_array_equal(one.angle[:, 0], other.angle[:, 0])


def test_progress_counts_trial_rounds():
    seen: list[tuple[int, int]] = []
    simulate(problem(), METHOD, rounds=3, trials=5, progress=lambda *done: seen.append(done))
    assert seen == [(5, 15), (10, 15), (15, 15)]


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("delta", [0.3, 1e-6, 1e-12])
def test_the_start_has_the_angle_asked_for(simulator, delta):
    run = simulate(problem(), METHOD, simulator=simulator, rounds=1, trials=50, start=delta)
    np.testing.assert_allclose(run.angle[:, 0], delta, rtol=1e-15, atol=2e-16)
    np.testing.assert_array_equal(run.excess[:, 0], 1.0)
    assert np.isnan(run.recovery[:, 0]).all()


def test_a_small_angle_keeps_its_digits_in_every_simulator():
    # The round is linear at small angles: from 1e-12 it must do what it does from 1e-7. Vectors carry
    # rounding errors of some 1e-16, absolutely; the chain and the rank-1 limit carry none.
    for simulator in SIMULATORS:
        for batches in ("separate", "shared"):
            options = {"simulator": simulator, "rounds": 5, "trials": 20}
            small, tiny = (
                simulate(problem(batches=batches), METHOD, start=delta, **options).angle / delta
                for delta in (1e-7, 1e-12)
            )
            exact = simulator in ("chain", "population")
            np.testing.assert_allclose(tiny, small, rtol=1e-5, atol=0.0 if exact else 3e-16 / 1e-12)


def test_the_limit_is_the_one_line_map_down_to_any_angle():
    for kappa in (0.5, 1.0, 2.5):
        options = {"simulator": "population", "rounds": 30, "start": 0.9}
        run = simulate(problem(), Algorithm2(kappa=kappa), **options)
        tangent = 0.9 / np.sqrt(1 - 0.9**2)
        for number in range(1, 31):
            tangent = population_map.next_tangent(tangent, kappa)
            sine = tangent / np.hypot(1.0, tangent)
            # At κ = 1 the local factor 1 − κc² itself cancels to second order.
            assert run.angle[0, number] == pytest.approx(sine, rel=1e-9, abs=1e-15)


def test_chain_in_the_limit_of_many_samples_is_the_map():
    huge = Problem(d=3, clients=2, samples=10**15)
    run = simulate(huge, METHOD, simulator="chain", rounds=20, start=0.9)
    limit = simulate(huge, METHOD, simulator="population", rounds=20, start=0.9)
    for field in FIELDS[:3]:
        one, other = (getattr(result, field)[:, 1:] for result in (run, limit))
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_limit_does_not_feel_the_basis_or_the_width(rank):
    rng = np.random.default_rng(6)
    B = rng.standard_normal((3, rank, 4))
    method = LocalSteps("fedavg", eta=0.02, local_steps=3)
    for d in (rank + 1, 9):
        start, turn = (np.linalg.qr(rng.standard_normal((d, k))).Q for k in (rank, d))
        plain = Problem(d=d, clients=3, rank=rank, B_star=B)
        turned = Problem(d=d, clients=3, rank=rank, B_star=B, A_star=turn[:, :rank])
        runs = [
            simulate(p, method, simulator="population", rounds=5, start=s)
            for p, s in ((plain, start), (turned, turn @ start))
        ]
        for field in FIELDS:
            np.testing.assert_allclose(*(getattr(run, field) for run in runs), rtol=0, atol=1e-12)


def test_divergence_names_round_and_client():
    with pytest.raises(ValueError, match=r"round \d+ with step size 50: client \d sent a NaN"):
        simulate(problem(), LocalSteps("fedavg", eta=50.0, local_steps=5), rounds=50)

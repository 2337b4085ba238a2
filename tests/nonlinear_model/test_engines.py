"""The stacked engine against the literal loop over clients."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from federated_lora import method_names
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import all_at_once, one_by_one
from nonlinear_model.training.federation import Federation
from nonlinear_model.training.record import Replica

METHODS = ("fedavg", "ffa", "rolora", "a-heavy", "rolora-then-ffa:50", "ffa-then-rolora:50")
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


@pytest.fixture(scope="module")
def digits():
    return load()


def run(data, config, engine, rounds=4, replicas=None):
    federation = Federation(config, data, replicas, engine=engine)
    for _ in range(rounds):
        federation.step()
    return federation


def assert_same(first, second, tolerance):
    for name, value in first.server.tensors().items():
        other = second.server.tensors()[name]
        gap = float((value - other).abs().max() / other.abs().max())
        assert gap < tolerance, (name, gap)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("method", METHODS)
def test_stacked_equals_the_loop(digits, method, optimiser, dtype):
    config = Configuration(
        method=method, optimiser=optimiser, dtype=dtype, rounds=4, local_steps=3, probe=0,
        learning_rate=0.02 if optimiser == "adam" else 0.1, evaluate_every=4,
    )  # fmt: skip
    ours, literal = run(digits, config, all_at_once.train), run(digits, config, one_by_one.train)
    if (optimiser, dtype) == ("adam", "float32"):
        assert_same_but_for_lone_entries(ours, literal, TOLERANCE[dtype])
    else:
        assert_same(ours, literal, TOLERANCE[dtype])


# Adam in float32 has no 1e-5 for every single entry, in any two implementations. Its first step after a
# reset moves an entry by rate · g/(|g| + ε), ε = 1e-8. Batched and single products sum in another order, so
# their g, typically 2e-3 to 1e-2, differ by 2e-10 to 5e-9. That is nothing unless an entry's terms cancel:
# one entry seen here has g = −3.3e-9 on one of the five clients, so the sign and size of its whole move, up
# to the learning rate 0.02, hang on the rounding. Over 12 seeds × 6 methods, 5 runs had one or two such
# entries beyond 1e-5 of the tensor's largest (8e-5 at most), of 1024 in A and 3200 in B; neither engine was
# the nearer to float64; ||difference|| / ||tensor|| stayed at 5e-6 or below in all. Hence the bounds here,
# and the next test, in which ε is far above the rounding of g and every entry must keep to 1e-5.
# Its seeds are two of the many without a ReLU on the edge: in 1 of 72 such runs (FedAvg, seed 8) a unit's
# input was −5e-8 in one engine and +3e-8 in the other, which switches a whole term of the gradient on or off
# and leaves 4e-4 behind, whatever the optimiser.
def assert_same_but_for_lone_entries(first, second, tolerance):
    """Each tensor as a whole to `tolerance`, and all but one entry in a thousand by themselves."""
    for name, value in first.server.tensors().items():
        other = second.server.tensors()[name]
        gaps = (value - other).abs().flatten() / other.abs().max()
        assert float((value - other).norm() / other.norm()) < tolerance, name
        assert int((gaps >= tolerance).sum()) <= gaps.numel() / 1000, (name, float(gaps.max()))


@pytest.mark.parametrize("seed", [0, 5])  # seed 5 has lone entries beyond 1e-5 at ε = 1e-8
@pytest.mark.parametrize("method", METHODS)
def test_adam_in_float32_keeps_every_entry_where_epsilon_exceeds_the_rounding(digits, method, seed):
    config = Configuration(
        method=method, optimiser="adam", dtype="float32", rounds=4, local_steps=3, probe=0,
        learning_rate=0.02, evaluate_every=4, seed=seed,
    )  # fmt: skip
    sides = []
    for engine in (all_at_once.train, one_by_one.train):
        federation = Federation(config, digits, engine=engine)
        federation.optimiser = replace(federation.optimiser, epsilon=1e-4)
        for _ in range(4):
            federation.step()
        sides.append(federation)
    assert_same(*sides, TOLERANCE["float32"])


@pytest.mark.parametrize(
    "changes",
    [
        {"head": "trained"},
        {"variant": "base", "b_start": "zero", "scale": 2.0},
        {"variant": "base", "head": "trained"},
        {"local_epochs": 2, "batch_size": 64, "split": "dirichlet", "alpha": 0.3},
        {"participants": 2, "clients": 6, "split": "iid", "proportions": (1, 2, 3, 4, 5, 6.0)},
        {"scale": 0.5, "local_steps": 30},
    ],
)
@pytest.mark.parametrize("method", ["fedavg", "rolora"])
def test_stacked_equals_the_loop_under_every_policy(digits, method, changes):
    common = {"method": method, "dtype": "float64", "rounds": 4, "local_steps": 3, "probe": 0}
    config = Configuration(**{**common, **changes})
    assert_same(
        run(digits, config, all_at_once.train), run(digits, config, one_by_one.train), 1e-10
    )


@pytest.mark.parametrize("optimiser", ["momentum", "adam"])
def test_kept_state_equals_torch_optimisers_that_live_on(digits, optimiser):
    config = Configuration(
        method="rolora", optimiser=optimiser, optimiser_state="kept", dtype="float64", rounds=6,
        local_steps=3, learning_rate=0.01, probe=0,
    )  # fmt: skip
    held: dict = {}

    def engine(server, examples, work, rule, states):
        return one_by_one.train(server, examples, work, rule, held)

    literal = Federation(config, digits, engine=engine)
    literal._keep_states = lambda people, returned: None  # the loop keeps torch's own state dicts
    for _ in range(6):
        literal.step()
    assert_same(run(digits, config, all_at_once.train, 6), literal, 1e-10)
    fresh = Configuration(**{**config.as_dict(), "optimiser_state": "reset"})
    with pytest.raises(AssertionError):
        assert_same(run(digits, fresh, all_at_once.train, 6), literal, 1e-6)


def test_replicas_side_by_side_equal_separate_runs(digits):
    config = Configuration(
        method="fedavg", dtype="float64", rounds=3, local_steps=4, equal_sizes=True, probe=8
    )
    replicas = [Replica(seed, rate) for seed in (0, 3) for rate in (0.05, 0.2)]
    together = run(digits, config, all_at_once.train, 3, replicas)
    for place, replica in enumerate(replicas):
        alone = run(digits, config, all_at_once.train, 3, [replica])
        for name, value in together.server.tensors().items():
            gap = (value[place] - alone.server.tensors()[name][0]).abs().max()
            assert float(gap) < 1e-12, name
        ours = together.rows[place :: len(replicas)]
        for row, other in zip(ours, alone.rows, strict=True):
            for column, value in row.items():
                if isinstance(value, float):
                    # 1e-7: an angle of 0 is a norm of rounding errors of different products.
                    assert value == pytest.approx(other[column], rel=1e-9, abs=1e-7), column


def test_unequal_sizes_weight_each_replica_by_its_own_clients(digits):
    config = Configuration(
        method="fedavg", dtype="float64", split="dirichlet", rounds=2, local_steps=2, repeats=2, probe=0
    )  # fmt: skip
    together = run(digits, config, all_at_once.train, 2)
    alone = run(digits, config, all_at_once.train, 2, [Replica(1, config.learning_rate)])
    assert float((together.server.A[1] - alone.server.A[0]).abs().max()) < 1e-12
    uniform = Configuration(**{**config.as_dict(), "weighting": "uniform"})
    other = run(digits, uniform, all_at_once.train, 2)
    assert float((together.server.A - other.server.A).abs().max()) > 1e-6


def test_frozen_factors_keep_their_bits_and_their_gradient_is_never_computed(digits, monkeypatch):
    config = Configuration(method="rolora", rounds=4, local_steps=2, probe=0)
    asked = []
    original = all_at_once.gradients

    def spy(*args, **options):
        asked.append((options["want_A"], options["want_B"]))
        return original(*args, **options)

    monkeypatch.setattr(all_at_once, "gradients", spy)
    federation = Federation(config, digits)
    for t in range(1, 5):
        A, B = federation.server.A, federation.server.B
        asked.clear()
        federation.step()
        odd = t % 2 == 1
        assert set(asked) == {(not odd, odd)}
        assert torch.equal(federation.server.A, A) == odd
        assert torch.equal(federation.server.B, B) == (not odd)


def test_first_round_of_every_method_moves_the_product(digits):
    for method in method_names():
        config = Configuration(
            method=method, rounds=10, local_steps=1, probe=0, variant="base", b_start="zero"
        )
        federation = run(digits, config, all_at_once.train, 1)
        assert float((federation.server.A @ federation.server.B).abs().max()) > 0.0, method


def test_a_start_that_cannot_move_is_refused(digits):
    with pytest.raises(ValueError, match="every gradient zero for ever"):
        Configuration(b_start="zero")


def test_clients_order_does_not_matter(digits, monkeypatch):
    config = Configuration(method="fedavg", dtype="float64", rounds=2, local_steps=3, probe=0)
    plain = run(digits, config, all_at_once.train, 2)
    rule = type(config.split_rule())
    divide = rule.divide

    monkeypatch.setattr(rule, "divide", lambda self, y, rng: divide(self, y, rng)[::-1])
    from nonlinear_model.training import sampling

    draw = sampling.draw
    last = config.clients - 1
    monkeypatch.setattr(
        sampling, "draw", lambda seed, t, client, *rest: draw(seed, t, last - client, *rest)
    )
    turned = run(digits, config, all_at_once.train, 2)
    assert np.array_equal(plain.parts[0][0], turned.parts[0][-1])
    assert_same(plain, turned, 1e-12)

"""The stacked engine against the literal loop over clients."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nonlinear_model.configuration import Configuration
from nonlinear_model.network import gradients
from nonlinear_model.training import all_at_once, one_by_one, sampling
from nonlinear_model.training.federation import Federation
from nonlinear_model.training.record import Replica

EXACT = {"dtype": "float64", "rounds": 4, "local_steps": 3, "probe": 0}
METHODS = ("fedavg", "ffa", "rolora", "a-heavy", "rolora-then-ffa:50", "ffa-then-rolora:50")


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


POLICIES = [
    *({"method": name, "optimiser": rule} for name in METHODS for rule in ("sgd", "momentum")),
    *({"method": name, "optimiser": "adam", "learning_rate": 0.02} for name in METHODS),
    *(
        {"method": method, **changes}
        for method in ("fedavg", "rolora")
        for changes in (
            {"head": "average"},
            {"variant": "base", "b_start": "zero", "scale": 2.0},
            {"variant": "base", "head": "average"},
            {"local_epochs": 2, "batch_size": 64, "split": "dirichlet", "dirichlet_alpha": 0.3},
            {
                "participation": 1 / 3,
                "clients": 6,
                "split": "iid",
                "proportions": (1, 2, 3, 4, 5, 6.0),
            },
            {"scale": 0.5, "local_steps": 30},
        )
    ),
]


@pytest.mark.parametrize("changes", POLICIES, ids=str)
def test_stacked_equals_the_loop(digits, changes):
    config = Configuration(**{**EXACT, **changes})
    assert_same(*(run(digits, config, engine.train) for engine in (all_at_once, one_by_one)), 1e-10)


@pytest.mark.parametrize("engine", [all_at_once.train, one_by_one.train])
@pytest.mark.parametrize("method", ["fedavg", "rolora"])
def test_float32_costs_either_engine_its_rounding_and_no_more(digits, method, engine):
    """By SGD: Adam's first step moves an entry by its gradient over itself, so by its rounding over itself.

    A computed product of matrices is the exact one of factors moved by at most n·u of themselves (Higham
    2002, §3.5), u = 2⁻²⁴ and n the terms of its longest sum, here the 200 hidden units. What such a move
    does is seen in float64, by the worst of five: it also switches more ReLUs than rounding can.
    """
    config = Configuration(method=method, **EXACT)
    exact, chance = run(digits, config, one_by_one.train), np.random.default_rng(4)

    def gap(other):
        pairs = zip(exact.server.tensors().values(), other.server.tensors().values(), strict=True)
        return max(float((a - b).norm() / a.norm()) for a, b in pairs)

    def moved():
        federation = Federation(config, digits)
        for value in federation.server.tensors().values():
            by = config.hidden * 2.0**-24 * chance.standard_normal(value.shape)
            value.mul_(torch.from_numpy(1.0 + by))
        for _ in range(4):
            federation.step()
        return gap(federation)

    bound = max(moved() for _ in range(5))
    single = replace(config, dtype="float32")
    assert gap(run(digits, single, engine)) <= bound < 1e-3
    assert gap(run(digits, replace(single, weighting="uniform"), engine)) > bound


@pytest.mark.parametrize("optimiser", ["momentum", "adam"])
def test_kept_state_equals_torch_optimisers_that_live_on(digits, optimiser):
    rules = {"optimiser": optimiser, "optimiser_state": "keep", "learning_rate": 0.01}
    config = Configuration(**{**EXACT, **rules, "rounds": 6})
    literal = run(digits, config.changed(engine="one-by-one"), None, 6)
    assert_same(run(digits, config, all_at_once.train, 6), literal, 1e-10)
    fresh = config.changed(optimiser_state="reset")
    with pytest.raises(AssertionError):
        assert_same(run(digits, fresh, all_at_once.train, 6), literal, 1e-6)


def test_replicas_side_by_side_equal_separate_runs(digits):
    config = Configuration(**{**EXACT, "method": "fedavg", "equal_sizes": True, "probe": 8})
    replicas = [Replica(seed, rate) for seed in (0, 3) for rate in (0.05, 0.2)]
    together = run(digits, config, all_at_once.train, 3, replicas)
    for place, replica in enumerate(replicas):
        alone = run(digits, config, all_at_once.train, 3, [replica])
        for name, value in together.server.tensors().items():
            gap = (value[place] - alone.server.tensors()[name][0]).abs().max()
            assert float(gap) < 1e-12, name
        ours = together.rows[place :: len(replicas)]
        numbers = [
            [value for row in rows for value in row.values() if isinstance(value, float)]
            for rows in (ours, alone.rows)
        ]
        # 1e-7: an angle of 0 is a norm of rounding errors of different products.
        np.testing.assert_allclose(*numbers, rtol=1e-9, atol=1e-7)


def test_frozen_factors_keep_their_bits_and_their_gradient_is_never_computed(digits, monkeypatch):
    config = Configuration(method="rolora", rounds=4, local_steps=2, probe=0)
    asked = []
    original = gradients

    def spy(x, y, model, scale, want, **options):
        asked.append(want)
        return original(x, y, model, scale, want, **options)

    monkeypatch.setattr(all_at_once, "gradients", spy)
    federation = Federation(config, digits)
    for t in range(1, 5):
        A, B = federation.server.A, federation.server.B
        asked.clear()
        federation.step()
        odd = t % 2 == 1
        assert set(asked) == {frozenset("B" if odd else "A")}
        assert torch.equal(federation.server.A, A) == odd
        assert torch.equal(federation.server.B, B) == (not odd)


def test_clients_order_does_not_matter(digits, monkeypatch):
    config = Configuration(method="fedavg", **EXACT)
    plain = run(digits, config, all_at_once.train, 2)
    deal = Configuration.deal
    monkeypatch.setattr(Configuration, "deal", lambda self, y, rng: deal(self, y, rng)[::-1])
    draw, last = sampling.draw, config.clients - 1
    monkeypatch.setattr(
        sampling, "draw", lambda seed, t, client, *rest: draw(seed, t, last - client, *rest)
    )
    turned = run(digits, config, all_at_once.train, 2)
    assert np.array_equal(plain.parts[0][0], turned.parts[0][-1])
    assert_same(plain, turned, 1e-12)

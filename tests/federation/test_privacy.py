"""Clipping and noise: the law of what is sent, nothing changed without them, and the ε that is told."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from federated_lora import Adapter, ClientFactors, Factor, aggregate, method_named
from federation.privacy import Policy
from linear_model.experiment import Experiment
from llm_validation.config import Config
from llm_validation.training.loop import run as train
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment
from nonlinear_model.training.federation import Federation
from tests.llm_validation.conftest import data_dir, gpt2, llama, roberta, tiny  # noqa: F401
from tests.support.killed_runs import StopError, stopping
from tests.support.llm_bench import opened
from tests.support.rolora_helpers import refused
from verification import discovery
from verification.statistics import mean_estimate
from verification.streams import generator

ALPHA = 1e-6
SMALL = {"hidden": 20, "rank": 3, "rounds": 4, "probe": 0, "local_steps": 2, "batch_size": 8}
stream = partial(generator, 0, "privacy test")


def drawn(library, batch=(), n=3, seed=0):
    """What clients came back with and what they received, of two tensors."""
    rng = np.random.default_rng(seed)
    trained = {name: rng.standard_normal((*batch, n, *s)) for name, s in SHAPES.items()}
    received = {name: rng.standard_normal((*batch, 1, *s)) for name, s in SHAPES.items()}
    make = np.asarray if library == "numpy" else torch.tensor
    return tuple({k: make(v) for k, v in one.items()} for one in (trained, received))


SHAPES = {"A": (5, 2), "B": (2, 7)}
PEOPLE = np.array([4, 0, 2])


def norms(sent, received):
    """Of every client's update, all tensors together."""
    moved = [(np.asarray(sent[k] - received[k])) ** 2 for k in sent]
    return np.sqrt(sum(x.sum(axis=(-2, -1)) for x in moved))


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("batch", [(), (6,)])
def test_clipping_is_exact_and_joint(library, batch):
    trained, received = drawn(library, batch)
    before = norms(trained, received)
    # Between two of them: whether a norm equal to C is within hangs on rounding.
    middle = before.size // 2
    C = float(np.sort(before, axis=None)[middle - 1 : middle + 1].mean())
    people = np.broadcast_to(PEOPLE, (*batch, 3))
    sent = Policy(C).sent(trained, received, people, stream)
    np.testing.assert_allclose(norms(sent, received), np.minimum(before, C), rtol=1e-12)
    for name, value in sent.items():
        moved, was = (np.asarray(x[name] - received[name]) for x in (sent, trained))
        share = np.minimum(1.0, C / before)[..., None, None]
        np.testing.assert_allclose(moved, share * was, atol=1e-12)  # same direction
        inside = before <= C
        assert np.array_equal(np.asarray(value)[inside], np.asarray(trained[name])[inside])


def in_law(noise, deviation):
    """Whether normal numbers may have that deviation: a χ² test at α, which sees 1.6 % at 2·10⁵ of them."""
    square = np.square(noise).sum() / deviation**2
    low, high = stats.chi2.ppf([ALPHA / 2, 1 - ALPHA / 2], noise.size)
    return low < square < high


def test_the_noise_has_the_deviation_it_should_and_is_each_clients_own():
    trained, received = drawn("numpy", (3000,))
    people = np.broadcast_to(PEOPLE, (3000, 3))
    C, sigma = 1e9, 3e-10
    sent = Policy(C, sigma).sent(trained, received, people, stream)
    noise = {name: sent[name] - trained[name] for name in sent}
    everything = np.concatenate([x.ravel() for x in noise.values()])
    assert in_law(everything, C * sigma)
    assert not in_law(everything, 1.03 * C * sigma)
    assert not in_law(everything, 0.97 * C * sigma)
    one, other = noise["A"][:, 0].ravel(), noise["A"][:, 1].ravel()
    assert abs(one @ other) / (one.std() * other.std()) < 5.0 * np.sqrt(one.size)
    # Named by the client: the same whoever else is there, another in another round.
    alone = {name: x[:, 2:] for name, x in trained.items()}
    again = Policy(C, sigma).sent(alone, received, people[:, 2:], stream)
    assert all(np.array_equal(again[name], sent[name][:, 2:]) for name in sent)
    later = Policy(C, sigma).sent(alone, received, people[:, 2:], partial(stream, 2))
    assert not np.any(later["A"] == again["A"])


@pytest.mark.parametrize("sigma", [0.3, 0.6])
def test_noise_is_linear_in_what_ffa_sends_and_quadratic_in_fedavgs(sigma):
    """FFA-LoRA's argument; `E||(A + ξ_A)(B + ξ_B) − AB||²` of theory-2.md C6 with σ²/N of N clients."""
    T, N, (d_in, rank, d_out) = 20_000, 4, (5, 2, 7)
    rng = np.random.default_rng(1)
    A, B = rng.standard_normal((d_in, rank)), rng.standard_normal((rank, d_out))
    held = {
        "A": np.broadcast_to(A, (T, N, d_in, rank)),
        "B": np.broadcast_to(B, (T, N, rank, d_out)),
    }
    people = np.broadcast_to(np.arange(N), (T, N))
    x, lost = sigma**2 / N, {}
    for name in ("ffa", "fedavg"):
        method = method_named(name)
        leaving = {k: v for k, v in held.items() if Factor(k) in method.trainable(1)}
        sent = Policy(1.0, sigma).sent(leaving, leaving, people, stream)
        stacks = ClientFactors(**{k: np.moveaxis(v, 1, 0) for k, v in sent.items()})
        server = Adapter(held["A"][:, 0], held["B"][:, 0])
        made = aggregate(method, server, stacks, None, 1).adapter
        lost[name] = np.square(made.delta() - A @ B).sum(axis=(1, 2))
    size_A, size_B = np.square(A).sum(), np.square(B).sum()
    linear = x * (d_in * size_B + d_out * size_A)
    wanted = {"ffa": x * d_out * size_A, "fedavg": linear + x**2 * rank * d_in * d_out}
    for name, value in wanted.items():
        low, high = mean_estimate(lost[name], ALPHA).interval
        assert low < value < high
    if sigma == 0.6:
        assert mean_estimate(lost["fedavg"], ALPHA).interval[0] > linear  # without the square term


@pytest.mark.parametrize(
    ("sigma", "rounds", "delta"), [(1.0, 1, 1e-5), (0.1, 50, 1e-6), (20, 9, 0.01)]
)
def test_epsilon_by_hand(sigma, rounds, delta):
    """Rényi's `Tα/(2σ²)` turned into ε (Canonne, Kamath and Steinke 2020), and no less than the exact ε."""
    told = Policy(1.0, sigma, delta).epsilon(rounds)

    def bound(log):
        alpha = 1.0 + np.exp(log)
        spent = rounds * alpha / (2.0 * sigma**2)
        return spent + np.log1p(-1.0 / alpha) - np.log(delta * alpha) / (alpha - 1.0)

    grid = np.linspace(-9, 12, 2001)
    best = grid[np.argmin(bound(grid))]
    least = optimize.minimize_scalar(bound, bounds=(best - 0.1, best + 0.1), method="bounded").fun
    assert least <= told * (1 + 1e-9) <= least * (1 + 1e-4)
    mu = np.sqrt(rounds) / sigma  # Balle and Wang 2018

    def exact(epsilon):
        sides = stats.norm.cdf(mu / 2 - epsilon / mu), stats.norm.logcdf(-mu / 2 - epsilon / mu)
        return sides[0] - np.exp(epsilon + sides[1]) - delta

    assert optimize.brentq(exact, 0.0, 1e6) < told
    assert Policy(5.0, sigma, delta).epsilon(rounds) == told  # σ is in units of C
    assert Policy(1.0, 0.9 * sigma, delta).epsilon(rounds) > told
    assert Policy(1.0, 20.0, 0.5).epsilon(1) == 0.0  # where the bound would be below


@pytest.mark.parametrize("method", ["fedavg", "rolora", "fedsa", "rolora-cv", "flora"])
def test_a_wide_bound_without_noise_changes_no_bit(method):
    for config in ({"participation": 0.6}, {"head": "local"}):
        plain = Configuration(method=method, **SMALL, **config)
        runs = [experiment.run(one, load()) for one in (plain, plain.changed(dp_clip=1e9))]
        assert runs[0].rows == runs[1].rows
        assert all(torch.equal(x, runs[1].weights[name]) for name, x in runs[0].weights.items())
    linear = Experiment(method=method, d=6, clients=3, trials=4, rounds=5, kappa=0.2)
    one, other = linear.run(), linear.changed(dp_clip=1e9).run()
    assert np.array_equal(one.loss, other.loss)
    assert not np.array_equal(one.loss, linear.changed(dp_clip=1e9, dp_noise=1e-12).run().loss)


def test_a_bound_is_kept():
    C = 1e-3
    linear = Experiment(
        method="ffa", simulator="population", d=6, start="0.6", dp_clip=C, kappa=0.5, rounds=9
    )
    b = C * np.arange(10)  # far from the optimum each round moves b by C
    wanted = (0.8 * b - 1.0) ** 2 + (0.6 * b) ** 2
    np.testing.assert_allclose(linear.run().excess[0], wanted, rtol=1e-12)
    weights = [
        experiment.run(
            Configuration(method="fedavg", dp_clip=C, **SMALL | {"rounds": t}), load()
        ).weights
        for t in (1, 2)
    ]
    steps = [float((weights[1][k] - weights[0][k]).square().sum()) for k in ("A", "B")]
    assert 0.01 * C < np.sqrt(sum(steps)) < C * (1 + 1e-5)


ROUND = {"method": "fedavg", "weighting": "uniform", "rounds": 1, "clients": 4, "head": "average"}


def network(_tiny, **more):
    """What the server holds before and after a round."""
    federation = Federation(Configuration(**SMALL | ROUND | more), load())
    before = federation.server.tensors()
    federation.step()
    return before, federation.server.tensors()


def language_model(tiny, **more):  # noqa: F811
    """The same."""
    config = tiny(**ROUND | more)
    return tuple(one.named() | one.head for one in (opened(config).server, train(config).server))


@pytest.mark.parametrize("engine", ["one-by-one", "all-at-once"])
@pytest.mark.parametrize("one_round", [network, language_model])
def test_all_that_leaves_is_clipped_together_and_blurred(one_round, engine, tiny):  # noqa: F811
    C, sigma = 0.01, 0.5
    (start, plain), (_, noisy) = (
        one_round(tiny, engine=engine, dp_clip=C, dp_noise=s) for s in (0.0, sigma)
    )
    moved = sum(float((plain[name] - x).double().square().sum()) for name, x in start.items())
    assert 0.1 * C < np.sqrt(moved) < C * (1 + 1e-4)
    noise = [(noisy[name] - x).double().numpy().ravel() for name, x in plain.items()]
    assert all(x.any() for x in noise)
    assert in_law(np.concatenate(noise), sigma * C / np.sqrt(ROUND["clients"]))


def test_replicas_have_the_noise_of_their_seed_and_a_stopped_run_goes_on(tmp_path):
    config = Configuration(method="rolora", dp_clip=0.5, dp_noise=0.2, repeats=2, **SMALL)
    whole = experiment.run(config, load())
    alone = experiment.run(config.changed(repeats=1, seed=1), load())
    assert torch.equal(whole.weights["A"][1], alone.weights["A"][0])
    with pytest.raises(StopError):
        experiment.run(config, load(), checkpoints=tmp_path, every=1, progress=stopping(2))
    run = experiment.run(config, load(), checkpoints=tmp_path)
    assert run.rows == whole.rows
    assert all(torch.equal(x, run.weights[name]) for name, x in whole.weights.items())
    told = experiment.manifest(config, whole)["privacy"]
    assert told["epsilon"] == Policy(0.5, 0.2).epsilon(4)
    assert "privacy" not in experiment.manifest(config.changed(dp_noise=0.0, dp_clip=None), whole)


@pytest.mark.parametrize("laboratory", ["linear", "nonlinear", "llm"])
def test_noise_without_a_bound_is_refused(capsys, laboratory):
    more = ["--model", "m", "--task", "sst2"] if laboratory == "llm" else []
    said = refused(capsys, laboratory, "run", *more, "--dp-noise", "1")
    assert said.endswith("units of dp_clip, which must be given with it, got 1 and no dp_clip")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Experiment(dp_clip=1.0).run(), "dp_clip bounds the updates of local steps"),
        (
            lambda: Experiment(
                method="ffa", simulator="population", kappa=0.5, dp_clip=1.0, dp_noise=1.0
            ).run(),
            "can do updates without noise only",
        ),
        (
            lambda: Config(model="m", task="sst2", dp_clip=1.0, dp_delta=1.0),
            "dp_delta must be above 0",
        ),
        (lambda: Policy(1.0).epsilon(3), "needs dp_noise above 0, got 0"),
        (lambda: Policy(0.0, 1.0), "clip must be above 0 and finite, .* got 0.0"),
        (lambda: Policy(None, 1.0), "clip must be above 0 and finite, .* got None"),
        (lambda: Policy(1.0, -1.0), "noise must be at least 0 and finite, got -1.0"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_missing_accountant_is_named_before_any_work(monkeypatch):
    monkeypatch.setitem(discovery.EXTRAS, "privacy", ("no_accountant",))
    with pytest.raises(
        discovery.MissingExtraError, match=r"pip install 'rolora-verify\[privacy\]'"
    ):
        Configuration(dp_clip=1.0, dp_noise=1.0, **SMALL).policy()
    assert Configuration(dp_clip=1.0, **SMALL).policy() == Policy(1.0)  # no ε, no accountant

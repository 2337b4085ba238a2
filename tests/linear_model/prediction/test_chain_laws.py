"""The prediction's chain has the law of literal samples in every combination, and 2 % in it would be seen."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.predict import Literal
from linear_model.prediction import floors
from linear_model.prediction.chain import step
from linear_model.prediction.law import Law, draw_sums
from linear_model.prediction.passage import start
from linear_model.prediction.setting import Setting
from linear_model.prediction.steps import local_steps
from theory.clients_differ import heterogeneous_samples
from theory.samples import mean_square_rate, noise

ALPHA = 1e-6
TRIALS = 4_000
"""At α = 1e-6 a Kolmogorov–Smirnov test of two such samples sees distribution functions 0.06 apart."""
CASES = {
    "plain": {},
    "label noise, outputs": {"noise": 0.5, "outputs": 3},
    "unlike": {"heterogeneity": 0.7, "clients": 4, "outputs": 2},
    "all at once": {
        "heterogeneity": 0.7, "clients": 5, "outputs": 2, "noise": 0.4, "participation": 0.6,
        "privacy_noise": 0.2,
    },
    "two dimensions": {"d": 2, "privacy_noise": 0.3, "noise": 0.3},
    "one sample": {"samples": 1, "clients": 2, "participation": 0.5, "noise": 0.5, "heterogeneity": 0.5},
    "local steps": {"local_steps": 3, "samples": 4},
    "local steps, all at once": {
        "local_steps": 2, "samples": 6, "heterogeneity": 0.7, "clients": 4, "outputs": 2, "noise": 0.5,
        "participation": 0.5, "privacy_noise": 0.1,
    },
    "local steps, few samples": {"local_steps": 3, "samples": 1, "d": 2, "noise": 0.6},
}  # fmt: skip


def setting_of(case):
    return Setting(**{"d": 6, "clients": 3, "samples": 5, "kappa": 0.8, "start": "0.8"} | case)


def chained(setting, rounds=2, trials=TRIALS, **variant):
    law, rng = Law.of(setting, setting.targets, **variant), np.random.default_rng(7)
    c, s = start(rng, setting, trials)
    found = []
    for _ in range(rounds):
        c, s, excess = step(rng, law, c, s, draw_sums(rng, law, trials))
        found += [s, np.sqrt(excess)]
    return found


def literal(setting, rounds=2, **variant):
    model = Literal.begun(setting, TRIALS, 3, **variant)
    return [values for _ in range(rounds) for values in model.round()]


@pytest.mark.parametrize("name", CASES)
def test_angle_and_error_have_the_law_of_literal_samples(name):
    setting = setting_of(CASES[name])
    for told, seen in zip(chained(setting), literal(setting), strict=True):
        assert stats.ks_2samp(told, seen).pvalue > ALPHA / (4 * len(CASES))


@pytest.mark.parametrize("case", [{"noise": 0.4}, {"noise": 0.4, "heterogeneity": 0.8}])
def test_the_pooled_fit_too(case):
    setting = setting_of({"samples": 3, **case})
    told, seen = chained(setting, pooled=True), literal(setting, pooled=True)
    for one, other in zip(told, seen, strict=True):
        assert stats.ks_2samp(one, other).pvalue > ALPHA / 8


def test_another_law_is_seen_to_differ():
    setting = setting_of(CASES["unlike"])
    other = chained(setting.changed(heterogeneity=0.0))
    pairs = zip(other, literal(setting), strict=True)
    assert min(stats.ks_2samp(told, seen).pvalue for told, seen in pairs) < ALPHA


def mean_square_after(law, trials, sine=1e-7):
    """E s⁺² after one round from a small angle: its mean and standard error."""
    rng = np.random.default_rng(11)
    s = np.full(trials, sine)
    _, after, _ = step(rng, law, np.sqrt(1.0 - s**2), s, draw_sums(rng, law, trials))
    squares = np.square(after)
    return squares.mean(), squares.std() / np.sqrt(trials)


LAW = Law(d=30, clients=4, active=4, samples=12, kappa=0.7)
BESIDE = np.array([[0.999], [1.001], [1.001], [0.999]])


def one_round(law):
    """What theory says E s⁺² is after a round from a = a*, to first order, and what moves it."""
    d, n, m, kappa = law.d, law.active, law.samples, law.kappa
    if law.noise:
        return noise.round_noise(kappa, law.noise, 1.0, d, n, m)
    if law.targets is not None:
        tau = heterogeneous_samples.spread_along_mean(law.targets)
        return heterogeneous_samples.round_spread(kappa, tau, 1.0, d, n * m)
    return mean_square_rate.rate_squared(kappa, mean_square_rate.noise_ratio(d, n, m)) * 1e-14


@pytest.mark.parametrize(
    ("law", "other"),
    [
        (LAW, {"kappa": 0.714}),
        (replace(LAW, noise=1e-3), {"noise": 1.02e-3}),
        (replace(LAW, targets=BESIDE), {"targets": 1.0 + 1.02 * (BESIDE - 1.0)}),
    ],
    ids=["kappa", "noise", "targets"],
)
def test_a_round_from_a_small_angle_is_the_formulas_and_two_percent_are_not(law, other):
    trials, reach = 150_000, stats.norm.isf(ALPHA / 2)
    mean, error = mean_square_after(law, trials)
    assert error < 0.005 * mean
    assert abs(mean - one_round(law)) < 4.0 * error
    changed, error = mean_square_after(replace(law, **other), trials)
    assert abs(changed - one_round(law)) > reach * error


def test_one_local_step_by_bands_is_one_step():
    """The band form at K = 1 against the other way to draw the same round."""
    setting = setting_of({"heterogeneity": 0.7, "noise": 0.3})
    law, rng = Law.of(setting, setting.targets), np.random.default_rng(5)
    law = replace(law, targets=None)
    q, length = np.array([[0.2], [-0.5]]) * np.ones(40_000), np.full(40_000, 0.9)
    a, u, out = local_steps.moved(rng, law, q[..., None], length[:, None])
    M, sigma2 = law.everything, law.noise**2 * 0.9
    size2 = 0.29
    for moved, along in ((a, q[0]), (u, q[1])):
        assert abs(moved.mean() + law.kappa * along[0]) < 5.0 * moved.std() / 200.0
    across = law.kappa**2 * (size2 + sigma2) / M * (law.d - 2)
    assert out.mean() == pytest.approx(across, abs=5.0 * out.std() / 200.0)


def test_floors_by_formula_are_the_chains():
    setting = setting_of({"samples": 60, "heterogeneity": 0.05, "noise": 0.03, "participation": 0.7,
                          "clients": 6, "privacy_noise": 0.002, "outputs": 2})  # fmt: skip
    law = Law.of(setting, setting.targets)
    square = floors.square_angle(law)
    rest = floors.at_rest(law, 0, "test", np.sqrt(square), floors.kept(law))
    assert rest is not None
    angle, error = rest
    wanted = np.sqrt([square, square + floors.fit_excess(law, square)])
    for measured, formula in zip((angle, error), wanted, strict=True):
        assert measured.error < 0.02 * formula
        assert abs(measured.value - formula) < 5.0 * measured.error
    assert {one.what for one in floors.contributions(law)} == {
        "label noise", "unlike targets", "privacy noise",
    }  # fmt: skip


def test_several_local_steps_have_the_mean_square_of_limits_of_pooling():
    law = replace(LAW, local_steps=3)
    mean, error = mean_square_after(law, 60_000)
    assert error < 0.005 * mean
    assert abs(mean - floors.kept(law) * 1e-14) < 4.0 * error

"""The benchmark's bookkeeping; its timings are taken by `make bench`, not by a test."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import linear, ratios
from linear_model import Algorithm2, Problem, simulate


@pytest.fixture
def case():
    return ratios.Case("case", "round", "loop", "ours", 2.0, 0.1, 20.0, "numbers", 0.05)


def test_a_requirement_is_met_from_the_right_side(case):
    assert case.ratio == pytest.approx(20.0)
    assert case.holds
    assert not replace(case, ours_seconds=0.11).holds
    slower = replace(case, baseline_seconds=0.1, ours_seconds=0.14, required=1.5, at_most=True)
    assert slower.holds
    assert not replace(slower, ours_seconds=0.16).holds
    assert replace(case, required=None, ours_seconds=9.0).holds
    assert case.record()["ours_over_floor"] == pytest.approx(2.0)


def test_the_file_names_machine_versions_and_commit(case, tmp_path):
    target = tmp_path / "deep" / "linear.json"
    ratios.write(target, [case])
    report = json.loads(target.read_text(encoding="utf-8"))
    assert report["cases"][0]["ratio"] == pytest.approx(20.0)
    assert {"cpu", "cores", "numpy", "python", "commit"} <= set(report["environment"])
    assert [path.name for path in target.parent.iterdir()] == ["linear.json"]


def test_the_literal_baseline_runs_the_same_experiment():
    """Its mean angle after a round is the simulator's, within five joint standard errors.

    n = 2000 rounds each; the false-failure probability is 6e-7, the detectable gap ten standard
    errors, about 3 % of the mean.
    """
    d, clients, samples, n = 5, 3, 12, 2000
    rng = np.random.default_rng(7)
    truth, a = np.eye(d)[0], np.array([0.8, 0.6, 0.0, 0.0, 0.0])
    moved = np.array([linear.literal_round(rng, a, truth, clients, samples) for _ in range(n)])
    literal = np.linalg.norm(moved - np.outer(moved @ truth, truth), axis=1)
    problem = Problem(d=d, clients=clients, samples=samples)
    run = simulate(problem, Algorithm2(kappa=linear.KAPPA), rounds=1, trials=n, start=0.6)
    gap = literal.mean() - run.angle[:, 1].mean()
    error = np.sqrt((literal.var() + run.angle[:, 1].var()) / n)
    assert abs(gap) < 5.0 * error
    assert 10.0 * error < 0.05 * literal.mean()

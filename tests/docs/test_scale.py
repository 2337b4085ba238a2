"""docs/scale.md is what its measurements say, and those are of the exact chain."""

import copy
import json

import numpy as np

from benchmarks import scale
from docs import scale_page
from linear_model.problem import Problem
from linear_model.simulation import simulate


def test_the_page_is_made_of_the_committed_measurements():
    text = scale_page.PAGE.read_text(encoding="utf-8")
    measured = scale_page.measured()
    assert scale_page.filled(text, measured) == text, "run python -m docs.scale_page"
    other = copy.deepcopy(measured)
    other["rows"][0]["median"] += 1
    assert scale_page.filled(text, other) != text


def test_the_run_that_is_asked_for_is_there():
    """A million clients, ten million features, and every power of ten of clients."""
    measured = scale_page.measured()
    assert measured["setting"]["d"] == 10_000_000
    for kind in ("pooled", "each"):
        clients = [row["clients"] for row in measured["rows"] if row["kind"] == kind]
        assert clients == [10**k for k in range(2, 8)]
    assert all(
        row["samples_needed"] <= row["samples"]
        for row in measured["rows"]
        if row["reached"] > scale.DELTA  # the lower bound says what then was there
    )


def test_what_breaks_comes_in_order_and_moves_with_its_cost():
    measured = scale_page.measured()
    found = scale_page.limits(measured)
    assert [one.clients for one in found] == sorted(one.clients for one in found)
    dear = copy.deepcopy(measured)
    dear["costs"]["server"]["rolora"]["average_seconds"] *= 1e3
    assert scale_page.limits(dear)[0].what.startswith("averaging")


def test_its_rounds_are_those_of_matrices():
    """Two-sample comparison of mean first rounds, 400 trials each: α = 1e-6, detects 1.2 rounds."""
    clients, samples, d = 3, 40, 30
    method = scale.method_named_linear()
    problem = Problem(d, clients, samples)
    options = {"rounds": scale.ROUNDS, "trials": 400, "axes": ("scale test",)}
    means, errors = [], []
    for simulator in ("chain", "data"):
        small = simulate(problem, method, simulator=simulator, **options).angle <= scale.EPS
        assert small.any(axis=1).all()
        first = small.argmax(axis=1)
        means.append(first.mean())
        errors.append(first.std(ddof=1) / np.sqrt(first.size))
    assert abs(means[0] - means[1]) <= 4.9 * np.hypot(*errors)
    assert 4.9 * np.hypot(*errors) < 1.2


def test_a_quick_run_writes_rows_and_costs(tmp_path, monkeypatch):
    out = tmp_path / "scale.json"
    monkeypatch.setattr(scale, "STACKED", (1, 3))
    monkeypatch.setattr(scale, "BOOKS", (1_000, 2_000))
    monkeypatch.setattr("sys.argv", ["scale", "--quick", "--repeats", "1", "--out", str(out)])
    assert scale.main() == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [row["reached"] for row in found["rows"]] == [1.0] * 4
    assert found["costs"]["server"]["fedavg"]["numbers_up"] == 2 * 196_608

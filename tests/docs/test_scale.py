"""docs/scale.md is what its measurements say, and those are of the exact chain."""

import copy
import json

import numpy as np

from benchmarks import scale
from docs import scale_page
from federated_lora import (
    Adapter,
    ClientFactors,
    Factor,
    aggregate_model,
    method_named,
    method_names,
)
from federated_lora.merged import added
from linear_model.methods.registry import method_named as linear_method
from linear_model.problem import Problem
from linear_model.simulation import simulate
from theory.samples import mean_square_rate


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


def test_the_total_moves_with_what_a_client_computes():
    measured = scale_page.measured()
    dear = copy.deepcopy(measured)
    dear["costs"]["client"]["sample_seconds"] *= 10.0
    text = scale_page.PAGE.read_text(encoding="utf-8")
    rows = {
        name: [
            line
            for line in scale_page.filled(text, held).splitlines()
            if line.startswith("| 100 |")
        ]
        for name, held in (("as it is", measured), ("dear", dear))
    }
    (now,), (then,) = (
        [line for line in lines if line.endswith((" h |", " days |"))] for lines in rows.values()
    )
    assert now != then


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
    assert found["costs"]["client"]["sample_seconds"] > 0.0


def test_where_samples_are_too_few_for_the_step_a_smaller_one_gets_there():
    """Ten pooled samples for a hundred features a round, as 10,000 clients of 100 samples have at d = 10⁷."""
    d, clients, samples, rounds = 1000, 10, 10, 600
    q = mean_square_rate.noise_ratio(d, clients, samples)
    assert mean_square_rate.threshold_kappa(q) < scale.KAPPA
    for kappa, reached in ((scale.KAPPA, 0.0), (mean_square_rate.optimal_kappa(q), 1.0)):
        run = simulate(
            Problem(d, clients, samples), linear_method("algorithm2", rounds, kappa=kappa),
            simulator="chain", rounds=rounds, trials=20, axes=("scale test", str(kappa)),
        )  # fmt: skip
        assert (run.angle <= scale.EPS).any(axis=1).mean() == reached


def averaged(method, t, A, B, weights):
    """What the server has after a round: its adapter, and what was merged."""
    trains = method.trainable(t)
    server = Adapter(np.ones((7, 2)) + np.eye(7, 2), np.ones((2, 6)) - np.eye(2, 6), 1.0)
    sent = ClientFactors(A if Factor.A in trains else None, B if Factor.B in trains else None)
    found = aggregate_model(method, {"l": server}, {"l": sent}, weights, t)["l"]
    merged = np.zeros((7, 6)) if found.merged is None else added(np.zeros((7, 6)), found.merged)
    return found.adapter.A, found.adapter.B, merged


def test_a_tree_of_averages_is_open_to_the_methods_that_the_page_says():
    rng = np.random.default_rng(0)
    A, B, weights = (
        rng.standard_normal((5, 7, 2)),
        rng.standard_normal((5, 2, 6)),
        np.arange(1.0, 6),
    )
    groups, closed = (slice(0, 2), slice(2, 5)), set()
    inner = np.array([weights[own].sum() for own in groups])

    def means(X):
        return np.stack([np.average(X[own], axis=0, weights=weights[own]) for own in groups])

    for name in method_names():
        for t in (1, 2):
            method = method_named(name, 10)
            flat = averaged(method, t, A, B, weights)
            tree = averaged(method, t, means(A), means(B), inner)
            shared = [f not in method.personal for f in Factor] + [True]
            same = map(np.allclose, flat, tree)
            if not all(one for one, own in zip(same, shared, strict=True) if own):
                closed.add(method.label)
    assert closed == {"FedEx-LoRA", "FlexLoRA", "FLoRA", "LoRA-FAIR", "FedRot-LoRA"}
    text = scale_page.PAGE.read_text(encoding="utf-8")
    assert "FedEx-LoRA, FlexLoRA, FLoRA and LoRA-FAIR need the mean of the products" in text
    assert "FedRot-LoRA rotates every reply" in text

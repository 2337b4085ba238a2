"""The network claims: their bookkeeping, their statistics, and one of them in full on digits."""

import json
from dataclasses import replace

import numpy as np
import pytest

from federation.learning_rates import Sweep
from nonlinear_model.claims import mnist_gap_widens, mnist_ranking, regime_map, study
from nonlinear_model.claims.ffa_seed_spread import spread_ratio
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment
from nonlinear_model.training.sweep import sweep
from rolora.verify.registry import entries
from verification.budget import Budget, Profile
from verification.paired_study import Run
from verification.verdict import Verdict

CLAIMS = [entry.value for entry in entries() if entry.place.startswith("nonlinear_model")]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_without_mnist_the_full_profile_says_what_is_missing(claim, tmp_path, monkeypatch):
    monkeypatch.delenv("ROLORA_DATA_DIR", raising=False)
    finding = claim.check(Budget(Profile.FULL, data_dir=tmp_path))
    assert finding.verdict is Verdict.NOT_RUN
    assert f"rolora verify --profile full --only {claim.id} --data-dir DIR" in finding.missing
    assert "train-images-idx3-ubyte" in finding.missing


def made_up(values, rates=(0.1, 0.3)):
    """A sweep whose second rate is best and gives these final accuracies."""
    runs = {
        (rate, seed): Run((0, 10), (value - first, value - last))
        for rate, first, last in zip(rates, (0.5, 0.4), (0.2, 0.0), strict=True)
        for seed, value in enumerate(values)
    }
    return Sweep(rates, tuple(range(values.size)), runs)


NOISE = 0.004 * np.random.default_rng(0).standard_normal((3, 8))


def ranked(*levels):
    """A sweep for each method, at these levels of accuracy."""
    trials = zip(mnist_ranking.ORDER, levels, NOISE, strict=True)
    return {method: made_up(level + noise) for method, level, noise in trials}


FLAT, GOOD, BAD = ranked(0.7, 0.7, 0.7), ranked(0.9, 0.8, 0.6), ranked(0.8, 0.9, 0.6)


@pytest.mark.parametrize(
    ("here", "elsewhere", "verdict"),
    [
        (GOOD, {(5, 10): FLAT, (10, 10): FLAT}, Verdict.SUPPORTED),
        (BAD, {(5, 10): FLAT, (10, 10): FLAT}, Verdict.REFUTED),
        (ranked(0.9, 0.6, 0.8), {(5, 10): FLAT, (10, 10): FLAT}, Verdict.REFUTED),
        (BAD, {(5, 5): BAD, (10, 200): GOOD}, Verdict.HOLDS_UNDER),
    ],
    ids=["good", "FedAvg ahead", "FFA ahead of FedAvg", "good elsewhere on the map"],
)
def test_ranking_is_judged_by_the_runs_and_by_the_regime_the_map_shows(
    monkeypatch, here, elsewhere, verdict
):
    monkeypatch.setattr(study, "runs", lambda budget, cell, method, seeds: here[method])
    monkeypatch.setattr(regime_map, "stored", lambda dataset: elsewhere)
    finding = mnist_ranking.check(Budget())
    assert finding.verdict is verdict
    if verdict is Verdict.HOLDS_UNDER:
        assert "10 clients with 200 local steps" in finding.added_assumption
        assert all(c.holds for c in finding.comparisons)
    if verdict is not Verdict.REFUTED:
        assert mnist_ranking.check.negative_control(Budget()).verdict is Verdict.REFUTED


LEVELS = {
    "rolora": 0.8, "fedavg": 0.7, "ffa": 0.55, "a-heavy": 0.75, "b-heavy": 0.65, "rolora-then-ffa:30": 0.7,
}  # fmt: skip


def made_up_runs(budget, setting, method, seeds):
    """RoLoRA gains with clients; FFA-LoRA loses with local steps, and spreads ten times as much."""
    gain = 0.01 * setting.clients * (method == "rolora")
    loss = 0.1 * (method == "ffa" and setting.local_steps > 5)
    noise = np.random.default_rng(0).standard_normal(seeds) * (0.02 if method == "ffa" else 0.002)
    return made_up(LEVELS[method] + gain - loss + noise)


@pytest.mark.parametrize(
    ("name", "parameters", "verdict", "first", "refused"),
    [
        (
            "mnist-ranking", {"clients": (2, 5), "local_steps": 3, "lead": 0.05}, Verdict.SUPPORTED,
            "2 clients, 3 local steps: accuracy of rolora minus fedavg", {"clients": (5, 5)},
        ),
        (
            "mnist-gap-widens", {"local_steps": 3, "times": 1.8}, Verdict.REFUTED,
            "3 local steps: lead over fedavg at 10 clients minus 1.8 × that at 5", {"times": 0.0},
        ),
        (
            "schedule-balance", {"best": "a-heavy"}, Verdict.REFUTED,
            "10 clients: accuracy of a-heavy minus rolora", {"best": "even"},
        ),
        (
            "early-A-matters", {"share": 30, "lead": 0.05}, Verdict.SUPPORTED,
            "5 clients: accuracy of rolora-then-ffa:30 minus ffa", {"share": 100},
        ),
        (
            "local-steps", {"few": 2, "many": 40}, Verdict.SUPPORTED,
            "accuracy that 40 local steps instead of 2 cost ffa, more than rolora", {"few": 3},
        ),
        (
            "ffa-seed-spread", {"clients": 2, "ratio": 5.0}, Verdict.SUPPORTED,
            "standard deviation over seeds of ffa's final accuracy, over rolora's", {"ratio": 0.0},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_claims_at_the_users_own_parameters(name, parameters, verdict, first, refused, monkeypatch):
    monkeypatch.setattr(study, "runs", made_up_runs)
    claim = next(claim for claim in CLAIMS if claim.id == name)
    finding = claim.check(Budget(), seeds=30, **parameters)
    assert (finding.verdict, finding.trials) == (verdict, 30)
    assert finding.comparisons[0].quantity == first
    for wrong in (refused, {"seeds": 2}):
        with pytest.raises(ValueError, match="must be"):
            claim.check(Budget(), **wrong)


def test_widening_is_the_difference_of_leads():
    scores = {
        5: {"rolora": np.full(4, 0.8), "fedavg": np.full(4, 0.8), "ffa": np.full(4, 0.5)},
        10: {"rolora": np.full(4, 0.9), "fedavg": np.full(4, 0.8), "ffa": np.full(4, 0.7)},
    }
    over_fedavg, over_ffa = mnist_gap_widens.widening(scores, 1.0, "here", 0.01)
    assert over_fedavg.measured == pytest.approx(0.1)
    assert over_ffa.measured == pytest.approx(-0.1)


def test_the_committed_map_is_complete_and_fair():
    design = regime_map.DESIGN
    cells = regime_map.stored("mnist")
    assert cells is not None
    assert set(cells) == set(design.points)
    for sweeps in cells.values():
        assert tuple(sweeps) == design.methods
        for judged in sweeps.values():
            tuned = judged.tuned
            assert (tuned.rates, tuned.seeds) == (design.rates, design.tuning_seeds)
            assert judged.seeds == design.seeds
            assert tuned.rounds == judged.rounds == (0, 10, 20, 30, 40)
            wanted = {tuned.rates[tuned.best()], tuned.halfway().rates[tuned.halfway().best()]}
            assert set(judged.rates) == wanted
            assert 0.0 <= judged.final.min() <= judged.final.max() < 1.0


def test_the_committed_map_is_what_its_study_would_write(tmp_path, monkeypatch):
    """Replayed run by run: the rates are chosen, the runs kept and the table written as committed."""
    committed = regime_map.stored("mnist")

    def replay(config, data, method, rate, seeds):
        own = committed[config.clients, config.local_steps][method]
        held = {**own.tuned.runs, **own.runs}
        return [held[rate, seed] for seed in seeds]

    monkeypatch.setattr("nonlinear_model.training.sweep.runs", replay)
    path = tmp_path / "regime_map_mnist.csv"
    found = regime_map.run(regime_map.DESIGN, None, path)
    assert path.read_bytes() == (regime_map.RESULTS / path.name).read_bytes()
    told = json.loads((regime_map.RESULTS / "regime_map_mnist.json").read_text())
    again = json.loads(regime_map.manifest(regime_map.DESIGN, found, "", {}))
    others = ("command", "configuration", "environment", "history")
    assert {**again, **{name: told[name] for name in others}} == told


def test_a_map_survives_its_csv(tmp_path):
    design = replace(
        regime_map.design("digits", ((2, 1), (3, 2))),
        rates=(0.1, 1e6), tuning_seeds=(0, 1), seeds=(7, 8, 9),
        fixed={"dataset": "digits", "rounds": 4, "batch_size": 4},
    )  # fmt: skip
    path = tmp_path / "map.csv"
    fresh = regime_map.run(design, load(), path)
    again = regime_map.sweeps_of(regime_map.read(path))
    for point, sweeps in fresh.items():
        for method, judged in sweeps.items():
            read = again[point][method]
            for found, stored in ((judged, read), (judged.tuned, read.tuned)):
                assert np.array_equal(found.tracked, stored.tracked)
                assert (found.rates, found.seeds) == (stored.rates, stored.seeds)
    assert all(again[2, 1]["fedavg"].tuned.runs[1e6, seed].diverged for seed in (0, 1))
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="must have the columns"):
        regime_map.read(path)
    with pytest.raises(ValueError, match="clients must be"):
        regime_map.run(replace(design, points=((2, 1), (0, 1))), None, tmp_path / "other.csv")
    assert not (tmp_path / "other").exists()


def test_a_map_of_the_older_layout_is_refused(tmp_path):
    path = tmp_path / "regime_map_mnist.csv"
    path.write_bytes((regime_map.RESULTS / path.name).read_bytes())
    with pytest.raises(ValueError, match="older layout"):
        regime_map.run(regime_map.DESIGN, None, path)


def test_a_sweep_equals_single_runs():
    data = load()
    config = Configuration(
        equal_sizes=True, rounds=4, local_steps=2, evaluate_every=2, probe=0, dtype="float64"
    )
    found = sweep(config, data, ("rolora", "ffa"), (0.1, 0.3), (0, 5))
    for method, result in found.items():
        for i, rate in enumerate(result.rates):
            for j, seed in enumerate(result.seeds):
                own = replace(config, method=method, learning_rate=rate, seed=seed)
                accuracy = [row["test_accuracy"] for row in experiment.run(own, data).rows]
                assert result.tracked[:, i, j].tolist() == accuracy
        assert result.halfway().rounds == (0, 2)


def test_the_spread_interval_covers():
    """Pitman–Morgan is exact: of 2,000 intervals at 90 % about 1,800 cover; 5 σ is 67."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        shared = rng.standard_normal(12)
        first = 2.0 * (0.6 * shared + 0.8 * rng.standard_normal(12))
        low, high = spread_ratio(first, shared, 0.1)[1]
        hits += low <= 2.0 <= high
    assert abs(hits - 1800) <= 67


def test_early_rounds_on_A_matter_on_digits():
    """A lead of 0.055 that seeds spread by 0.034: of 28 the interval holds 0 with probability < 1e-6."""
    claim = next(claim for claim in CLAIMS if claim.id == "early-A-matters")
    assert claim.check(Budget(), seeds=28).verdict is claim.expected
    assert claim.negative_control(Budget(), seeds=28).verdict is Verdict.REFUTED

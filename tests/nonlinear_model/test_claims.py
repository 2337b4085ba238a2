"""The network claims: their bookkeeping, their statistics, and one of them in full on digits."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from nonlinear_model import learning_rates, regime_map
from nonlinear_model.claims import mnist_gap_widens, mnist_ranking, study
from nonlinear_model.claims.ffa_seed_spread import spread_ratio
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.learning_rates import Sweep, sweep, tuned_sweep
from rolora.verify.registry import entries
from verification.budget import Budget, Profile
from verification.verdict import Verdict

IDS = (
    "mnist-ranking",
    "mnist-gap-widens",
    "schedule-balance",
    "early-A-matters",
    "local-steps",
    "ffa-seed-spread",
)
CLAIMS = [entry.value for entry in entries() if entry.place.startswith("nonlinear_model")]


def test_listing_the_claims_imports_no_torch():
    code = (
        "import sys; from rolora.verify.registry import entries;"
        "found = [e.name for e in entries() if e.place.startswith('nonlinear_model')];"
        "print(found, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{list(IDS)} False"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_without_mnist_the_full_profile_says_what_is_missing(claim, tmp_path, monkeypatch):
    monkeypatch.delenv("ROLORA_DATA_DIR", raising=False)
    finding = claim.check(Budget(Profile.FULL, data_dir=tmp_path))
    assert finding.verdict is Verdict.NOT_CHECKED
    assert f"rolora verify --profile full --only {claim.id} --data-dir DIR" in finding.missing
    assert "train-images-idx3-ubyte" in finding.missing


def made_up(method, values, rates=(0.1, 0.3)):
    """A sweep whose second rate is best and gives these final accuracies."""
    values = np.asarray(values, dtype=float)
    accuracy = np.stack([np.stack([values - 0.5, values - 0.4]), np.stack([values - 0.2, values])])
    config = Configuration(method=method, clients=5, local_steps=10, rounds=10)
    seeds = tuple(range(values.size))
    return Sweep(config, rates, seeds, accuracy, (0, 10), np.zeros((2, values.size), dtype=bool))


NOISE = 0.004 * np.random.default_rng(0).standard_normal((3, 8))


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ((0.9, 0.8, 0.6), Verdict.SUPPORTED),
        ((0.8, 0.9, 0.6), Verdict.REFUTED),
        ((0.9, 0.6, 0.8), Verdict.REFUTED),
    ],
)
def test_ranking_is_judged_by_the_runs_where_the_map_is_silent(monkeypatch, levels, verdict):
    made = {
        method: made_up(method, level + noise)
        for method, level, noise in zip(mnist_ranking.ORDER, levels, NOISE, strict=True)
    }
    monkeypatch.setattr(study, "runs", lambda budget, cell, method, seeds: made[method])
    flat = {m: made_up(m, 0.7 + noise) for m, noise in zip(made, NOISE, strict=True)}
    monkeypatch.setattr(regime_map, "stored", lambda dataset: {(5, 10): flat, (10, 10): flat})
    assert mnist_ranking.check(Budget()).verdict is verdict
    if verdict is Verdict.SUPPORTED:
        assert mnist_ranking.negative_control(Budget()).verdict is Verdict.REFUTED


def test_ranking_holds_under_the_regime_the_map_shows(monkeypatch):
    made = {
        method: made_up(method, level + noise)
        for method, level, noise in zip(mnist_ranking.ORDER, (0.8, 0.9, 0.6), NOISE, strict=True)
    }
    good = {
        method: made_up(method, level + noise)
        for method, level, noise in zip(mnist_ranking.ORDER, (0.9, 0.8, 0.6), NOISE, strict=True)
    }
    monkeypatch.setattr(study, "runs", lambda budget, cell, method, seeds: made[method])
    monkeypatch.setattr(regime_map, "stored", lambda dataset: {(5, 5): made, (10, 200): good})
    finding = mnist_ranking.check(Budget())
    assert finding.verdict is Verdict.HOLDS_UNDER
    assert "10 clients with 200 local steps" in finding.added_assumption
    assert all(c.holds for c in finding.comparisons)
    assert mnist_ranking.negative_control(Budget()).verdict is Verdict.REFUTED


def test_widening_is_the_difference_of_leads():
    scores = {
        5: {"rolora": np.full(4, 0.8), "fedavg": np.full(4, 0.8), "ffa": np.full(4, 0.5)},
        10: {"rolora": np.full(4, 0.9), "fedavg": np.full(4, 0.8), "ffa": np.full(4, 0.7)},
    }
    over_fedavg, over_ffa = mnist_gap_widens.widening(scores, 1.0, "here", 0.01)
    assert over_fedavg.measured == pytest.approx(0.1)
    assert over_ffa.measured == pytest.approx(-0.1)


def test_the_committed_map_is_complete_and_fair():
    grid = regime_map.Grid()
    cells = regime_map.stored("mnist")
    assert cells is not None
    assert set(cells) == set(grid.cells)
    for sweeps in cells.values():
        assert tuple(sweeps) == regime_map.METHODS
        for judged in sweeps.values():
            tuned = judged.tuned
            assert (tuned.rates, tuned.seeds) == (grid.rates, grid.tuning_seeds)
            assert judged.seeds == grid.seeds
            assert tuned.rounds == judged.rounds == (0, 10, 20, 30, 40)
            wanted = {tuned.rates[tuned.best()], tuned.halfway().rates[tuned.halfway().best()]}
            assert set(judged.rates) == wanted
            assert 0.0 <= judged.final.min() <= judged.final.max() < 1.0


def test_a_map_survives_its_csv(tmp_path):
    grid = regime_map.Grid(
        "digits", ((2, 1), (3, 2)), rates=(0.1, 1e6), tuning_seeds=(0, 1), seeds=(7, 8, 9),
        rounds=4, batch_size=4,
    )  # fmt: skip
    data = load()
    path = tmp_path / "map.csv"
    said = []
    regime_map.run(grid, data, path, said.append)
    again = regime_map.sweeps_of(regime_map.read(path))
    assert len(said) == 2
    for cell in grid.cells:
        fresh = regime_map.run_cell(grid, *cell, data)
        for method, judged in fresh.items():
            read = again[cell][method]
            for found, stored in ((judged, read), (judged.tuned, read.tuned)):
                assert np.array_equal(found.accuracy, stored.accuracy)
                assert np.array_equal(found.diverged, stored.diverged)
                assert (found.rates, found.seeds) == (stored.rates, stored.seeds)
    assert again[2, 1]["fedavg"].tuned.diverged[1].all()
    regime_map.run(grid, data, path, said.append)
    assert len(said) == 2  # nothing left to do
    with pytest.raises(ValueError, match=r"its seeds are \[7, 8, 9\], this one's \[7, 8\]"):
        regime_map.run(replace(grid, seeds=(7, 8)), data, path)
    with pytest.raises(ValueError, match="its learning rates are"):
        regime_map.run(replace(grid, rates=(0.1,)), data, path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="must have the columns"):
        regime_map.read(path)


def test_the_rate_is_chosen_on_other_seeds_than_it_is_judged_on():
    data = load()
    config = Configuration(
        equal_sizes=True, rounds=4, local_steps=2, evaluate_every=2, probe=0, dtype="float64"
    )
    rates, tuning, judging = (0.01, 0.3, 1.0), (1, 2), (0, 5, 6)
    found = tuned_sweep(config, data, ("rolora", "ffa"), rates, tuning, judging, halfway=True)
    everything = sweep(config, data, ("rolora", "ffa"), rates, (*tuning, *judging))
    for method, judged in found.items():
        whole = everything[method]
        own = whole.on_seeds(tuning)
        assert np.array_equal(judged.scores(), whole.on_seeds(judging).final[own.best()])
        early = own.halfway()
        assert judged.rates[judged.halfway().best()] == rates[early.best()]
        assert np.array_equal(
            judged.halfway().scores(), whole.on_seeds(judging).halfway().final[early.best()]
        )
    # Rates at which a judged run diverges are lowered for that run alone, step by step.
    low, hot = (sweep(config, data, ("ffa",), (rate,), judging)["ffa"] for rate in (0.01, 1e30))
    assert hot.diverged.all()
    anew = learning_rates._begun_anew(hot, data, (0.01, 1e20, 1e30))
    assert np.array_equal(anew.accuracy, low.accuracy)
    assert not anew.diverged.any()
    assert (anew.restarted == 2).all()
    with pytest.raises(ValueError, match=r"must not be among the tuning_seeds, got \[2\]"):
        tuned_sweep(config, data, ("ffa",), rates, (1, 2), (2, 3))


def test_a_sweep_equals_single_runs():
    from nonlinear_model.training import experiment

    data = load()
    config = Configuration(
        equal_sizes=True, rounds=4, local_steps=2, evaluate_every=2, probe=0, dtype="float64"
    )
    found = sweep(config, data, ("rolora", "ffa"), (0.1, 0.3), (0, 5))
    for method, result in found.items():
        for i, rate in enumerate(result.rates):
            for j, seed in enumerate(result.seeds):
                one = experiment.run(
                    replace(config, method=method, learning_rate=rate, seed=seed), data
                )
                accuracy = [row["test_accuracy"] for row in one.rows]
                assert result.accuracy[:, i, j].tolist() == accuracy
        assert result.halfway().rounds == (0, 2)


@pytest.mark.parametrize("bad", [(), (0.1, -1.0), (float("nan"),)])
def test_a_bad_grid_is_refused(bad):
    with pytest.raises(ValueError, match="rates must be"):
        sweep(Configuration(), load(), ("ffa",), bad, (0,))


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


def test_the_paired_interval_is_students():
    values = np.array([0.1, 0.2, 0.15, 0.05])
    comparison = study.paired("a over b", values, 0.02)
    reach = stats.t.isf(0.01, 3) * values.std(ddof=1) / 2
    assert comparison.interval == pytest.approx((0.125 - reach, 0.125 + reach))
    assert comparison.holds == (reach < 0.125)
    assert study.standing([comparison]) is (
        Verdict.SUPPORTED if reach < 0.125 else Verdict.NOT_CHECKED
    )


def test_a_small_but_certain_lead_does_not_refute_what_another_leaves_open():
    spread = np.linspace(-1.0, 1.0, 8)
    certain = study.paired("a over b", 0.01 + 0.001 * spread, 0.005)
    open_ = study.paired("b over c", 0.05 + 0.2 * spread, 0.005)
    absent = study.paired("c over d", -0.1 + 0.001 * spread, 0.005)
    assert certain.holds
    assert not open_.holds
    assert study.standing([certain, open_]) is Verdict.NOT_CHECKED
    assert study.standing([certain, absent]) is Verdict.REFUTED
    assert study.standing([certain]) is Verdict.SUPPORTED


def test_early_rounds_on_A_matter_on_digits():
    claim = next(claim for claim in CLAIMS if claim.id == "early-A-matters")
    finding = claim.check(Budget())
    assert finding.verdict is claim.expected
    assert claim.negative_control(Budget()).verdict is Verdict.REFUTED

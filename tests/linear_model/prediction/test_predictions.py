"""Predicted medians, floors, traffic and winners; what is out of range is said; bad input is one sentence."""

import json
from math import inf
from pathlib import Path

import numpy as np
import pytest

import federated_lora
import rolora
from benchmarks import predict as benchmark
from linear_model import Algorithm2, Problem, simulate
from linear_model.prediction import law as laws
from linear_model.prediction.law import Law, draw_sums
from linear_model.prediction.methods.table import ENTRIES
from linear_model.prediction.passage import LONGEST_ASTRAY, first_passage, quantiles
from linear_model.prediction.predict import predict
from linear_model.prediction.setting import Setting
from theory.clients_differ import fedavg_flow
from verification.statistics import median_interval
from verification.streams import generator

COMMITTED = Path(benchmark.__file__).parent / "results" / "predict.json"


def whole(**given):
    return rolora.predict(**given)


@pytest.mark.parametrize("number", range(12))
def test_medians_lie_inside_the_intervals_of_literal_simulation(number):
    """At 1 − 1e-6 each; other points than the committed ones, 101 runs."""
    setting, method = benchmark.random_setting(generator(1, "prediction points", number))
    row = predict(setting).row(method)
    longest = min(row.rounds.horizon, 40)
    model = benchmark.Literal.begun(setting, 101, 4, pooled=method.endswith("pooled"))
    first = benchmark.first_rounds(model, longest)
    for told, seen in zip((row.rounds, row.model_rounds), first, strict=True):
        median = inf if told.median is None or told.median > longest else told.median
        low, high = median_interval(seen, 1e-6)
        assert low <= median <= high


def test_the_committed_comparison_has_200_points_all_inside_and_is_of_this_code():
    found = json.loads(COMMITTED.read_text("utf-8"))
    assert found["points"] == 200
    answers = [
        [float(x) for x in point[name]] for point in found["each"] for name in ("angle", "error")
    ]
    assert all(low <= median <= high for median, low, high in answers)
    assert found["inside"] == found["medians"] == len(answers) == 400
    assert found["reached"] > 250
    for number in (3, 4, 9):
        setting, method = benchmark.random_setting(
            generator(found["seed"], "prediction points", number)
        )
        row, point = predict(setting).row(method), found["each"][number]
        for name, told in (("angle", row.rounds), ("error", row.model_rounds)):
            within = told.median is not None and told.median <= point["longest"]
            assert float(point[name][0]) == (told.median if within else inf)


def test_two_percent_of_the_step_move_the_median_out_of_a_long_runs_interval():
    setting = Setting(d=20, clients=4, samples=50, kappa=0.05, eps=0.01, start="0.5", trials=2001)
    law = Law.of(setting, setting.targets)
    runs = [
        first_passage(
            setting.changed(kappa=k, seed=seed), law_of(setting, k), 0.91, "test", 0.0
        ).angle
        for k, seed in ((0.05, 1), (0.051, 2))
    ]
    low, high = median_interval(runs[0], 1e-6)
    assert law.kappa == 0.05
    assert not low <= np.median(runs[1]) <= high


def law_of(setting, kappa):
    changed = setting.changed(kappa=kappa)
    return Law.of(changed, changed.targets)


@pytest.mark.parametrize("more", [{}, {"heterogeneity": 0.3, "noise": 0.05}])
def test_sums_from_a_bank_give_the_medians_of_new_draws(monkeypatch, more):
    setting = Setting(d=40, clients=30, samples=20, eps=0.1, **more)
    monkeypatch.setattr(laws, "BANK_NUMBERS", 10**9)
    fresh = predict(setting).row("algorithm2")
    assert "bank" not in fresh.how
    monkeypatch.setattr(laws, "BANK_NUMBERS", 128 * 30 * (8 if more else 1))
    banked = predict(setting).row("algorithm2")
    assert "bank of 128 draws" in banked.how
    assert any("128 exact draws" in note for note in banked.notes)
    assert abs(banked.rounds.median - fresh.rounds.median) <= 1
    assert abs(banked.rounds.low - fresh.rounds.low) <= 1


def test_blocks_of_draws_are_put_together(monkeypatch):
    setting = Setting(clients=3, heterogeneity=0.2)
    monkeypatch.setattr(laws, "LARGEST_BLOCK", 100)
    sums = draw_sums(np.random.default_rng(0), Law.of(setting, setting.targets), 50)
    assert [sums.scale.shape, sums.mean.shape, sums.root.shape, sums.gram.shape] == [
        (50,), (50, 1), (50, 1, 1), (50, 3, 2, 2)
    ]  # fmt: skip
    assert len(np.unique(sums.scale)) == 50


def test_numbers_sent_are_those_the_simulator_counts():
    setting = Setting(d=8, clients=6, samples=30, participation=0.5, outputs=2, eps=0.05)
    row = predict(setting).row("algorithm2")
    problem = Problem(d=8, clients=6, samples=30, participants=3, B_star=np.eye(1, 2), noise=0.0)
    rounds = row.model_rounds.median
    run = simulate(problem, Algorithm2(kappa=0.5), simulator="chain", rounds=rounds, trials=2000)
    counted = (run.numbers_up + run.numbers_down)[:, -1] / 6
    error = counted.std() / np.sqrt(counted.size)
    assert row.sent == pytest.approx(counted.mean(), abs=5.0 * error)
    pooled = predict(setting).row("algorithm2-pooled")
    assert (row.up, row.down, pooled.up, pooled.down) == (10, 10, 11, 10)


def test_local_optima_follow_the_closed_form_and_averaged_products_are_exact_at_once():
    setting = Setting(d=10, clients=5, samples=100, heterogeneity=0.8, eps=0.02)
    found = predict(setting)
    excess, _ = fedavg_flow.trajectory(setting.targets, 200)
    first = int(np.argmax(np.sqrt(excess) <= 0.02)) + 1
    assert found.row("fedavg").model_rounds.median == first > 1
    for name in ("flexlora", "flora", "fedex"):
        assert found.row(name).model_rounds.median == 1
    assert found.winners[0].methods == ("flexlora", "flora", "fedex")
    assert found.winners[1].methods == ("flora",)
    alike = predict(setting.changed(heterogeneity=0.0)).row("fedavg")
    assert alike.model_rounds.median == 1
    far = predict(setting.changed(eps=1e-6)).row("fedavg")
    assert far.model_rounds.median is None
    assert any("falls like 1/t" in note for note in far.notes)


def test_ffa_keeps_its_start_and_rolora_wins_where_only_it_gets_there():
    found = whole(d=30, clients=4, samples=20, eps=0.05)
    ffa = found.row("ffa")
    assert ffa.model_rounds.median is None
    assert ffa.error_floor == pytest.approx(np.sqrt((1 - 1 / 30) * (1 + 1 / (4 * 18))))
    needed = {row.method: row.sent for row in found.rows if not row.limit and row.sent is not None}
    assert found.winners[1].methods == (min(needed, key=lambda name: needed[name]),) == ("fedsa",)
    assert "ffa" not in needed
    assert needed["algorithm2"] < needed["algorithm2-pooled"]
    paper = next(bound for bound in found.bounds if bound.name == "paper")
    assert paper.rounds == pytest.approx(4 * 30 * np.log(np.sqrt(29 / 30) / 0.05) / 0.5)
    assert "m = 20 < d = 30" in paper.says


@pytest.mark.parametrize(
    ("given", "method", "said"),
    [
        ({"kappa": 2.5}, "algorithm2", "locks to the plateau sin θ = 0.316"),
        ({"samples": 2}, "algorithm2", "not above rank + 1 = 2"),
        ({"d": 1000, "clients": 2, "samples": 10}, "algorithm2", "not below 2/(1 + q)"),
        ({"local_steps": 4}, "algorithm2", "clients drift apart"),
        (
            {"local_steps": 4, "kappa": 2.5},
            "algorithm2",
            "|1 − κ|^K a round even with infinitely many",
        ),
        ({"local_steps": 3, "kappa": 2.5, "samples": 60}, "rolora-precond", "no median is given"),
        ({"heterogeneity": 2.0, "kappa": 0.9}, "fedsa", "not below 2: even with infinitely many"),
        ({"d": 1000, "clients": 2, "samples": 10}, "la-lora", "not below 2/(1 + q)"),
        ({"samples": 2}, "fedsa", "not above rank + 1 = 2"),
        ({"noise": 0.1}, "la-lora", "its floor has no formula here"),
        ({"clients": 2000, "outputs": 3}, "fedsa", "2000 clients' own fits are too many"),
        (
            {"clients": 2000, "heterogeneity": 0.1, "participation": 0.5},
            "la-lora",
            "a round's mean target is its participants' own",
        ),
        ({"participation": 0.4}, "rolora-cv", "those of earlier rounds"),
        ({"privacy_noise": 0.1}, "a-heavy", "privacy noise stays, however many samples"),
        ({"privacy_noise": 0.1}, "fedavg", "on both unit factors, alone is an error of"),
        ({"samples": 60}, "fedavg-cv", "control variates on both factors"),
        (
            {"heterogeneity": 0.3, "samples": 60},
            "lora-fair",
            "with unlike targets it diverges there",
        ),
        ({"noise": 0.1}, "algorithm2", "E s² falls like ν/t without a floor"),
        ({"noise": 1.0}, "ffa-then-rolora", "no length of a run is known to do"),
        ({"local_steps": 45, "kappa": 1e6, "clients": 1}, "algorithm2", "grows beyond all numbers"),
        ({"local_steps": 50, "clients": 50}, "algorithm2", "too many numbers for a second"),
        ({"privacy_noise": 0.1}, "algorithm2-pooled", "no answer with privacy noise"),
        ({"noise": 1.0, "samples": 20}, "algorithm2", "no median is given"),
        ({"noise": 1.0, "samples": 20}, "algorithm2", "first order in what causes it: the chain"),
        ({"samples": 40}, "fedavg", "m = 40 < d = 50 samples do not fix"),
        ({"noise": 0.1}, "flora", "label noise moves the local optima"),
        ({"privacy_noise": 0.1}, "fedex", "privacy noise is added"),
        ({"participation": 0.5}, "flexlora", "only some clients take part"),
        ({"samples": 2}, "ffa", "its expected error is infinite"),
        ({"clients": 20000, "d": 10**5, "samples": 50}, "algorithm2", "from 75 exact draws"),
    ],
)
def test_what_is_out_of_range_is_said(given, method, said):
    row = whole(**given).row(method)
    assert any(said in note for note in row.notes), row.notes


def test_beyond_a_formulas_range_it_gives_no_number():
    for given in ({"kappa": 2.5}, {"samples": 2}, {"d": 1000, "clients": 2, "samples": 10}):
        row = whole(**given).row("algorithm2")
        assert row.angle_floor is row.error_floor is row.angle_measured is None
        assert row.rounds.median is None
        assert row.rounds.horizon == LONGEST_ASTRAY
    assert whole(kappa=2.5).bounds[-1].rounds is None
    drifting = whole(local_steps=4, eps=0.3, noise=0.05).row("algorithm2")
    assert drifting.angle_floor is None
    assert drifting.rounds.median is not None
    assert whole(local_steps=4, eps=0.1).row("algorithm2").angle_floor == 0.0


def test_a_first_order_floor_beyond_one_is_no_floor():
    for given in ({"heterogeneity": 100.0}, {"noise": 1e6}, {"privacy_noise": 1e6}):
        row = whole(**given).row("algorithm2")
        assert row.angle_floor is row.error_floor is None
        assert any("which is no sine" in note for note in row.notes)
        assert 0.5 < row.angle_measured.value < 1.0
        assert row.error_measured.value > 1.0


@pytest.mark.parametrize(
    ("given", "unsaid", "says"),
    [
        ({"heterogeneity": 0.3}, False, "it is about clients of one target"),
        ({"local_steps": 3}, False, "its round has one step on a"),
        ({"privacy_noise": 0.01}, True, "it knows no privacy noise"),
        ({"heterogeneity": 0.3, "participation": 0.5}, True, "it is about clients of one target"),
        ({"participation": 0.5}, False, ""),
    ],
)
def test_theorems_say_what_they_are_not_about(given, unsaid, says):
    paper, _, population = whole(samples=200, **given).bounds
    assert says in paper.says
    assert ("assumptions do not hold" in paper.says) == bool(says)
    assert (population.rounds is None) == unsaid
    assert ("even with infinitely many samples" in population.says) == unsaid


@pytest.mark.parametrize(
    "edge",
    [{"kappa": 1e-9}, {"kappa": 1e6}, {"eps": 1e-30}, {"samples": 10**15}, {"d": 10**8}],
    ids=str,
)
@pytest.mark.filterwarnings("error")
def test_the_ends_of_what_is_allowed_are_answered(edge):
    json.dumps(whole(**{"trials": 3, "start": "0.5", **edge}).as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "noise": 0.1,
            "heterogeneity": 0.4,
            "participation": 0.4,
            "privacy_noise": 0.01,
            "local_steps": 2,
        },
    ],
    ids=["plain", "all hardships"],
)
def test_every_registered_method_has_numbers_or_a_reason(more):
    found = whole(samples=60, **more)
    assert [row.method for row in found.rows] == [entry.method for entry in ENTRIES]
    for name in federated_lora.method_names():
        row = found.row(name)
        assert row.model_rounds is not None or row.notes, name
        if row.model_rounds is None:
            told = " ".join(row.notes)
            assert "simulate it" in told or "a run of" in told or "no answer" in told
        else:
            assert row.how
            assert row.sources
    assert found.row("rolora") is found.row("algorithm2")


def test_a_start_within_eps_is_round_zero():
    row = whole(start="0.01", eps=0.5).row("algorithm2")
    assert (row.rounds.median, row.model_rounds.median) == (0, 1)
    assert quantiles(np.array([1.0, 2.0, 3.0, inf]), 9).median == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"d": 1}, "d must be a whole number of at least 2"),
        ({"clients": 10**6}, "clients must be a whole number of at least 1 and at most 100000"),
        ({"kappa": 0.0}, "kappa must be at least 1e-09"),
        ({"eps": 1.5}, "eps must be at least 1e-30 and below 1, got 1.5"),
        ({"start": "2"}, "start must be random or a number between 0 and 1, got '2'"),
        ({"noise": -1.0}, "noise must be at least 0"),
        ({"participation": 0.0}, "participation must be above 0"),
        ({"heterogeneity": 0.1, "clients": 1}, "heterogeneity needs at least 2 clients, got 1"),
        ({"local_steps": 0}, "local_steps must be a whole number of at least 1"),
        ({"epsilon": 0.1}, "epsilon"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(given, said):
    with pytest.raises(ValueError, match=said):
        whole(**given)


def test_our_guarantee_lies_between_what_happens_and_the_papers():
    found = whole(d=10_000, clients=20, samples=10_000, eps=1e-4)
    bounds = {bound.name: bound.rounds for bound in found.bounds}
    assert (
        found.row("algorithm2").rounds.high
        <= bounds["ours"]
        < 2 * found.row("algorithm2").rounds.median
    )
    assert bounds["ours"] < bounds["paper"] / 1000
    refused = {bound.name: bound for bound in whole(noise=0.1).bounds}["ours"]
    assert refused.rounds is None
    assert "label noise" in refused.says

"""Runs side by side on one base are the runs by themselves."""

import pytest
import torch

from llm_validation.training import loop
from llm_validation.training.loop import DivergedError, run
from llm_validation.training.side_by_side import run_side_by_side
from tests.llm_validation.test_engines import EQUAL, gap, tensors

GRID = [(seed, rate) for seed in (0, 1) for rate in (2e-3, 1e-2)]
UNTIMED = {"seconds", "tokens_per_second"}


def configs(tiny, *kind, **changes):
    return [tiny(*kind, seed=s, learning_rate=rate, **changes) for s, rate in GRID]


def rows_of(result):
    return [{k: v for k, v in row.items() if k not in UNTIMED} for row in result.rows]


POLICIES = [
    {"method": "rolora", "lora_dropout": 0.2, "split": "dirichlet", "train_examples": 90},
    {"method": "fedavg", "head": "local", "optimiser_state": "keep", "participation": 0.5},
    {"method": "ffa", "head": "frozen", "optimiser": "sgd", "learning_rate_grid": (2e-3, 1e-2)},
    {"method": "rolora", "head": "frozen", "schedule": "linear", "clip": 0.05},
]


@pytest.mark.parametrize("changes", POLICIES, ids=str)
def test_in_passes_as_large_they_are_equal_to_the_bit(tiny, changes):
    participants = 2 if "participation" in changes else 4
    every = configs(tiny, clients_at_once=participants, **changes)
    for config, found in zip(every, run_side_by_side(every), strict=True):
        alone = run(config)
        assert rows_of(found) == rows_of(alone)
        one, two = tensors(found), tensors(alone)
        assert one.keys() == two.keys()
        assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize("kind", ["roberta", "llama"])
@pytest.mark.parametrize("changes", POLICIES, ids=str)
def test_in_one_pass_they_are_equal_up_to_rounding(tiny, kind, changes):
    every = configs(tiny, kind, dtype="float64", **changes)
    found = run_side_by_side(every)
    for config, result in zip(every, found, strict=True):
        assert gap(result, run(config)) <= EQUAL
    # Control: another rate is another run, and so is another seed.
    assert gap(found[0], found[1]) > 1e-4
    layer = next(iter(found[0].server.adapters))
    one, two = (found[k].server.adapters[layer].A for k in (0, 2))
    assert not torch.allclose(one, two, rtol=1e-2)


def test_control_variates_and_preconditioners_stay_with_their_run(tiny):
    plain = {"optimiser": "sgd", "dtype": "float64"}
    for method in ("rolora-cv", "fedavg-cv"):
        every = configs(tiny, method=method, **plain)
        for config, result in zip(every, run_side_by_side(every), strict=True):
            assert gap(result, run(config)) <= EQUAL


def test_of_a_run_that_diverges_there_is_its_error_and_the_others_go_on(tiny):
    every = [tiny(optimiser="sgd", learning_rate=rate, rounds=2) for rate in (1e-2, 1e30)]
    sound, lost = run_side_by_side(every)
    assert isinstance(lost, DivergedError)
    assert len(lost.rows) >= 1
    assert sound.server.round == 2


def test_an_interrupted_set_goes_on_with_those_behind(tiny, tmp_path, monkeypatch):
    every = configs(tiny, rounds=4, checkpoint_every=1, lora_dropout=0.1, clients_at_once=4)
    folders = [tmp_path / str(k) for k in range(4)]
    whole = run_side_by_side(every)
    completed, calls = loop.completed, []

    def broken(*given):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return completed(*given)

    monkeypatch.setattr(loop, "completed", broken)
    with pytest.raises(KeyboardInterrupt):
        run_side_by_side(every, folders=folders)
    monkeypatch.setattr(loop, "completed", completed)
    seen = []
    found = run_side_by_side(
        every, folders=folders, resume=True, on_round=lambda k, row: seen.append((k, row["round"]))
    )
    assert seen[:4] == [(2, 2), (3, 2), (0, 3), (1, 3)]
    for one, two in zip(found, whole, strict=True):
        assert rows_of(one) == rows_of(two)
        assert gap(one, two) == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 3}, "must agree in rank, got 2 and 3"),
        ({"method": "fedavg"}, "must agree in method, got 'rolora' and 'fedavg'"),
    ],
)
def test_runs_that_differ_in_more_are_refused(tiny, changes, message):
    with pytest.raises(ValueError, match=message):
        run_side_by_side([tiny(), tiny(**changes)])


def test_what_cannot_share_a_base_is_refused(tiny):
    with pytest.raises(ValueError, match="need engine = all-at-once"):
        run_side_by_side([tiny(engine="one-by-one")])
    with pytest.raises(ValueError, match="not possible with runs side by side"):
        run_side_by_side([tiny(method="flora", optimiser="sgd")])

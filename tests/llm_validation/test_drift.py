"""The drift study on the small encoder: its cells, its table, and its claim on made-up studies."""

import json
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from importlib import resources
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from federated_lora import method_named
from llm_validation.claims import llm_drift_correction as claimed
from llm_validation.config import Config
from llm_validation.paper import records
from llm_validation.study import drift, probe
from llm_validation.tasks.registry import load
from llm_validation.training.loop import run
from llm_validation.training.manifest import digest
from llm_validation.training.sweep import held_out
from verification import paired_study
from verification.budget import Budget
from verification.codec import json_text
from verification.paired_study import Run
from verification.verdict import Verdict

claim = claimed.check
EVEN = dict.fromkeys((drift.OURS, *drift.RIVALS), 0.7)
AHEAD = EVEN | {drift.OURS: 0.8}
BEHIND = EVEN | {drift.OURS: 0.6}
TOO_FAST = 1.0
"""The rate at which made-up runs are worst."""


def numbers(method, rounds):
    return rounds * (10 if method.startswith("fedavg") else 5)


def replayed(levels, used=None):
    """Runs of given accuracies, with a little noise of their own and much that all methods share."""

    def measure(_point, method, rate, seeds, rounds=drift.ROUNDS):
        for seed in seeds:
            if used is not None:
                used[method, seed, rate] += 1
            ends = tuple(end for end in drift.lengths(method) if end <= rounds)
            noise = 0.05 * (seed % 3) + 0.002 * ((seed * 7 + len(method)) % 5)
            own = levels[method] + noise - 0.3 * (rate == TOO_FAST)
            sent = [numbers(method, end) for end in ends]
            facts = {
                "learning_rate": rate,
                "numbers_up": sent,
                "numbers_down": sent,
                "examples": 872,
            }
            yield Run(ends, (own,) * len(ends), facts=facts | {"loss": [0.5] * len(ends)})

    return measure


@pytest.fixture
def committed(tmp_path, monkeypatch):
    """Puts a made-up study in the place of the committed one; gives its table's path."""
    monkeypatch.setattr("llm_validation.paper.records.resources.files", lambda _package: tmp_path)

    def put(levels, alter=lambda text: text):
        table = tmp_path / records.RESULTS / "drift.csv"
        made = {"table": table, "rows": drift.rows_of}
        paired_study.run(drift.DESIGN, replayed(levels), drift.search, **made)
        text = alter(table.read_text())
        table.write_text(text)
        table.with_suffix(".json").write_text(json_text({"table_sha256": digest(text)}))
        return table

    return put


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        (AHEAD, Verdict.SUPPORTED),
        (BEHIND, Verdict.REFUTED),
        (EVEN, Verdict.UNDECIDED),
        (AHEAD | {"fedavg-cv": 0.9, "ffa": 0.8}, Verdict.HOLDS_UNDER),
        (EVEN | {"fedavg-cv": 0.9}, Verdict.REFUTED),
    ],
)
def test_a_made_up_study_is_judged_rival_by_rival(levels, verdict, committed):
    committed(levels)
    finding = claim.check(Budget())
    assert finding.verdict is verdict
    assert len(finding.comparisons) == len(drift.PLACES) == 6
    assert claim.positive_control(Budget()).verdict is Verdict.SUPPORTED
    assert claim.negative_control(Budget()).verdict is Verdict.REFUTED
    if verdict is Verdict.SUPPORTED:
        assert claim.check(Budget(), lead=9.0).verdict is Verdict.SUPPORTED
        assert claim.check(Budget(), lead=11.0).verdict is Verdict.REFUTED


def test_where_it_holds_is_told_of_every_rival(committed):
    committed(AHEAD | {"fedavg-cv": 0.9, "ffa": 0.8})
    finding = claim.check(Budget())
    assert finding.added_assumption == (
        "ahead RoLoRA-CV minus RoLoRA, equal rounds and numbers sent, RoLoRA-CV minus FedAvg-LoRA, equal"
        " rounds, RoLoRA-CV minus FedAvg-LoRA, equal numbers sent; behind RoLoRA-CV minus FedAvg-LoRA-CV,"
        " equal rounds, RoLoRA-CV minus FedAvg-LoRA-CV, equal numbers sent; open RoLoRA-CV minus FFA-LoRA,"
        " equal rounds and numbers sent"
    )
    one = claim.check(Budget(), rivals=("rolora",))
    assert one.verdict is Verdict.SUPPORTED
    # The error probability is shared by all six, whichever are picked.
    assert one.comparisons[0].interval == finding.comparisons[0].interval


def test_a_study_that_nobody_learned_is_called_so(committed):
    committed({method: level - 0.2 for method, level in EVEN.items()})
    edge, learned, _ = claim.check(Budget()).notes
    assert "Nothing is learned here: the larger class alone makes 50.9 %" in learned
    assert f"RoLoRA after {drift.ROUNDS} rounds ({min(drift.DESIGN.rates):g})" in edge


def test_other_runs_than_the_design_asks_for_decide_nothing(committed):
    def missing():
        finding = claim.check(Budget())
        assert finding.verdict is Verdict.NOT_RUN
        assert "python -m llm_validation.study.drift --data-dir DIR" in finding.missing
        return finding.missing

    table = committed(AHEAD, lambda text: text.replace(",fedavg-cv,16,", ",fedavg-cv,17,"))
    assert "FedAvg-LoRA-CV after 16 rounds has 5" in missing()
    committed(AHEAD, partial(re.sub, "(,fedavg,13,.*,final,8,.*),80,80,", r"\1,79,80,"))
    assert (
        "equal numbers sent: RoLoRA-CV after 16 rounds and FedAvg-LoRA after 8 have 159 and 160"
        in missing()
    )
    table.write_text(table.read_text() + "\n")
    assert "drift.csv is not the table that drift.json describes" in missing()
    table.unlink()
    assert "RoLoRA-CV after 16 rounds has none" in missing()
    for bad, said in (
        ({"rivals": ()}, "rivals must be different and at least one"),
        ({"rivals": ("rolora", "rolora")}, "rivals must be different"),
        ({"rivals": ("flora",)}, "rivals must be one of"),
        ({"lead": -1.0}, "lead must be finite and at least 0"),
        ({"runs": "mine"}, "runs must be one of own"),
    ):
        with pytest.raises(ValueError, match=said):
            claim.check(Budget(), **bad)


def test_every_method_is_tuned_on_one_seed_and_judged_on_the_others():
    used = Counter()
    paired_study.run(drift.DESIGN, replayed(AHEAD, used), drift.search)
    tuned = {key for key in used if key[1] == drift.TUNING_SEED}
    assert len(tuned) == len(EVEN) * len(drift.DESIGN.rates)
    assert {(m, s) for m, s, _ in used.keys() - tuned} == {
        (method, seed) for method in EVEN for seed in drift.DESIGN.seeds
    }


def test_the_committed_study_is_what_its_design_would_write(tmp_path):
    """Replayed run by run: the rates are chosen, the runs kept and the table written as committed."""
    path = resources.files("llm_validation").joinpath(records.RESULTS, "drift.csv")
    rows, _, faults = records.study("drift")
    assert not faults
    held, used = {}, set()
    for row in rows:
        held.setdefault((row["method"], int(row["seed"]), row["learning_rate"]), {})[
            int(row["rounds"])
        ] = row

    def replay(_point, method, rate, seeds, rounds=drift.ROUNDS):
        for seed in seeds:
            used.add(key := (method, seed, f"{rate!r}"))
            told = [row for end, row in sorted(held[key].items()) if end <= rounds]
            facts = {name: [json.loads(row[name]) for row in told] for name in drift.FACTS}
            facts |= {"learning_rate": rate, "examples": int(told[0]["examples"])}
            scores = tuple(float(row["accuracy"]) for row in told)
            yield Run(tuple(int(row["rounds"]) for row in told), scores, facts=facts)

    table = tmp_path / "drift.csv"
    paired_study.run(drift.DESIGN, replay, drift.search, table=table, rows=drift.rows_of)
    assert table.read_bytes() == path.read_bytes()
    assert used == held.keys()
    assert claim.check(Budget()).verdict is Verdict.UNDECIDED


def test_a_cell_runs_as_far_as_asked_and_counts_what_it_sent(roberta, data_dir, monkeypatch):
    small = {"train_examples": 0, "local_steps": 2, "clients": 3, "dirichlet_alpha": 1.0}
    small["target_modules"] = ("query", "value")
    monkeypatch.setattr(drift, "POLICIES", drift.POLICIES | small)
    monkeypatch.setattr(drift, "HELD_OUT", 7)
    point, seeds = ("sst2", drift.CLIENTS), (drift.TUNING_SEED, 1)

    def cell(method, rate=1e-2, seeds=seeds, **stop):
        return list(drift.measure(roberta, data_dir, point, method, rate, seeds, **stop))

    tuning, ours = cell("rolora-cv")
    assert (tuning.facts["examples"], ours.facts["examples"]) == (7, 60)
    assert ours.rounds == (drift.ROUNDS,)
    (theirs,) = cell("fedavg-cv", seeds=(1,))
    assert theirs.rounds == (drift.ROUNDS // 2, drift.ROUNDS)
    # Equal numbers, control variates or not: half the rounds of both factors are all rounds of one.
    for way in ("numbers_up", "numbers_down"):
        assert theirs.facts[way][0] == ours.facts[way][0] > 0
    # A run that stops earlier is the start of the longer one.
    assert cell("fedavg-cv", seeds=(1,), rounds=drift.ROUNDS // 2) == [
        theirs.until(drift.ROUNDS // 2)
    ]
    (hot,) = cell("rolora-cv", 1e30, (1,))
    assert (hot.diverged, hot.scores, hot.facts) == (True, (None,), {"learning_rate": 1e30})


def test_a_probe_fits_the_head_and_nothing_else(bert, data_dir, tmp_path):
    config = Config(model=bert, task="sst2", data_dir=data_dir, max_length=48)
    folder = Path(probe.probed(config, tmp_path / "probe"))
    before, after = (load_file(Path(path, "model.safetensors")) for path in (bert, folder))
    assert all(torch.equal(after[f"bert.{name}"], value) for name, value in before.items())
    assert after.keys() - {f"bert.{name}" for name in before} == {
        "classifier.weight",
        "classifier.bias",
    }
    # A run starts from it, better than any one class.
    data = held_out(load(config), probe.SEED)
    fitted = config.changed(model=str(folder), head="frozen", rounds=1, local_steps=1)
    fitted = fitted.changed(optimiser="sgd", learning_rate=1e-9, clients=2)
    result = run(fitted, data=replace(data, train=data.evaluation))
    weight = after["classifier.weight"]
    assert torch.allclose(weight[0], -weight[1], atol=1e-3)  # ridge leaves no part that both share
    labels = data.evaluation.labels
    assert result.rows[0]["accuracy"] > max(labels.mean(), 1 - labels.mean())
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert probe.probed(config, folder) == str(folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


def test_the_design_compares_what_sends_as_much():
    for (rival, kind), end in drift.PLACES.items():
        assert ("sent" in kind) == (numbers(rival, end) == numbers(drift.OURS, drift.ROUNDS))
        assert end in drift.lengths(rival)
        assert method_named(rival, drift.ROUNDS).name == rival
    assert json.loads(json_text(drift.told()))["policies"]["split"] == "dirichlet"


def test_the_page_quotes_what_the_committed_runs_say():
    page = (Path(__file__).parents[2] / "docs/drift-study.md").read_text(encoding="utf-8")
    signed = page.replace("−", "-")
    quoted = re.findall(r"([+-]\d\.\d\d) \[([+-]\d\.\d\d), ([+-]\d\.\d\d)\]", signed)
    found = [(c.measured, *(c.interval or ())) for c in claim(Budget()).comparisons]
    assert quoted == [tuple(f"{value:+.2f}" for value in one) for one in found]
    rows, _, _ = records.study("drift")
    ends = [r for r in rows if r["purpose"] == "final" and int(r["rounds"]) == drift.ROUNDS]
    named = {
        "RoLoRA": "rolora", "FedAvg-LoRA": "fedavg", "`fedavg-cv`": "fedavg-cv", "FFA-LoRA": "ffa",
    }  # fmt: skip
    for name, method in named.items():
        own = [100.0 * float(r["accuracy"]) for r in ends if r["method"] == method]
        assert f"| {name} | {sum(own) / len(own):.1f} % |" in page

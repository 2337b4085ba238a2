import csv
import json
from dataclasses import replace
from functools import partial
from importlib import resources

import pytest

from federation.learning_rates import tuned_sweep
from llm_validation.claims import confirm, decision, llm_minilm_confirmation
from llm_validation.paper import records
from llm_validation.paper.published import METHODS, cells
from rolora.verify.registry import entries
from verification import paired_study
from verification.budget import Budget
from verification.paired_study import Run
from verification.verdict import Verdict

CLAIMS = [entry.value for entry in entries() if entry.place.startswith("llm_validation")]
ON_LARGE = CLAIMS[:3]
BY_ID = {claim.id: claim for claim in CLAIMS}
minilm = llm_minilm_confirmation.check


def judge(monkeypatch, claim, runs, **parameters):
    """The verdict on made-up finished runs, or a made-up study."""
    monkeypatch.setattr(decision, "from_folders", lambda root: runs)
    monkeypatch.setattr(llm_minilm_confirmation, "from_study", lambda: runs)
    return claim.check(Budget(), **parameters)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_controls_are_refuted(claim):
    finding = claim.negative_control(Budget())
    assert finding.verdict is Verdict.REFUTED
    assert finding.counterexample


@pytest.mark.parametrize("claim", ON_LARGE, ids=lambda c: c.id)
def test_without_runs_nothing_is_decided_and_the_command_is_given(claim):
    finding = claim.check(Budget())
    assert finding.verdict is Verdict.NOT_RUN
    assert f"rolora verify --only {claim.id}" in finding.missing
    assert "rolora llm run --preset glue-" in finding.missing


SWAP = {"rolora": "fedavg", "fedavg": "rolora"}
PAPER = records.from_paper()
MUTANT = [replace(r, method=SWAP.get(r.method, r.method)) for r in PAPER]


@pytest.mark.parametrize(
    ("runs", "verdict"), [(PAPER, Verdict.SUPPORTED), (MUTANT, Verdict.REFUTED)]
)
@pytest.mark.parametrize("claim", ON_LARGE, ids=lambda c: c.id)
def test_the_published_numbers_bear_the_claims_out_and_exchanged_ones_do_not(
    claim, runs, verdict, monkeypatch
):
    finding = judge(monkeypatch, claim, runs)
    assert finding.verdict is verdict
    assert all(one.holds for one in finding.comparisons) == (verdict is Verdict.SUPPORTED)


LEARNED = {"rolora": (90, 88), "fedavg": (91, 80), "ffa": (90, 75)}


def made_up_runs(clients, rank):
    """Three seeds on RoBERTa-Large: RoLoRA 5 points ahead, and the rivals lose a point for each client."""
    return [
        records.Record("roberta-large", task, method, n, r, seed, 80 + lead * n + seed / 10)
        for task in decision.GLUE
        for method, lead in (("rolora", 0), ("fedavg", -1), ("ffa", -1))
        for n in clients
        for r in rank
        for seed in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("name", "parameters", "verdict", "first", "refused"),
    [
        ("llm-ranking", {"clients": 7, "rank": 2, "lead": 6.5}, Verdict.SUPPORTED, 7.0, {"clients": 0}),
        ("llm-ranking", {"clients": 7, "rank": 2, "lead": 7.5}, Verdict.REFUTED, 7.0, {"lead": -1.0}),
        (
            "llm-scaling-with-clients", {"few": 2, "many": 7, "rank": 2}, Verdict.SUPPORTED, 5.0,
            {"few": 50, "many": 3},
        ),
        ("llm-low-rank", {"clients": 7, "rank": 2}, Verdict.SUPPORTED, 7.0, {"rank": 4}),
        (
            "llm-minilm-confirmation", {"tasks": ("sst2",), "lead": 3.0}, Verdict.SUPPORTED, 9.0,
            {"tasks": ("qnli",)},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_claims_at_the_users_own_parameters(name, parameters, verdict, first, refused, monkeypatch):
    claim = BY_ID[name]
    on_large = claim in ON_LARGE
    runs = made_up_runs((2, 7), (2, 4)) if on_large else made_up_study(LEARNED)
    finding = judge(monkeypatch, claim, runs, **parameters)
    assert finding.verdict is verdict
    assert finding.comparisons[0].measured == pytest.approx(first)
    with pytest.raises(ValueError, match="must be"):
        claim.check(Budget(), **refused)
    if on_large:
        missing = judge(monkeypatch, claim, [], **parameters).missing
        assert "7 clients, rank" in missing
        assert "--clients, --rank and --rounds" in missing


def test_too_few_seeds_and_wide_intervals_decide_nothing(monkeypatch):
    ranking = BY_ID["llm-ranking"]
    finding = judge(monkeypatch, ranking, records.from_paper((1, 2)))
    assert finding.verdict is Verdict.NOT_RUN
    noisy = [
        replace(r, accuracy=r.accuracy + 40.0 * ((r.seed, r.method) == (1, "fedavg")))
        for r in PAPER
    ]
    finding = judge(monkeypatch, ranking, noisy)
    assert finding.verdict is Verdict.UNDECIDED
    assert finding.missing.startswith(
        "more runs, too near the bound to name a number: 3 runs resolve a difference of 83"
    )


def made_up_study(levels):
    """Final accuracies (3 clients, 20 clients) by method on SST-2, with a little noise; RTE not learned."""
    return [
        records.Record("encoder", task, method, clients, 4, seed, level + 0.1 * (seed % 2))
        for method, pair in levels.items()
        for clients, own in zip(confirm.CLIENTS, pair, strict=True)
        for seed in range(1, 6)
        for task, level in (("sst2", own), ("rte", 53.0))
    ]


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        (LEARNED, Verdict.SUPPORTED),
        ({"rolora": (90, 80), "fedavg": (91, 88), "ffa": (90, 75)}, Verdict.REFUTED),
        ({"rolora": (95, 88), "fedavg": (80, 80), "ffa": (90, 75)}, Verdict.REFUTED),
    ],
)
def test_the_small_study_is_judged_by_fall_and_by_lead(levels, verdict, monkeypatch):
    study = made_up_study(levels)
    assert judge(monkeypatch, minilm, study).verdict is verdict
    assert judge(monkeypatch, minilm, study, lead=10.0).verdict is Verdict.REFUTED


def test_a_task_that_nobody_learned_is_called_so(monkeypatch):
    study = made_up_study(LEARNED)
    sst2, rte, _ = judge(monkeypatch, minilm, study).notes
    assert "Nothing is learned" not in sst2
    assert "Nothing is learned here: the larger class alone makes 52.7 %" in rte
    assert "FedAvg-LoRA 53.1 % → 53.1 %" in rte


def test_the_committed_study_is_what_its_design_would_write(tmp_path):
    """Replayed run by run: the rates are chosen, the runs kept and the table written as committed."""
    path = resources.files("llm_validation").joinpath(records.STUDY)
    held = {}
    for row in csv.DictReader(path.read_text().splitlines()):
        key = row["task"], int(row["clients"]), row["method"], int(row["seed"])
        facts = {name: json.loads(row[name]) for name in (*confirm.RESULTS, "examples")}
        rate = float(row["learning_rate"])
        facts["learning_rate"] = rate
        held[(*key, rate)] = Run((int(row["rounds"]),), (float(row["accuracy"]),), facts=facts)
    used = []

    def replay(point, method, rate, seeds):
        for seed in seeds:
            used.append((*point, method, seed, rate))
            yield held[used[-1]]

    table = tmp_path / "minilm.csv"
    for _ in range(2):  # the second time every run is there already
        paired_study.run(confirm.DESIGN, replay, tuned_sweep, table=table, rows=confirm.rows_of)
        assert table.read_bytes() == path.read_bytes()
        assert sorted(used) == sorted(held)


def test_a_cell_of_the_study_runs_on_held_out_data_where_it_tunes(roberta, data_dir, monkeypatch):
    monkeypatch.setattr(confirm, "SAMPLES", {"sst2": 120})
    monkeypatch.setattr(confirm, "HELD_OUT", 7)
    cell = partial(confirm.measure, roberta, data_dir, ("sst2", 3), "rolora")
    tuning, judging = cell(1e-2, (confirm.TUNING_SEED, 1))
    assert (tuning.facts["examples"], judging.facts["examples"]) == (7, 60)
    assert tuning.rounds == judging.rounds == (2,)
    assert 0.0 <= judging.scores[0] <= 1.0
    assert judging.facts.keys() == {"learning_rate", "examples", *confirm.RESULTS}
    (hot,) = cell(1e30, (1,))
    assert (hot.diverged, hot.scores, hot.facts) == (True, (None,), {"learning_rate": 1e30})


def test_finished_runs_are_found_in_folders(tmp_path):
    for i, cell in enumerate(c for c in cells() if c.table == "glue" and c.clients == 50):
        if cell.task == "avg" or cell.method == "FlexLoRA":
            continue
        for seed in (1, 2, 3):
            folder = tmp_path / f"{i}-{seed}"
            folder.mkdir()
            task, method = cell.task.lower().replace("-", ""), METHODS[cell.method]
            chosen = {"task": task, "method": method, "clients": 50, "rank": 4, "seed": seed}
            configuration = {"model": "FacebookAI/roberta-large", **chosen}
            manifest = {"kind": "llm", "configuration": configuration}
            (folder / "manifest.json").write_text(json.dumps(manifest))
            accuracy = cell.value / 100 + seed / 1e4
            (folder / "run.csv").write_text(f"round,accuracy\n30,{accuracy}\n")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "manifest.json").write_text("[1]")
    finding = BY_ID["llm-ranking"].check(Budget(results_dir=tmp_path))
    assert finding.verdict is Verdict.SUPPORTED
    assert finding.comparisons[0].measured == pytest.approx(15.092)

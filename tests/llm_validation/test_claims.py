import csv
import json
from dataclasses import replace
from functools import partial
from importlib import resources

import pytest

from federation.learning_rates import tuned_sweep
from llm_validation.claims import decision, llm_minilm_confirmation, planted
from llm_validation.config import Config
from llm_validation.paper import records
from llm_validation.paper.presets import presets
from llm_validation.study import confirm
from llm_validation.training.manifest import manifest
from rolora.verify.registry import entries
from verification import paired_study
from verification.budget import Budget
from verification.paired_study import Run
from verification.verdict import Verdict

CLAIMS = [entry.value for entry in entries() if entry.place.startswith("llm_validation")]
ON_LARGE = CLAIMS[:-2]
BY_ID = {claim.id: claim for claim in CLAIMS}
minilm = llm_minilm_confirmation.check
PAPER = records.from_paper((1, 2, 3))


def judge(monkeypatch, claim, found, **parameters):
    """The verdict on made-up finished runs, or a made-up study."""
    monkeypatch.setattr(decision, "from_folders", lambda root: (found, []))
    monkeypatch.setattr(llm_minilm_confirmation, "from_study", lambda: (found, []))
    return claim.check(Budget(), **parameters)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_planted_leads_are_confirmed_and_exchanged_names_refuted(claim, monkeypatch):
    """A tenth beyond the interval's half-width, in made-up runs that are read from folders."""
    finding = claim.positive_control(Budget(seed=7))
    assert finding.verdict is Verdict.SUPPORTED
    nearest = min(c.interval[0] / (c.interval[1] - c.measured) for c in finding.comparisons)
    assert nearest == pytest.approx(0.1)
    control = claim.negative_control(Budget(seed=7))
    assert control.verdict is Verdict.REFUTED
    with pytest.raises(ValueError, match="runs must be one of own"):
        claim.check(Budget(), runs="mine")


@pytest.mark.parametrize("claim", ON_LARGE, ids=lambda c: c.id)
def test_without_runs_nothing_is_decided_and_command_and_cost_are_given(claim):
    finding = claim.check(Budget())
    assert finding.verdict is Verdict.NOT_RUN
    assert f"rolora verify --only {claim.id} --results-dir results/llm" in finding.missing
    assert "rolora llm run --preset " in finding.missing
    assert "hours of one data-centre GPU" in finding.missing
    # Runs of a setting that several claims ask for are made once, in one place.
    place = "results/llm/50-4-iid-20-usual-30-$t-$m-$s"
    shared = f"--rounds 30 --evaluate-every 1 --seed $s --out {place} --resume"
    assert (shared in finding.missing) == (claim.id not in {"llm-dirichlet", "llm-commonsense"})


POINTS_DOWN = {"llm-shrinking-ranks"}
"""Of which the published averages say the opposite."""
UNPUBLISHED = {"llm-parameter-budgets"}


@pytest.mark.parametrize("claim", ON_LARGE, ids=lambda c: c.id)
def test_the_published_numbers_bear_the_claims_out_and_exchanged_ones_do_not(claim, monkeypatch):
    finding = judge(monkeypatch, claim, PAPER)
    expected = Verdict.NOT_RUN if claim.id in UNPUBLISHED else claim.expected
    assert finding.verdict is expected
    assert (expected is Verdict.REFUTED) == (claim.id in POINTS_DOWN)
    swap = {"rolora": "ffa", "ffa": "rolora"}
    if claim.id == "llm-dirichlet":
        swap = {"rolora": "fedavg", "fedavg": "rolora"}
    if expected is Verdict.SUPPORTED:
        mutant = [planted.altered(r, method=swap.get(r.method, r.method)) for r in PAPER]
        assert judge(monkeypatch, claim, mutant).verdict is Verdict.REFUTED


def made_up_runs(clients, ranks):
    """Three seeds on RoBERTa-Large: the rivals lose a point for each client, and RoLoRA none."""
    config = Config(model="FacebookAI/roberta-large", task="sst2", local_steps=20)
    settings = {**PAPER[0].settings, **manifest(config, {})["configuration"]}
    one = records.Record({**settings, "learning_rate_grid": [1e-3]}, 0.0, "a folder")
    return [
        replace(
            planted.altered(
                one, task=task, method=method, clients=n, rank=r, seed=seed, rounds=140 // n
            ),
            accuracy=80 + lead * n + seed / 10,
        )
        for task in decision.GLUE
        for method, lead in (("rolora", 0), ("fedavg", -1), ("ffa", -1))
        for n in clients
        for r in ranks
        for seed in (1, 2, 3)
    ]


LEARNED = {"rolora": (90, 88), "fedavg": (91, 80), "ffa": (90, 75)}


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
        ("llm-shrinking-ranks", {"clients": 7, "large": 4, "small": 2}, Verdict.UNDECIDED, 0.0, {"small": 8}),
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
        assert "--clients 7 --rank" in missing


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("llm-local-steps", {"few": 20}),
        ("llm-dirichlet", {"alphas": (0.5,)}),
        ("llm-dirichlet", {"alphas": (0.5, 0.0)}),
        ("llm-parameter-budgets", {"modules": ()}),
        ("llm-commonsense", {"rank": 0}),
    ],
)
def test_settings_that_cannot_be_are_refused(name, refused):
    with pytest.raises(ValueError, match="must be"):
        BY_ID[name].check(Budget(), **refused)


def test_too_few_seeds_and_wide_intervals_decide_nothing(monkeypatch):
    ranking = BY_ID["llm-ranking"]
    finding = judge(monkeypatch, ranking, records.from_paper((1, 2)))
    assert finding.verdict is Verdict.NOT_RUN
    assert "has 2;" in finding.missing
    noisy = [
        replace(r, accuracy=r.accuracy + 40.0 * ((r.seed, r.method) == (1, "fedavg")))
        for r in PAPER
    ]
    finding = judge(monkeypatch, ranking, noisy)
    assert finding.verdict is Verdict.UNDECIDED
    assert "RoLoRA minus FedAvg-LoRA" in finding.missing
    assert finding.missing.startswith("more seeds, too near the bound to name a number: 3 seeds")


UNEQUAL = {
    "head": ("llm-ranking", {"head": "frozen"}),
    "local_steps": ("llm-ranking", {"local_steps": 1}),
    "learning_rate_grid": ("llm-ranking", {"learning_rate_grid": [1e-6]}),
    "max_length": ("llm-commonsense", {"max_length": 64}),
    "rounds": ("llm-scaling-with-clients", {"rounds": 31}),
    "data_digest": ("llm-ranking", {"data_digest": "another"}),
    "roberta-large": ("llm-ranking", {"model": "FacebookAI/roberta-large-mnli"}),
    "model": ("llm-ranking", {"model": "mine/roberta-large"}),
    "optimiser is": ("llm-local-steps", {"optimiser": "sgd"}),
}
"""Of what a sentence must tell: the claim, and how the rivals' runs at 50 clients are other ones."""


@pytest.mark.parametrize("named", UNEQUAL)
def test_runs_that_differ_in_more_than_the_method_are_not_compared(named, monkeypatch):
    name, values = UNEQUAL[named]
    runs = [
        planted.altered(r, **values) if r.method != "rolora" and r.settings["clients"] == 50 else r
        for r in PAPER
    ]
    finding = judge(monkeypatch, BY_ID[name], runs)
    assert finding.verdict is Verdict.NOT_RUN
    assert not finding.comparisons
    assert named in finding.missing
    machine = {"engine": "one-by-one", "device": "cuda", "threads": 7, "learning_rate": 0.5}
    runs = [planted.altered(r, **machine) if r.method == "ffa" else r for r in PAPER]
    assert judge(monkeypatch, BY_ID[name], runs).verdict is Verdict.SUPPORTED


def test_a_run_that_is_there_twice_decides_nothing(monkeypatch):
    twice = next(r for r in PAPER if r.place == "glue-rte-50-ffa" and r.seed == 2)
    finding = judge(monkeypatch, BY_ID["llm-ranking"], [*PAPER, replace(twice, place="again")])
    assert finding.verdict is Verdict.NOT_RUN
    assert "glue-rte-50-ffa and again are both FFA-LoRA on rte, seed 2" in finding.missing


def test_a_control_stops_where_an_altered_run_goes_unnoticed(monkeypatch):
    monkeypatch.setattr(decision, "from_folders", lambda root: (PAPER, []))
    monkeypatch.setattr("llm_validation.claims.question._apart", lambda runs, free: "")
    with pytest.raises(RuntimeError, match="another base_dropout was compared"):
        BY_ID["llm-ranking"].negative_control(Budget())


def made_up_study(levels):
    """Final accuracies (3 clients, 20 clients) by method on SST-2, with a little noise; RTE not learned."""
    studied = records.from_study()[0][0]

    def run(**values):
        return planted.altered(studied, **values, rounds=120 // values["clients"])

    return [
        replace(
            run(task=task, method=method, clients=clients, seed=seed),
            accuracy=level + 0.1 * (seed % 2),
        )
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
    assert judge(monkeypatch, minilm, study, runs="planted").verdict is Verdict.SUPPORTED
    assert judge(monkeypatch, minilm, study, runs="exchanged").verdict is Verdict.REFUTED


def test_a_task_that_nobody_learned_is_called_so(monkeypatch):
    study = made_up_study(LEARNED)
    sst2, rte, _ = judge(monkeypatch, minilm, study).notes
    assert "Nothing is learned" not in sst2
    assert "Nothing is learned here: the larger class alone makes 52.7 %" in rte
    assert "FedAvg-LoRA 53.1 % → 53.1 %" in rte


def test_the_committed_study_is_what_its_design_would_write(tmp_path):
    """Replayed run by run: the rates are chosen, the runs kept and the table written as committed."""
    path = resources.files("llm_validation").joinpath(records.RESULTS, "minilm.csv")
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


def finished(folder):
    """The published cells at 50 clients as run folders, three seeds of each."""
    for preset in presets():
        if preset.name.startswith("glue-") and preset.cell.clients == 50:
            for seed in (1, 2, 3):
                config = Config.read(preset.options | {"seed": seed})
                accuracy = preset.cell.value / 100 + seed / 1e4
                planted.write_run(folder / f"{preset.name}-{seed}", config, accuracy)


def test_finished_runs_are_found_in_folders_and_unsound_ones_named(tmp_path):
    finished(tmp_path)
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "manifest.json").write_text("[1]")
    claim, budget = BY_ID["llm-ranking"], Budget(results_dir=tmp_path)
    finding = claim.check(budget)
    assert finding.verdict is Verdict.SUPPORTED
    assert finding.comparisons[0].measured == pytest.approx(15.092)
    assert claim.negative_control(budget).verdict is Verdict.REFUTED
    run = tmp_path / "glue-sst2-50-ffa-2"

    def noticed(name, old, new, said):
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new))
        finding = claim.check(budget)
        assert finding.verdict is Verdict.NOT_RUN
        assert f"the run in {run.name}" in finding.missing
        assert said in finding.missing
        (run / name).write_text(text)

    changed = "not the one its fingerprint was made of"
    noticed("manifest.json", '"rank": 4', '"rank": 8', changed)
    noticed("manifest.json", '"optimiser": "adamw",', "", changed)
    noticed("manifest.json", "}", "", "cannot be read")
    noticed("run.csv", "30,0.9", "30,0.8", "another table than the one its manifest was written")
    # A run of an earlier version tells no digest; its table must at least be whole.
    told = json.loads((run / "manifest.json").read_text())
    del told["table_sha256"]
    (run / "manifest.json").write_text(json.dumps(told))
    assert claim.check(budget).verdict is Verdict.SUPPORTED
    noticed("run.csv", "30,", "29,", "a table that ends before the last round")
    noticed("run.csv", "accuracy", "loss", "cannot be read")


def test_tables_show_flexlora_wherever_it_is_published_or_was_run(monkeypatch):
    ours = [r for r in PAPER if r.method in ("fedavg", "flexlora") and r.settings["rank"] == 4]
    shown = {}
    for claim in ON_LARGE:
        rows = zip(*judge(monkeypatch, claim, ours).table.columns.values(), strict=True)
        shown[claim.id] = [row[1:] for row in rows if row[0] == "FlexLoRA"]
    assert shown.pop("llm-ranking") == [(50, *[pytest.approx(54.67, abs=0.005)] * 2)]
    assert shown.pop("llm-dirichlet") == [(10, 35.45, 35.45)]
    assert shown.pop("llm-local-steps") == [(20, 39.14, 39.14)]
    assert shown.pop("llm-commonsense") == []  # the paper has none of it there
    assert all(len(rows) == 1 and rows[0][1] > 54 for rows in shown.values())


def test_an_altered_cell_of_the_study_is_noticed(tmp_path, monkeypatch):
    package = resources.files("llm_validation")
    (tmp_path / "results").mkdir()
    for name in ("minilm.csv", "minilm.json"):
        text = package.joinpath("results", name).read_text()
        (tmp_path / "results" / name).write_text(text.replace("0.8475,", "0.8476,", 1))
    monkeypatch.setattr("llm_validation.paper.records.resources.files", lambda _package: tmp_path)
    finding = minilm.check(Budget())
    assert finding.verdict is Verdict.NOT_RUN
    assert "minilm.csv is not the table that minilm.json describes" in finding.missing
    (tmp_path / "results" / "minilm.csv").unlink()
    assert "has none" in minilm.check(Budget()).missing

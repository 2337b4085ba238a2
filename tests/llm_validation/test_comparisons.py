"""Comparisons that cannot lie: what is no comparison of methods is refused, and the reason named."""

import json

import pytest

from llm_validation.claims import planted
from llm_validation.config import Config
from llm_validation.paper import records
from llm_validation.paper.own_cell import own_cell
from llm_validation.paper.presets import preset_named, presets
from llm_validation.training.manifest import manifest
from rolora.figures import glue
from rolora.verify.registry import entries
from tests.support import rolora_helpers
from verification.budget import Budget
from verification.codec import json_text
from verification.verdict import Verdict

CLAIMS = {e.value.id: e.value for e in entries() if e.place.startswith("llm_validation")}
SEEDS = (1, 2, 3)
ACCURACY = {"rolora": 0.85, "fedavg": 0.5, "ffa": 0.5}
TASKS = ("sst2", "qnli", "mnli", "qqp", "rte")


def written(folder, rivals=None, **changes):
    """Finished runs of the GLUE cells at 50 clients, RoLoRA 35 points ahead, the rivals' runs changed."""
    for task in TASKS:
        for method, accuracy in ACCURACY.items():
            options = preset_named(f"glue-{task}-50-{method}").options
            own = changes if method == "rolora" else changes | (rivals or {})
            for seed in SEEDS:
                config = Config.read(options | own | {"seed": seed})
                place = folder / f"{task}-{method}-{seed}"
                planted.write_run(place, config, accuracy + seed / 1e3)


def found(folder, claim="llm-ranking"):
    return CLAIMS[claim].check(Budget(results_dir=folder))


STARVED = {
    "optimiser": "sgd",
    "learning_rate": 1e-6,
    "learning_rate_grid": [1e-6],
    "local_steps": 1,
    "head": "frozen",
}


@pytest.mark.parametrize(
    ("rivals", "named"),
    [
        (STARVED, "local_steps is 1"),
        ({n: v for n, v in STARVED.items() if n != "local_steps"}, "head is "),
        ({"learning_rate": 1e-6, "learning_rate_grid": [1e-6]}, "learning_rate_grid is "),
        ({"optimiser": "sgd"}, "optimiser is "),
        ({"split": "dirichlet"}, "split is dirichlet"),
        ({"dirichlet_alpha": 0.1}, "dirichlet_alpha is "),
        ({"rounds": 29}, "rounds is "),
        ({"train_examples": 100}, "train_examples is "),
        ({"eval_examples": 100}, "eval_examples is "),
        ({"weight_decay": 0.1}, "weight_decay is "),
        ({"warmup_rounds": 3}, "warmup_rounds is "),
        ({"server_momentum": 0.5}, "server_momentum is "),
        ({"rank": 8}, "rank is 8"),
        ({"model": "FacebookAI/roberta-base"}, "model is FacebookAI/roberta-base"),
        ({"model": "mine/roberta-large"}, "base_digest is "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rivals_that_were_run_otherwise_are_no_rivals(tmp_path, rivals, named):
    written(tmp_path, rivals)
    finding = found(tmp_path)
    assert finding.verdict is Verdict.NOT_RUN
    assert not finding.comparisons
    assert named in finding.missing


def test_where_only_rate_seed_and_machine_differ_the_runs_decide_and_controls_tamper_with_them(
    tmp_path,
):
    written(
        tmp_path, {"learning_rate": 5e-3, "engine": "one-by-one", "evaluate_every": 7, "threads": 2}
    )
    claim, budget = CLAIMS["llm-ranking"], Budget(results_dir=tmp_path)
    finding = found(tmp_path)
    assert finding.verdict is Verdict.SUPPORTED
    assert finding.comparisons[0].measured == pytest.approx(35.0)
    assert claim.positive_control(budget).verdict is Verdict.SUPPORTED
    assert claim.negative_control(budget).verdict is Verdict.REFUTED


def test_every_value_that_counts_is_noticed_in_one_run(tmp_path, monkeypatch):
    """The control exchanges each in turn; here the comparison is blind to one of them."""
    written(tmp_path)
    real = records.difference
    for blind in ("weight_decay", "base_digest", "lora_alpha"):
        monkeypatch.setattr(
            records, "difference", lambda runs, free=records.FREE, b=blind: real(runs, {*free, b})
        )
        with pytest.raises(RuntimeError, match=f"a run with another {blind} was compared"):
            CLAIMS["llm-ranking"].negative_control(Budget(results_dir=tmp_path))


def retold(folder, **changes):
    """Rewrite what a run's manifest tells."""
    path = folder / "manifest.json"
    told = json.loads(path.read_text())
    path.write_text(json_text(told | changes))


TRIALS = [{"learning_rate": r, "accuracy": r, "loss": 1.0} for r in (1e-3, 5e-4)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate_trials": []}, "has learning_rate_trials of nothing, its grid is"),
        ({"learning_rate_trials": TRIALS}, "its grid is"),
        ({"facts": {}}, "tells no digest of its data"),
        ({"facts": {"data_digest": "rte, 2"}}, "base_digest is "),
        (
            {"facts": {"data_digest": "other", "base_digest": "FacebookAI/roberta-large"}},
            "data_digest is ",
        ),
        (
            {"facts": {"data_digest": "rte, 2", "base_digest": "other weights of the same name"}},
            "base_digest is ",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_manifest_that_tells_too_little_or_something_else(tmp_path, changes, said):
    written(tmp_path)
    retold(tmp_path / "rte-ffa-2", **changes)
    finding = found(tmp_path)
    assert finding.verdict is Verdict.NOT_RUN
    assert "rte-ffa-2" in finding.missing
    assert said in finding.missing


def test_a_rate_that_the_trials_did_not_choose_is_noticed(tmp_path):
    written(tmp_path)
    place = tmp_path / "rte-ffa-2"
    config = Config.read(
        preset_named("glue-rte-50-ffa").options | {"seed": 2, "learning_rate": 5e-5}
    )
    told = manifest(config, {"data_digest": "rte, 2"})
    retold(place, configuration=told["configuration"], fingerprint=told["fingerprint"])
    assert (
        "the run in rte-ffa-2 has learning_rate = 5e-05, its grid's best is 0.0005"
        in found(tmp_path).missing
    )


def test_a_truncated_manifest_is_refused_by_name(tmp_path, capsys):
    written(tmp_path)
    path = tmp_path / "qqp-fedavg-3" / "manifest.json"
    path.write_text(path.read_text()[:-200])
    finding = found(tmp_path)
    assert finding.verdict is Verdict.NOT_RUN
    assert "the run in qqp-fedavg-3 cannot be read" in finding.missing
    words = ("compare", path.parent, "--out", tmp_path / "compare")
    assert "qqp-fedavg-3/manifest.json must be JSON" in rolora_helpers.refused(capsys, *words)
    written(tmp_path / "again")
    retold(tmp_path / "again" / "rte-ffa-2", table_sha256="0")
    words = ("compare", tmp_path / "again" / "rte-ffa-2", "--out", tmp_path / "compare")
    assert "rte-ffa-2 has another table" in rolora_helpers.refused(capsys, *words)


def test_two_cells_of_equal_task_clients_rank_and_seed_stay_apart(tmp_path, capsys):
    """`mnli-steps-1-50-ffa` and `glue-mnli-50-ffa`: 50 clients, rank 4, and 1 or 20 local steps."""
    written(tmp_path)
    names = ("glue-mnli-50-ffa", "mnli-steps-1-50-ffa")
    for seed in SEEDS:
        config = Config.read(preset_named(names[1]).options | {"seed": seed})
        planted.write_run(tmp_path / f"{names[1]}-{seed}", config, 0.9)
    assert found(tmp_path).comparisons[1].measured == pytest.approx(35.0)
    both, _ = records.from_folders(tmp_path)
    scores = [
        records.by_seed(both, "ffa", {"clients": 50, "rank": 4, **more}, ("mnli",))
        for more in ({"local_steps": 20}, {"local_steps": 1}, {})
    ]
    assert scores[0][1] == pytest.approx(50.1)
    assert scores[1][1] == pytest.approx(90.0)
    assert scores[2] == {}  # nobody said which of the two
    ours = glue.data(Budget(results_dir=tmp_path))
    cell = [
        row[5:6] + row[7:8]
        for row in zip(*ours.columns.values(), strict=True)
        if row[0] == "ours" and row[2] == "MNLI" and row[4] == "ffa"
    ]
    assert cell == [(pytest.approx(50.2), 3)]
    places = [tmp_path / "mnli-ffa-1", tmp_path / f"{names[1]}-1", tmp_path / "mnli-rolora-1"]
    code, out, _ = rolora_helpers.run(
        capsys, "compare", *places, "--paper", "--json", "--out", tmp_path / "compare"
    )
    told = json.loads(out)
    assert (code, [run["published"] for run in told["runs"]]) == (0, [69.97, 72.52, 82.98])
    assert "1 local step" in told["runs"][1]["published_cell"]
    assert "local_steps is 20 in" in told["differ"]


@pytest.mark.parametrize(
    ("name", "changes", "cell"),
    [
        ("glue-rte-50-ffa", {}, "glue-rte-50-ffa"),
        (
            "glue-rte-50-ffa",
            {"optimiser": "sgd", "seed": 4, "dtype": "bfloat16"},
            "glue-rte-50-ffa",
        ),
        ("glue-rte-50-ffa", {"model": "somewhere/roberta-large/model"}, "glue-rte-50-ffa"),
        ("glue-rte-50-ffa", {"model": "FacebookAI/roberta-base"}, None),
        ("glue-rte-50-ffa", {"rank": 8}, "glue-rank8-rte-50-ffa"),
        ("glue-rte-50-ffa", {"rank": 2}, None),
        ("glue-rte-50-ffa", {"rounds": 29}, None),
        ("glue-rte-50-ffa", {"clients": 40}, None),
        ("glue-rte-50-ffa", {"train_examples": 99}, None),
        ("glue-mnli-50-ffa", {"split": "dirichlet"}, None),
        ("mnli-steps-20-50-ffa", {}, "mnli-steps-20-50-ffa"),
        ("commonsense-boolq-50-ffa", {}, "commonsense-boolq-50-ffa"),
        ("commonsense-boolq-50-ffa", {"scoring": "likelihood"}, None),
        ("flowertune-20-rolora", {}, None),
    ],
)
def test_a_run_is_of_its_own_cell_or_of_none(name, changes, cell):
    config = Config.read(preset_named(name).options | changes)
    own = own_cell(manifest(config, {})["configuration"], name)
    assert (own.name if own else None) == cell


def test_every_cell_is_its_own_and_is_published_twice_at_most():
    for preset in presets():
        own = own_cell(Config.read(preset.options).as_dict(), preset.name)
        assert own == (preset if preset.cell else None)


def test_the_larger_class_lies_above_some_published_cells():
    beaten = [
        (p.cell.task, p.cell.clients, p.cell.method)
        for p in presets()
        if p.cell and "answer alone makes" in p.cell.note
    ]
    assert ("RTE", 50, "LoRA") in beaten
    assert ("RTE", 20, "LoRA") in beaten
    assert ("RTE", 50, "RoLoRA") not in beaten
    assert {cell for cell in beaten if cell[0] == "BoolQ"} == {
        ("BoolQ", 50, method) for method in ("LoRA", "FFA-LoRA", "RoLoRA")
    }

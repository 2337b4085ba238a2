"""`rolora llm` from the outside."""

import csv
import json
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from llm_validation.paper import cost, records
from tests.support import rolora_helpers


@pytest.fixture
def options(roberta, data_dir):
    return [
        "llm", "run", "--model", roberta, "--task", "sst2", "--data-dir", data_dir, "--clients", "3",
        "--rounds", "2", "--local-steps", "1", "--batch-size", "4", "--rank", "2", "--device", "cpu",
    ]  # fmt: skip


@pytest.fixture
def outcome(capsys):
    """Exit status, standard output and standard error, on one line each, of a command."""

    def call(*words):
        code, out, error = rolora_helpers.run(capsys, *words)
        return code, out, " ".join(error.replace("│", " ").split())

    return call


def test_a_run_writes_its_folder_and_compare_reads_it_beside_the_paper(options, tmp_path, outcome):
    out = tmp_path / "run"
    more = ["--out", out, "--checkpoint-every", 1]
    code, _, error = outcome(*options, *more)
    assert (code, "tokens/s" in error) == (0, True)
    manifest = json.loads((out / "manifest.json").read_text())
    configuration = manifest["configuration"]
    assert (manifest["kind"], configuration["method"]) == ("llm", "rolora")
    assert configuration["optimiser"] == "adamw"
    assert "/" not in str(configuration["model"])
    rows = list(csv.DictReader((out / "run.csv").read_text().splitlines()))
    assert [row["round"] for row in rows] == ["0", "1", "2"]
    assert float(rows[-1]["accuracy"]) >= 0
    assert (out / "checkpoints" / "round-000002" / "state.json").is_file()
    (found,), faults = records.from_folders(tmp_path)
    assert (found.accuracy, found.method) == (100 * float(rows[-1]["accuracy"]), "rolora")
    assert (found.place, faults) == ("run", [])
    # The finished run resumes to itself, from its checkpoint too.
    adapter = out / "adapter" / "adapter_model.safetensors"
    before = adapter.read_bytes()
    (out / "manifest.json").unlink()
    assert outcome(*options, *more, "--resume", "--quiet")[0] == 0
    assert adapter.read_bytes() == before
    code, told, _ = outcome("compare", out, "--paper", "--json", "--out", tmp_path / "compare")
    # A small model with its own number of rounds is a run of no published cell.
    told = json.loads(told)
    assert (code, told["runs"][0]["published"], told["differ"]) == (0, "nan", "")
    assert manifest["cell"] is None
    # One that diverges in the same place leaves no manifest of it.
    wild = ["--learning-rate", "1e38", "--optimiser", "sgd", "--local-steps", 2, "--quiet"]
    code, _, error = outcome(*options, "--out", out, *wild)
    assert (code, "returned NaN or infinity in tensor" in error) == (2, True)
    assert (out / "run.csv").is_file()
    assert not (out / "manifest.json").exists()


def test_options_win_over_the_file_and_a_grid_is_swept(options, tmp_path, outcome):
    file = tmp_path / "run.toml"
    file.write_text('method = "ffa"\nrounds = 1\nlearning_rate_grid = [1e-3, 1e-2]\n')
    code, told, _ = outcome(*options, "--config", file, "--out", tmp_path / "run", "--json")
    manifest = json.loads(told)
    assert (code, manifest["configuration"]["method"]) == (0, "ffa")
    assert manifest["configuration"]["rounds"] == 2
    assert [t["learning_rate"] for t in manifest["learning_rate_trials"]] == [1e-3, 1e-2]


@pytest.mark.parametrize("grid", [[], ["--learning-rate-grid", "1e-3,1e-2"]], ids=["rate", "grid"])
def test_a_finished_run_is_gone_on_with_in_no_time(options, tmp_path, outcome, grid):
    words = [*options, *grid, "--out", tmp_path / "run", "--json"]
    told = outcome(*words)[1]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code = (
        "import sys, time; from rolora.cli import main\n"
        "try: main()\n"
        "finally: print({'torch', 'transformers', 'datasets'} & {*sys.modules},"
        " time.process_time(), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *map(str, words), "--resume"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == told
    loaded, seconds = done.stderr.splitlines()[-1].rsplit(" ", 1)
    assert loaded == "set()"
    assert float(seconds) < 2.0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    shown = outcome(*words[:-1], "--resume")
    assert "accuracy" in shown[1]
    assert "The run is finished already." in shown[2]


@pytest.mark.parametrize(
    "change",
    ["seed", "rounds", "data", "table", "adapter"],
)
def test_what_is_not_the_finished_run_is_run(options, tmp_path, outcome, monkeypatch, change):
    out = tmp_path / "run"
    assert outcome(*options, "--out", out, "--quiet")[0] == 0
    more = []
    if change == "table":
        (out / "run.csv").write_text((out / "run.csv").read_text().replace("0.", "1.", 1))
    elif change == "adapter":
        shutil.rmtree(out / "adapter")
    elif change == "data":
        more = ["--data-dir", tmp_path / "elsewhere"]
    else:
        more = [f"--{change}", 5]
    reached = RuntimeError("trained")

    def train(*args, **options):
        raise reached

    monkeypatch.setattr("llm_validation.training.loop.run", train)
    with pytest.raises(RuntimeError, match="trained"):
        outcome(*options, "--out", out, "--quiet", "--resume", *more)


@pytest.mark.parametrize("option", ["--learning-rate", "--learning-rate-grid"])
def test_one_rate_asked_for_takes_the_place_of_a_presets_grid(options, tmp_path, outcome, option):
    preset = ["--preset", "glue-rte-50-rolora", "--json", "--out", tmp_path / "run"]
    manifest = json.loads(outcome(*options, *preset, option, 0.004)[1])
    assert manifest["configuration"]["learning_rate"] == 0.004
    assert "learning_rate_trials" not in manifest


def test_tensorboard_gets_every_round_and_nothing_of_a_refused_run(
    options, tmp_path, monkeypatch, outcome
):
    opened = []

    class Board:
        def __init__(self, place, purge_step):
            self.place, self.first, self.seen, self.open = place, purge_step, set(), True
            opened.append(self)

        def add_scalar(self, name, value, step):
            self.seen.add((name, step))

        def close(self):
            self.open = False

    fake = types.SimpleNamespace(SummaryWriter=Board)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    out = tmp_path / "run"
    words = [*options, "--out", out, "--quiet", "--tensorboard", "--checkpoint-every", 1]
    assert outcome(*words, "--clients", 1000)[0] == 2
    assert not opened
    assert outcome(*words)[0] == 0
    board = opened[0]
    assert {("accuracy", 0), ("accuracy", 2), ("aggregation_error", 1)} <= board.seen
    assert (board.place, board.first, board.open) == (str(out / "tensorboard"), 0, False)
    shutil.rmtree(out / "checkpoints" / "round-000002")
    (out / "manifest.json").unlink()
    assert outcome(*words, "--resume")[0] == 0
    assert (opened[1].first, {step for _, step in opened[1].seen}) == (2, {2})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "rolara"], "did you mean 'rolora'"),
        (["--clients", "1000"], "clients must not exceed the number of examples"),
        (["--preset", "glue-rte-50-rolara"], "did you mean 'glue-rte-50-rolora'"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_two(options, tmp_path, capsys, more, message):
    words = [*options, "--out", tmp_path / "run", *more]
    assert message in rolora_helpers.refused(capsys, *words)
    assert not (tmp_path / "run").exists()


def test_what_is_missing_is_named(options, tmp_path, outcome, monkeypatch):
    assert "--model must be given" in outcome("llm", "run", "--out", tmp_path / "x")[2]
    monkeypatch.setattr("verification.discovery.find_spec", lambda name: None)
    code, _, error = outcome(*options, "--out", tmp_path / "run")
    assert (code, "pip install 'rolora-verify[llm]'" in error) == (2, True)


def test_a_run_tells_its_recipe_by_its_values_and_its_cell(options, tmp_path, outcome):
    preset = [
        "--preset",
        "glue-rte-50-rolora",
        "--recipe",
        "authors",
        "--json",
        "--out",
        tmp_path / "run",
    ]
    told = json.loads(outcome(*options, *preset, "--learning-rate", 0.01)[1])
    own = told["configuration"]
    assert (own["optimiser"], own["weight_decay"], own["head"]) == ("sgd", 2e-4, "frozen")
    assert (own["learning_rate"], own["learning_rate_grid"]) == (0.01, [])
    # Another model and fewer rounds: no longer the cell.
    assert told["cell"] is None
    assert "did you mean 'authors'" in outcome(*options, "--recipe", "author")[2]


def test_presets_are_listed_and_written_as_toml(outcome):
    sgd = outcome("llm", "presets", "glue-rte-50-rolora", "--recipe", "authors")[1]
    assert 'optimiser = "sgd"' in sgd
    assert "learning_rate_grid = [0.0005, 0.001," in sgd
    adamw = outcome("llm", "presets", "glue-rte-50-rolora")[1]
    assert "learning_rate_grid = [5e-05, 0.0001," in adamw
    flower = outcome("llm", "presets", "flowertune-20-rolora")[1]
    assert "no number is published" in flower
    assert "participation = 0.1" in flower
    assert 'scoring = "extract"' in outcome("llm", "presets", "commonsense-boolq-50-ffa")[1]
    assert "glue-sst2-3-fedavg" in outcome("llm", "presets")[1]
    assert 'task = "rte"' in outcome("llm", "presets", "glue-rte-50-rolora")[1]
    assert len(json.loads(outcome("llm", "presets", "--json")[1])) > 60


def test_an_estimate_measures_a_few_rounds_and_counts_every_run(
    roberta, tmp_path, outcome, monkeypatch
):
    monkeypatch.setitem(cost.TRIAL, "local_steps", 1)
    rng = np.random.default_rng(0)
    (tmp_path / "sst2").mkdir()
    for name, count in (("train", 2000), ("validation", 40)):
        rows = [
            {"sentence": " ".join(["w1"] * n), "label": n % 2}
            for n in rng.integers(1, 9, count).tolist()
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "sst2" / f"{name}.jsonl").write_text(text)
    words = ["llm", "estimate", "--model", roberta, "--data-dir", tmp_path, "--device", "cpu"]
    assert outcome(*words, "--seeds", 0)[2].endswith("seeds must be at least 1, got 0")
    told = json.loads(outcome(*words, "--seeds", 2, "--json")[1])
    assert told["not_at_hand"] == ["mnli", "qnli", "qqp", "rte"]
    assert (told["sizes"]["sst2"]["evaluated"], told["speeds"].keys()) == (40, {"3", "20", "50"})
    names = [cell["cell"] for cell in told["cells"]]
    assert len(names) == len(set(names)) == 45
    assert all(cell["runs"] == 8 + 2 for cell in told["cells"])
    hours = {cell["cell"]: cell["hours"] for cell in told["cells"]}
    # 50 clients, 30 rounds of 20 steps of 32 examples, and 30 evaluations and one before.
    length, speed = told["sizes"]["sst2"]["length"], told["speeds"]["50"]
    seconds = 50 * 30 * 20 * 32 * length / speed["tokens"] + 31 * 40 / speed["examples"]
    assert hours["glue-sst2-50-ffa"] == pytest.approx(10 * seconds / 3600)
    # What is not at hand is counted at full length.
    assert hours["glue-qqp-50-ffa"] > 5 * hours["glue-sst2-50-ffa"]
    assert told["hours"] == pytest.approx(sum(hours.values()))
    assert "no task of the table is at hand" in outcome(*words, "--table", "commonsense")[2]

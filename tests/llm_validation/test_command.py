"""`rolora llm` from the outside."""

import csv
import json
import shutil
import sys
import types

import pytest

from rolora.cli import main


@pytest.fixture
def options(roberta, data_dir):
    return [
        "llm", "run", "--model", roberta, "--task", "sst2", "--data-dir", data_dir, "--clients", "3",
        "--rounds", "2", "--local-steps", "1", "--batch-size", "4", "--rank", "2", "--device", "cpu",
    ]  # fmt: skip


def outcome(arguments):
    try:
        main(arguments)
    except SystemExit as stopped:
        return stopped.code or 0
    return 0


def test_a_run_writes_its_folder(options, tmp_path, capsys):
    out = tmp_path / "run"
    assert outcome([*options, "--out", str(out), "--checkpoint-every", "1"]) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["kind"] == "llm"
    assert manifest["configuration"]["method"] == "rolora"
    assert manifest["configuration"]["optimiser"] == "adamw"
    assert "/" not in str(manifest["configuration"]["model"])
    rows = list(csv.DictReader((out / "run.csv").read_text().splitlines()))
    assert [row["round"] for row in rows] == ["0", "1", "2"]
    assert float(rows[-1]["accuracy"]) >= 0
    assert (out / "adapter" / "adapter_model.safetensors").is_file()
    assert (out / "checkpoints" / "round-000002" / "state.json").is_file()
    assert "tokens/s" in capsys.readouterr().err
    # The finished run resumes to itself.
    before = (out / "adapter" / "adapter_model.safetensors").read_bytes()
    assert (
        outcome([*options, "--out", str(out), "--resume", "--quiet", "--checkpoint-every", "1"])
        == 0
    )
    assert (out / "adapter" / "adapter_model.safetensors").read_bytes() == before


def test_compare_reads_it_beside_the_paper(options, tmp_path, capsys):
    out = tmp_path / "run"
    assert outcome([*options, "--out", str(out), "--quiet"]) == 0
    capsys.readouterr()
    code = outcome(["compare", str(out), "--paper", "--json", "--out", str(tmp_path / "compare")])
    assert code == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["published"] == 95.49


def test_options_win_over_the_file_and_a_grid_is_swept(options, tmp_path, capsys):
    file = tmp_path / "run.toml"
    file.write_text('method = "ffa"\nrounds = 1\nlearning_rate_grid = [1e-3, 1e-2]\n')
    out = tmp_path / "run"
    assert outcome([*options, "--config", str(file), "--out", str(out), "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["configuration"]["method"] == "ffa"
    assert manifest["configuration"]["rounds"] == 2
    assert [t["learning_rate"] for t in manifest["learning_rate_trials"]] == [1e-3, 1e-2]


@pytest.mark.parametrize(
    ("more", "rate"), [(["--learning-rate", "0.004"], 0.004), (["--learning-rate-grid", "0.006"], 0.006)]
)  # fmt: skip
def test_one_rate_asked_for_takes_the_place_of_a_presets_grid(
    options, tmp_path, capsys, more, rate
):
    preset = ["--preset", "glue-rte-50-rolora", "--json", "--out", str(tmp_path / "run")]
    assert outcome([*options, *preset, *more]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["configuration"]["learning_rate"] == rate
    assert "learning_rate_trials" not in manifest


def test_a_diverged_run_leaves_no_manifest_of_an_earlier_one(options, tmp_path):
    out = tmp_path / "run"
    assert outcome([*options, "--out", str(out), "--quiet"]) == 0
    assert (out / "manifest.json").is_file()
    wild = ["--learning-rate", "1e38", "--optimiser", "sgd", "--quiet"]
    assert outcome([*options, "--out", str(out), *wild]) == 2
    assert not (out / "manifest.json").exists()


def test_tensorboard_gets_every_round_and_nothing_of_a_refused_run(options, tmp_path, monkeypatch):
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
    more = ["--out", str(out), "--quiet", "--tensorboard"]
    assert outcome([*options, *more, "--clients", "1000"]) == 2
    assert not opened
    assert outcome([*options, *more, "--checkpoint-every", "1"]) == 0
    assert {("accuracy", 0), ("accuracy", 2), ("aggregation_error", 1)} <= opened[0].seen
    assert (opened[0].place, opened[0].first, opened[0].open) == (
        str(out / "tensorboard"),
        0,
        False,
    )
    shutil.rmtree(out / "checkpoints" / "round-000002")
    assert outcome([*options, *more, "--checkpoint-every", "1", "--resume"]) == 0
    assert opened[1].first == 2
    assert {step for _, step in opened[1].seen} == {2}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "rolara"], "did you mean 'rolora'"),
        (["--task", "sst3"], "did you mean 'sst2'"),
        (["--clients", "1000"], "clients must not exceed the number of examples"),
        (["--learning-rate", "nan"], "learning_rate must be above 0 and finite"),
        (["--preset", "glue-rte-50-rolara"], "did you mean 'glue-rte-50-rolora'"),
        (["--rank", "99"], "rank must not exceed the width"),
        (
            ["--learning-rate", "1e38", "--optimiser", "sgd", "--local-steps", "2"],
            "returned NaN or infinity in tensor",
        ),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_two(options, tmp_path, capsys, more, message):
    out = tmp_path / "run"
    assert outcome([*options, "--out", str(out), *more]) == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.replace("│", " ").split())
    assert "Traceback" not in error
    if "returned NaN" in message:
        assert (out / "run.csv").is_file()
        assert not (out / "manifest.json").exists()
    else:
        assert not out.exists()


def test_model_and_task_must_be_named(tmp_path, capsys):
    assert outcome(["llm", "run", "--out", str(tmp_path / "x")]) == 2
    assert "--model must be given" in capsys.readouterr().err


def test_presets_are_listed_and_written_as_toml(capsys):
    assert outcome(["llm", "presets"]) == 0
    assert "glue-sst2-3-fedavg" in capsys.readouterr().out
    assert outcome(["llm", "presets", "glue-rte-50-rolora"]) == 0
    assert 'task = "rte"' in capsys.readouterr().out
    assert outcome(["llm", "presets", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) > 60


def test_the_extra_is_named_where_it_is_missing(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("verification.discovery.find_spec", lambda name: None)
    assert outcome([*options, "--out", str(tmp_path / "run")]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "pip install 'rolora-verify[llm]'" in error

from xml.etree import ElementTree

import numpy as np
import pytest
from rolora_helpers import files, refused, run, strict_json

from llm_validation.paper import published
from rolora.commands.linear import sparkline
from rolora.storage.run_folder import read

SMALL = ("--d", "6", "--clients", "3", "--samples", "8", "--rounds", "4", "--trials", "5")


def words(out, *more):
    return "linear", "run", *SMALL, "--out", out, *more


def linear(capsys, out, *more):
    return run(capsys, *words(out, *more))


def test_a_run_writes_its_table_manifest_and_figure(capsys, tmp_path):
    code, out, err = linear(capsys, tmp_path, "--every-trial")
    assert code == 0
    assert "angle" in out
    assert (
        "sent   84 numbers up and 84 down" in out
    )  # 4 rounds, 3 clients, A of 6 numbers and B of 1
    assert err.startswith("Run: ")
    assert files(tmp_path) == {"run.csv", "manifest.json", "figure.svg", "trials.csv"}
    stored = read(tmp_path)
    assert stored.columns["round"] == [0, 1, 2, 3, 4]
    assert stored.manifest["configuration"]["kappa"] == 0.5
    assert " --d 6 --clients 3 " in stored.manifest["command"]
    ElementTree.parse(tmp_path / "figure.svg")
    rows = np.genfromtxt(tmp_path / "trials.csv", delimiter=",", names=True)
    assert rows.size == 25
    for r in range(5):
        of_round = rows["angle"][rows["round"] == r]
        assert stored.columns["angle"][r] == pytest.approx(of_round.mean(), rel=1e-13)
        assert stored.columns["angle_median"][r] == pytest.approx(np.median(of_round), rel=1e-13)
        assert stored.columns["angle_low"][r] < stored.columns["angle"][r] or np.ptp(of_round) == 0
        assert stored.columns["numbers_up"][r] == stored.columns["numbers_down"][r] == 21 * r
        assert set(rows["numbers_up"][rows["round"] == r]) == {21 * r}


def test_the_command_in_the_manifest_repeats_the_run(capsys, tmp_path):
    import shlex

    linear(capsys, tmp_path / "a", "--seed", "7", "--heterogeneity", "0.3", "--noise", "0.1",
           "--method", "rolora", "--local-steps", "2", "--eta", "0.1", "--outputs", "3", "--shift", "0.2",
           "--target-rank", "3", "--spectrum", "power", "--condition", "4")  # fmt: skip
    told = shlex.split(read(tmp_path / "a").manifest["command"])
    assert run(capsys, *told[1:], "--out", tmp_path / "b")[0] == 0
    assert (tmp_path / "a" / "run.csv").read_bytes() == (tmp_path / "b" / "run.csv").read_bytes()


def test_json_is_the_manifest_and_nothing_else(capsys, tmp_path):
    code, out, err = linear(capsys, tmp_path, "--json")
    assert (code, err) == (0, "")
    assert strict_json(out) == strict_json((tmp_path / "manifest.json").read_text())


def test_one_trial_has_no_interval(capsys, tmp_path):
    linear(capsys, tmp_path, "--trials", "1", "--quiet")
    assert np.isnan(read(tmp_path).columns["angle_low"]).all()


def test_heterogeneity_is_the_distance_that_was_asked_for(capsys, tmp_path):
    linear(capsys, tmp_path, "--heterogeneity", "0.25", "--outputs", "4", "--method", "ffa-ls")
    columns = read(tmp_path).columns
    # loss = excess + mean squared distance of the B_i* from their mean
    gap = np.subtract(columns["loss"], columns["excess"])
    assert gap == pytest.approx(0.25**2, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--condition", "5"],
            "condition is about targets of several singular values that differ, got 5",
        ),
        (["--condition", "5", "--spectrum", "power"], "spectrum power and targets of rank 1"),
        (
            ["--condition", "inf", "--spectrum", "power", "--rank", "2"],
            "condition must be at least 1 and finite, got inf",
        ),
        (["--d", "1"], "d must be a whole number of at least 2, got 1"),
        (["--rank", "7"], "rank must be at most d = 6"),
        (["--kappa", "nan"], "kappa must be above 0 and finite, got nan"),
        (["--heterogeneity", "-1"], "heterogeneity must be at least 0 and finite, got -1.0"),
        (["--heterogeneity", "1", "--clients", "1"], "heterogeneity needs at least 2 clients"),
        (["--outputs", "1", "--rank", "2"], "outputs must be at least the targets' rank 2"),
        (["--target-rank", "9"], "target_rank must lie between the rank 1 and d = 6, got 9"),
        (["--target-rank", "2"], "spectrum must be linear, geometric or power"),
        (["--shift", "0.5", "--clients", "1"], "shift needs at least 2 clients, got 1"),
        (["--shift", "1"], "shift must be at least 0 and below 1, got 1.0"),
        (["--local-steps", "2"], "has no option 'local_steps'"),
        (["--method", "rolor"], "did you mean 'rolora'?"),
        (["--simulator", "grams"], "did you mean 'gram'?"),
        (["--data", "fixd"], "did you mean 'fixed'?"),
        (["--batches", "share"], "did you mean 'shared'?"),
        (["--start", "nan"], "start must be random or a number"),
        (["--start", "ramdom"], "start must be random or a number"),
        (["--config", "/nowhere.toml"], "config file /nowhere.toml cannot be read"),
    ],
)
def test_bad_usage_is_one_sentence_and_nothing_is_written(capsys, tmp_path, arguments, said):
    assert said in refused(capsys, *words(tmp_path / "run", *arguments))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(capsys, tmp_path, fill_disk):
    fill_disk("manifest.json")
    assert "No space left on device" in refused(capsys, *words(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_sparklines_fall_when_values_do():
    line = sparkline([1.0, 0.1, 0.01])
    assert line == "█▄▁"
    assert sparkline([0.0, float("nan")]) == ""
    assert len(sparkline(np.geomspace(1, 1e-9, 500))) == 40


def test_runs_are_compared_by_their_last_row_and_drawn_together(capsys, tmp_path):
    linear(capsys, tmp_path / "a")
    linear(capsys, tmp_path / "b", "--seed", "1")
    linear(capsys, tmp_path / "c", "--method", "ffa-ls")
    folders = [tmp_path / name for name in "abc"]
    code, out, _ = run(capsys, "compare", *folders, "--out", tmp_path / "both", "--json")
    assert code == 0
    compared = strict_json(out)
    assert compared["published"] == []
    names = [row["run"] for row in compared["runs"]]
    assert names[0].endswith("(a)")
    assert names[1].endswith("(b)")
    assert names[2].startswith("ffa-ls")
    assert compared["runs"][0]["angle"] == read(tmp_path / "a").columns["angle"][-1]
    assert files(tmp_path / "both") == {"compare.svg", "curves.csv", "final.csv"}
    ElementTree.parse(tmp_path / "both" / "compare.svg")
    code, out, _ = run(capsys, "compare", *folders, "--y", "loss", "--out", tmp_path / "both")
    assert code == 0
    assert "ffa-ls" in out
    assert "loss" in (tmp_path / "both" / "curves.csv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give at least one run folder, or --paper"),
        (["{a}", "--y", "los"], "did you mean 'loss'?"),
        (["{a}", "{a}/nowhere"], "must be a run folder"),
    ],
)
def test_bad_comparisons_are_refused(capsys, tmp_path, arguments, said):
    linear(capsys, tmp_path / "a")
    given = [word.format(a=tmp_path / "a") for word in arguments]
    assert said in refused(capsys, "compare", *given, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_published_tables_can_be_shown_alone(capsys, tmp_path):
    code, out, _ = run(capsys, "compare", "--paper", "--out", tmp_path / "x")
    assert code == 0
    assert "85.81" in out
    assert "do not average to the published average" in out
    assert "always the commonest answer alone makes 62.17 % on BoolQ, no less than this" in out
    assert "always the commonest answer alone makes 52.71 % on RTE, no less than this" in out
    assert not (tmp_path / "x").exists()
    code, out, _ = run(capsys, "compare", "--paper", "--json")
    assert len(strict_json(out)["published"]) == len(published.cells())


def test_published_averages_are_the_averages_except_in_the_row_that_says_so():
    rows: dict[tuple[int, str], dict[str, published.PublishedNumber]] = {}
    for cell in published.cells():
        if cell.table == "glue":
            rows.setdefault((cell.clients, cell.method), {})[cell.task] = cell
    assert len(rows) == 9
    wrong = []
    for key, cells in rows.items():
        average = cells.pop(published.AVERAGE)
        assert len(cells) == 5
        assert average.confirmed
        mean = sum(cell.value for cell in cells.values()) / 5
        if abs(mean - average.value) > 0.0051:  # both are rounded to two decimals
            wrong.append(key)
        assert all(cell.confirmed == (cell.clients == 50) for cell in cells.values())
        told = ["do not average" in cell.note for cell in cells.values()]
        assert told == [key == (3, "FFA-LoRA")] * 5
    assert wrong == [(3, "FFA-LoRA")]

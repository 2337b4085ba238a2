"""`rolora llm grid`: the same table by any workers and after any death; what is finished is not run again."""

import csv
import json
import math
import signal
import subprocess
import sys
import time
from statistics import stdev

import psutil
import pytest

from llm_validation.config import Config
from llm_validation.paper import records
from llm_validation.paper.presets import preset_named
from rolora.grid import table
from rolora.grid.plan import Cell
from tests.support import rolora_helpers

CELLS = [f"glue-sst2-{clients}-{method}" for clients in (3, 50) for method in ("rolora", "ffa")]
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def words(roberta, data_dir):
    return [
        "llm", "grid", "--table", "glue", "--only", ",".join(CELLS), "--seeds", len(SEEDS),
        "--model", roberta, "--data-dir", data_dir, "--device", "cpu", "--rounds", 2, "--local-steps", 1,
        "--batch-size", 4, "--dtype", "float32", "--learning-rate-grid", "1e-3,1e-2",
        "--checkpoint-every", 1, "--threads", 1,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(words, tmp_path_factory):
    """The grid's folder, run undisturbed by one worker."""
    out = tmp_path_factory.mktemp("grid") / "whole"
    launched(words, out, "--jobs", 1, "--json").check_returncode()
    return out


def launched(words, out, *more):
    return subprocess.run(
        command(words, out, *more), capture_output=True, text=True, check=False, timeout=300
    )


def command(words, out, *more):
    said = map(str, (*words, "--out", out, *more))
    return [sys.executable, "-m", "rolora", *said]


def tables(out):
    return {name: (out / name).read_bytes() for name in ("table.csv", "table.md")}


def killed(words, out, until):
    """A grid by two workers, of which one is killed, and in the end the command itself."""
    with subprocess.Popen(
        command(words, out, "--jobs", 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        own = psutil.Process(process.pid)
        await_(lambda: list(out.glob("half-done/*/*/*")), process)
        workers = [w for w in own.children(recursive=True) if "popen_loky" in " ".join(w.cmdline())]
        workers[0].kill()
        await_(lambda: until(out), process)
        left = own.children(recursive=True)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    psutil.wait_procs(left, timeout=20)


def await_(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


def test_two_workers_killed_and_gone_on_with_give_the_same_table(words, whole, tmp_path, capsys):
    out = tmp_path / "broken"
    killed(words, out, lambda out: list(out.glob("glue-*/seed-*")))
    assert not (out / "table.csv").exists()
    for path in out.glob("glue-*/seed-*"):
        assert {"manifest.json", "run.csv", "adapter"} <= {one.name for one in path.iterdir()}
    before = {path: path.stat().st_mtime_ns for path in out.glob("glue-*/seed-*/run.csv")}
    done = launched(words, out, "--jobs", 2)
    assert done.returncode == 0, done.stderr
    assert f"8 runs, {len(before)} of them finished" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tables(out) == tables(whole)
    assert not (out / "half-done").exists()
    assert not [*out.rglob("*.tmp"), *out.rglob("*.old")]


def test_the_table_is_that_of_its_run_folders(whole, capsys):
    found, faults = records.from_folders(whole)
    assert (len(found), faults) == (8, [])
    rows = {
        row["cell"]: row for row in csv.DictReader((whole / "table.csv").read_text().splitlines())
    }
    assert sorted(rows) == sorted(CELLS)
    for name, row in rows.items():
        own = sorted((one for one in found if name in one.place), key=lambda one: one.seed)
        assert tuple(one.seed for one in own) == SEEDS
        accuracies = [one.accuracy for one in own]
        assert float(row["ours"]) == pytest.approx(sum(accuracies) / 2)
        assert float(row["sd"]) == pytest.approx(stdev(accuracies))
        assert float(row["published"]) == preset_named(name).cell.value
        # Another model and other rounds: not the published cell, so no difference to it is told.
        assert (row["difference"], row["of_the_cell"]) == ("", "False")
        told = [json.loads((whole / one.place / "manifest.json").read_text()) for one in own]
        assert told[0]["learning_rate_trials"] == told[1]["learning_rate_trials"]
        assert {one["learning_rate_seed"] for one in told} == {0}
        assert float(row["learning_rate"]) == told[0]["configuration"]["learning_rate"]
    runs = [whole / CELLS[0] / f"seed-{seed}" for seed in SEEDS]
    code, out, _ = rolora_helpers.run(
        capsys, "compare", *runs, "--paper", "--json", "--out", whole.parent / "compare"
    )
    assert (code, json.loads(out)["differ"]) == (0, "")


def test_what_is_finished_is_not_run_again_nor_loaded(words, whole):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("run.csv")}
    kept = tables(whole)
    code = (
        "import sys; from rolora.cli import main; from verification.sweep import local\n"
        "def none(self): raise RuntimeError('a worker was begun')\n"
        "local.Lanes._lane = none\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'transformers', 'datasets'} & {*sys.modules}))"
    )
    said = map(str, (*words, "--out", whole, "--quiet"))
    done = subprocess.run(
        [sys.executable, "-c", code, *said], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("run.csv")} == before
    assert tables(whole) == kept
    # One run taken away is the only one left; that begins a worker, which this program refuses.
    place = whole / CELLS[1] / "seed-2" / "manifest.json"
    text = place.read_text()
    place.unlink()
    try:
        said = map(str, (*words, "--out", whole, "--quiet"))
        again = subprocess.run(
            [sys.executable, "-c", code, *said], capture_output=True, text=True, check=False
        )
    finally:
        place.write_text(text)
    assert "a worker was begun" in again.stderr
    assert tables(whole) == kept


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--learning-rate-grid", "1e-3"], "holds another grid: options.learning_rate_grid"),
        (["--recipe", "authors"], "holds another grid: recipe"),
        (["--rounds", 3], "holds another grid: options.rounds 2 in place of 3"),
        (["--seed", 3], "--seed is of one run"),
        (["--seeds", 0], "seeds must be at least 1"),
        (["--only", "glue-sst2-4-*"], "--only must match a cell of table glue, got 'glue-sst2-4-*'"),
        (["--task", "sst3"], "--only must match a cell of table glue with task = sst3"),
        (["--table", "gleu"], "glue"),
        (["--recipe", "author"], "did you mean 'authors'"),
        (["--optimiser", "adam"], "optimiser"),
        (["--jobs", 2, "--scheduler", "tcp://127.0.0.1:1"], "give one of them"),
    ],
)  # fmt: skip
def test_bad_usage_is_refused_before_any_work(words, whole, capsys, more, said):
    kept = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert said in rolora_helpers.refused(capsys, *words, "--out", whole, "--quiet", *more)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == kept


def test_a_table_of_something_else_is_left_alone(words, tmp_path, capsys):
    (tmp_path / "table.csv").write_text("mine")
    told = rolora_helpers.refused(capsys, *words, "--out", tmp_path, "--quiet")
    assert "holds table.csv of an unknown grid" in told
    assert (tmp_path / "table.csv").read_text() == "mine"


def test_a_run_that_fails_is_named_and_costs_itself_alone(words, tmp_path):
    more = ["--only", CELLS[1], "--seeds", 1, "--optimiser", "sgd", "--learning-rate", "1e38"]
    more += ["--learning-rate-grid", "1e38", "--local-steps", 2]
    done = launched(words, tmp_path / "out", *more, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["cells"][0]["seeds"]) == (1, 0)
    assert "NaN or infinity" in told["failed"][0]["error"]
    assert f"Error: {CELLS[1]}, seed 1:" in done.stderr


def test_a_difference_is_told_of_the_published_cell_alone():
    preset = preset_named("glue-rte-50-rolora")
    cell = Cell(preset, Config.read(preset.options))
    told = {"cell": cell.name, "configuration": {"learning_rate": 1e-3}}
    value = preset.cell.value
    row = table.row(cell, [(value + 1.0, told), (value + 2.0, told)])
    assert row["difference"] == pytest.approx(1.5)
    assert row["sd"] == pytest.approx(math.sqrt(0.5))
    assert "+1.50" in table.shown(row)
    other = table.row(cell, [(value + 1.0, told), (value + 2.0, {**told, "cell": None})])
    assert math.isnan(other["difference"])
    assert table.OTHER in table.notes([row, other])
    assert table.OTHER not in table.notes([row])
    none = table.row(cell, [])
    assert (none["seeds"], table.shown(none)[3:]) == (0, ["–"] * 4)

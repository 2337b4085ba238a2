"""Running the study: the literal single run, interruption, and workers."""

import json
from dataclasses import asdict, replace

import pytest
from typer.testing import CliRunner

from nonlinear_model.data.digits import load
from nonlinear_model.study import analysis, design, measure, run, table
from nonlinear_model.study.design import DESIGN
from nonlinear_model.training import experiment
from rolora.cli import app
from verification.codec import json_text

SMALL = replace(
    DESIGN,
    points=(design.point(5, "5", 4, dataset="digits"), design.point(2, "1 epoch", 2, dataset="digits")),
    rates=(0.1, 1e6), tuning_seeds=(900,), seeds=(0, 1, 2), counts={"5": 3, "1 epoch": 2}, more={},
)  # fmt: skip


@pytest.mark.parametrize("method", ["rolora", "a-heavy"])
def test_a_run_is_the_single_run_of_its_configuration(method):
    point = design.point(5, "5", 8, b_scale=0.5, dataset="digits")
    (found,) = measure.runs(DESIGN, None, point, method, 0.3, [3], rounds=8)
    own = measure.configuration(DESIGN, point, method, 8)
    single = experiment.run(replace(own, learning_rate=0.3, seed=3, evaluate_every=1), load()).rows
    accuracy = [row["test_accuracy"] for row in single]
    last_b = 5 if method == "a-heavy" else 7
    assert (found.facts["after_a"][-1], found.facts["after_b"][-1]) == (
        accuracy[8],
        accuracy[last_b],
    )
    assert found.scores[-1] == (accuracy[8] + accuracy[last_b]) / 2
    assert found.facts["numbers_up"][-1] == single[-1]["numbers_up"]
    assert found.facts["best"][-1] == max(found.scores)
    assert found.rounds == (2, 4, 6, 8)


def test_a_diverged_run_stands_where_it_was():
    (found,) = measure.runs(SMALL, None, SMALL.points[0], "rolora", 1e6, [3])
    assert found.diverged
    assert len(set(found.scores)) == 1


def test_an_interrupted_study_ends_with_the_same_table(tmp_path):
    whole = run.run(tmp_path / "whole.csv", None, design=SMALL)
    left = iter(range(5))

    def stop(_line):
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run(tmp_path / "other.csv", None, design=SMALL, progress=stop)
    assert not (tmp_path / "other.csv").exists()
    done = []
    path = tmp_path / "other.csv"
    run.run(path, None, design=SMALL, done=lambda *cell: done.append(cell))
    assert len(done) == 6
    assert path.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    rows = table.read(path, table.columns(SMALL))
    assert len(rows) == 3 * (2 + 3 + 2 + 2)
    assert [list(row) for row in rows] == [list(table.columns())] * len(rows)
    assert rows == table.rows_of(SMALL, whole)


@pytest.fixture
def small_study(monkeypatch):
    monkeypatch.setattr(design, "DESIGN", SMALL)


def test_the_command_runs_the_study_and_tells_of_it(tmp_path, small_study):
    words = ["nonlinear", "study", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "hours of one core" in done.output
    path = tmp_path / "out" / DESIGN.file
    alone = tmp_path / "alone.csv"
    run.run(alone, None, design=SMALL)
    assert path.read_bytes() == alone.read_bytes()
    told = json.loads(path.with_suffix(".json").read_text())
    assert told["sha256"] == table.checksum(path)
    assert told["design"] == json.loads(json_text(asdict(SMALL)))
    assert told["command"] == "rolora nonlinear study network --jobs 1"


def test_the_estimate_alone_runs_no_cell(tmp_path, small_study):
    words = ["nonlinear", "study", "--estimate", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "out").exists()


def test_the_estimate_grows_with_the_work(monkeypatch):
    """Each point's cost of a client step times its steps: here 1 s a step of the point's like."""
    asked = []

    def cost(_design, _folder, point, method):
        asked.append((point, method))
        return 1.0

    monkeypatch.setattr(run, "_seconds_per_step", cost)
    seconds = run.estimate(None, design=SMALL)
    assert len(asked) == 3  # one point of "5" steps, for its epochs too
    five, epoch = SMALL.points
    # (4 rounds of 1 tuning seed at half of 2 rates + 4 and 2 of 3 judging seeds) × 5 clients × 5 steps
    assert seconds[five, "rolora"] == (4 * 1.0 + 4 * 3) * 25
    assert seconds[five, "ffa"] == (4 * 2.0 + 4 * 3) * 25
    assert seconds[epoch, "ffa"] == (2 * 2.0 + 2 * 2) * analysis.IMAGES / 16
    only = replace(SMALL, points=(epoch,))
    assert set(run.estimate(None, design=only)) == {(epoch, m) for m in SMALL.methods}


def test_the_cost_of_a_step_is_measured():
    assert 0.0 < run._seconds_per_step(SMALL, None, SMALL.points[0], "rolora") < 1.0

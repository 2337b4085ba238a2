"""A cell of a sweep is the run of its configuration."""

import json

import pytest
from typer.testing import CliRunner

from nonlinear_model.cell import NONLINEAR, measure
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment
from rolora.cli import app

SMALL = {"rounds": 3, "local_steps": 2, "batch_size": 8, "hidden": 20, "rank": 4, "probe": 4}


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_cell_is_the_run_of_its_configuration(repeats):
    own = Configuration.read({**SMALL, "repeats": repeats})
    columns = experiment.summarise(experiment.run(own, load()).rows)
    found = measure(own, None)
    assert [row["round"] for row in found] == columns["round"] == [0, 1, 2, 3]
    for row, *values in zip(found, *columns.values(), strict=True):
        assert row == {**dict(zip(columns, values, strict=True)), "diverged": False}


@pytest.mark.fixed_seed
def test_the_command_sweeps_the_network(tmp_path):
    fixed = "".join(f"{name} = {value}\n" for name, value in SMALL.items())
    (tmp_path / "a.toml").write_text(
        f'laboratory = "nonlinear"\n[fixed]\n{fixed}[grid]\nmethod = ["ffa", "rolora"]\n', "utf-8"
    )
    words = ["sweep", str(tmp_path / "a.toml"), "--out", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    for method, record in zip(("ffa", "rolora"), json.loads(done.stdout)["records"], strict=True):
        row = measure(Configuration.read({**SMALL, "method": method}), None)[-1]
        assert record == {**SMALL, **row}


def test_a_run_that_diverges_is_a_row_that_says_so():
    found = measure(Configuration.read({**SMALL, "learning_rate": 1e9}), None)
    assert all(row["diverged"] for row in found)
    assert found[-1]["round"] < SMALL["rounds"]


def test_a_missing_extra_is_said_before_any_work(monkeypatch):
    from verification import discovery

    monkeypatch.setitem(discovery.EXTRAS, "nonlinear", ("no_torch",))
    with pytest.raises(ValueError, match="this needs no_torch"):
        NONLINEAR.check(Configuration())

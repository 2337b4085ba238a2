"""The measured columns of the table of methods."""

import json

import numpy as np
import pytest

from benchmarks import method_table
from federated_lora import method_names
from rolora.report import methods

ROWS = json.loads(methods.MEASURED.read_text("utf-8"))["rows"]


def test_every_method_was_measured_and_is_in_the_table(monkeypatch, tmp_path):
    assert [*ROWS] == [*method_names()]
    table = {line.split(" | ")[1]: line for line in methods.methods_table().splitlines()[2:]}
    assert table["`fedsa`"].endswith("| – | – | – |")
    assert table["`rolora`"].split(" | ")[-2] == "0"
    # One that nobody has measured yet has dashes.
    (tmp_path / "methods.json").write_text('{"rows": {}}', "utf-8")
    monkeypatch.setattr(methods, "MEASURED", tmp_path / "methods.json")
    assert "| – | – | – | – |" in methods.methods_table()


@pytest.mark.fixed_seed
@pytest.mark.parametrize("name", ["rolora", "ffa", "flexlora", "rolora-precond:1e-6"])
def test_the_committed_numbers_come_out_again(name):
    found, told = method_table.measured(name), ROWS[name]
    assert found["rounds"] == told["rounds"]
    assert found["private"] == pytest.approx(told["private"], rel=1e-6)
    assert found["floor"] == pytest.approx(told["floor"], rel=1e-6, abs=methods.NOTHING)


def test_what_is_timed_and_written(monkeypatch, tmp_path):
    made = []

    def by_turns(_repeats, *sides):
        made.extend(side() for side, _ in sides)
        return [2.0, 3.0]

    monkeypatch.setattr(method_table, "by_turns", by_turns)
    monkeypatch.setattr(method_table, "measured", lambda name: {"rounds": len(name)})
    monkeypatch.setattr("sys.argv", ["method_table", "--out", str(tmp_path / "out.json")])
    assert method_table.main() == 0
    rows = json.loads((tmp_path / "out.json").read_text("utf-8"))["rows"]
    assert rows["rolora"] == {"cost": 1.5, "rounds": 6}
    assert all(np.isfinite(np.asarray(one.adapter.A)).all() for one in made)
    assert len(made) == 2 * len(method_names())

"""The measured columns of the table of methods."""

import json

import numpy as np
import pytest

from benchmarks import method_table
from federated_lora import method_names
from federation.privacy import Policy
from rolora.report import methods, readme

ROWS = json.loads(methods.MEASURED.read_text("utf-8"))["rows"]


def test_every_method_was_measured_and_is_in_the_table(monkeypatch, tmp_path):
    assert [*ROWS] == [*method_names()]
    lines = methods.methods_table().splitlines()
    table = {line.split(" | ")[1]: line for line in lines[2:] if line.startswith("|")}
    assert table["`fedsa`"].endswith("| – | – | – |")
    assert table["`rolora`"].split(" | ")[-2] == "0"
    assert " ± " in table["`rolora`"].split(" | ")[-1]
    assert lines[-1].startswith("The privacy floor at a real ε: ε = 8 at δ = 1e-05 over 120 rounds")
    # One that nobody has measured yet has dashes.
    (tmp_path / "methods.json").write_text('{"rows": {}}', "utf-8")
    monkeypatch.setattr(methods, "MEASURED", tmp_path / "methods.json")
    assert "| – | – | – | – |" in methods.methods_table()


def test_floors_are_the_committed_tables(tmp_path):
    lines = methods.floors_table(readme.ROOT / readme.FLOORS).splitlines()
    table = {line.split(" | ")[0].removeprefix("| "): line for line in lines[2:]}
    assert len(table) == len(method_names())
    assert table["RoLoRA"].startswith("| RoLoRA | 0 | 0 | 0.00063 |")
    assert table["FFA-LoRA"].startswith("| FFA-LoRA | 0.36 * | 0.36 * | 0.429 * |")
    assert table["LoRA-FAIR"].startswith("| LoRA-FAIR | diverges |")
    assert "0.021 ↑" in table["FLoRA"]
    assert "0.0095 ↓" in table["FedEx-LoRA"]
    head = (readme.ROOT / readme.FLOORS).read_text("utf-8").splitlines()[0]
    (tmp_path / "none.csv").write_text(head + "\n", "utf-8")
    assert methods.floors_table(tmp_path / "none.csv").count(" – ") == 6 * len(method_names())


@pytest.mark.fixed_seed
@pytest.mark.parametrize("name", ["rolora", "ffa", "flexlora", "rolora-precond:1e-6"])
def test_the_committed_numbers_come_out_again(name):
    found, told = method_table.measured(name), ROWS[name]
    assert found["rounds"] == told["rounds"]
    for column in ("private", "private_error"):
        assert found[column] == pytest.approx(told[column], rel=1e-6)
    assert 0.0 < found["private_error"] < found["private"] / 4.0
    assert found["floor"] == pytest.approx(told["floor"], rel=1e-6, abs=methods.NOTHING)


def test_the_noise_of_a_real_epsilon():
    """What Opacus says of it, and of a hundredth less; and what the Gaussian mechanism's own formula does."""
    told = json.loads(methods.MEASURED.read_text("utf-8"))["private"]
    assert (told["epsilon"], told["delta"], told["rounds"]) == (8.0, 1e-5, 120)
    assert method_table.multiplier() == pytest.approx(told["multiplier"], rel=1e-5)
    at, less = (Policy(1.0, share * told["multiplier"], 1e-5).epsilon(120) for share in (1.0, 0.99))
    assert at == pytest.approx(8.0, rel=1e-4)
    assert at <= 8.0 < less


@pytest.mark.fixed_seed
def test_the_privacy_floor_is_a_slope_and_falls_with_the_clients(monkeypatch):
    """Twice the noise is four times as much; twice the clients half."""
    slope, error = method_table.privacy_floor("ffa")
    monkeypatch.setattr(method_table, "LEVELS", (0.05, 0.1))
    louder, its = method_table.privacy_floor("ffa")
    assert louder == pytest.approx(slope, abs=5.0 * (error + its))
    monkeypatch.setattr(method_table, "COMMON", method_table.COMMON | {"clients": 20})
    more, its = method_table.privacy_floor("ffa")
    assert more < 0.8 * louder


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

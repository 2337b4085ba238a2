"""The benchmark of the server's SVD: what it times is right; its timings are taken by `make bench`."""

import json

import numpy as np
import pytest

from benchmarks import methods


def test_both_sides_find_the_same_factors(monkeypatch):
    """The dense baseline and the method, on a small layer, have one product."""
    made = []

    def by_turns(_repeats, *sides):
        made.extend(side() for side, _ in sides[:2])
        return [60.0, 1.0, 0.5]

    monkeypatch.setattr(methods, "by_turns", by_turns)
    case = methods.flexlora_case(40, 1)
    (A, B), ours = made
    assert np.allclose(ours.adapter.A @ ours.adapter.B, A @ B, atol=1e-10)
    assert case.ratio == 60.0
    assert case.required is None
    assert "200 s" in case.ours
    assert methods.REQUIRED[4096] == 50.0


def test_the_command_writes_its_file(monkeypatch, tmp_path, capsys):
    target = tmp_path / "methods.json"
    words = ["methods", "--sizes", "30,40", "--repeats", "1", "--out", str(target)]
    monkeypatch.setattr("sys.argv", words)
    assert methods.main() == 0
    assert len(json.loads(target.read_text("utf-8"))["cases"]) == 2
    monkeypatch.setattr("sys.argv", ["methods", "--sizes", "big"])
    with pytest.raises(SystemExit) as stop:
        methods.main()
    assert stop.value.code == 2
    assert "--sizes" in capsys.readouterr().err

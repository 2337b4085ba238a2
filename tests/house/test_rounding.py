import pytest

from tests.support import rounding


@pytest.mark.parametrize(
    ("verdicts", "passed", "status"),
    [
        (["PROVED", "PROVED"], True, 0),
        (["PROVED", "REFUTED"], True, 1),
        (["PROVED", "PROVED"], False, 1),
    ],
)
def test_a_difference_between_kernels_is_told_by_the_exit_status(
    monkeypatch, capsys, verdicts, passed, status
):
    settings = (({}, ""), ({"A": "1"}, ""), ({"A": "2"}, "NONE"))
    monkeypatch.setattr(rounding, "SETTINGS", settings)
    monkeypatch.setattr(rounding, "FEATURES", {"NONE": False})
    monkeypatch.setattr("sys.argv", ["rounding"])
    monkeypatch.setattr(
        rounding, "tests", lambda *_: "3 passed" if passed else "status 1: 1 failed"
    )
    left = iter(verdicts)
    monkeypatch.setattr(rounding, "verdicts", lambda *_: ({"c": (next(left), True)}, "1 verdict"))
    assert rounding.main() == status
    out = capsys.readouterr().out
    assert "this CPU has no NONE" in out
    assert ("REFUTED" in out) == (verdicts[0] != verdicts[1])

"""The page of verdicts over seeds and kernels: what differs is told, and what was run is not run again."""

import pytest

from tests.support import rounding, verdicts

FAKE = "tests.support.fake_claims"


def test_the_committed_page_begins_as_the_script_writes_it():
    assert verdicts.PAGE.read_text("utf-8").startswith(verdicts.HEAD)


def test_a_claim_whose_verdict_differs_is_told_with_the_runs_where_it_does():
    seeds = {
        "0": {"a": "PROVED", "b": "SUPPORTED"},
        "1": {"a": "PROVED", "b": "UNDECIDED"},
        "2": {},
    }
    seeds["2"] = dict(seeds["0"])
    text, differing = verdicts.page({"seeds": seeds, "settings": {"x": seeds["0"]}}, ["y"], "quick")
    assert differing == ["b"]
    assert "**Of 2 claims, `b` differ over 3 seeds and 1 settings** (quick)." in text
    assert "| `a` | PROVED | PROVED | yes |" in text
    assert "| `b` | SUPPORTED; **UNDECIDED** at 1 | SUPPORTED | **no** |" in text
    assert "cannot show it: y" in text


def test_two_claims_over_two_seeds_and_a_setting_and_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rounding, "SETTINGS", (({}, ""), ({"MKL_CBWR": "COMPATIBLE"}, "")))
    told = tmp_path / "verdicts.md"
    words = ["--seeds", "2", "--store", tmp_path / "store", "--page", told]
    words += ["--claims", f"{FAKE}:proved", "--claims", f"{FAKE}:toothless"]
    assert verdicts.main([str(word) for word in words]) == 0
    text = told.read_text("utf-8")
    assert "**Each of 2 claims has one verdict over 2 seeds and 2 settings**" in text
    assert "| `fake-proved` | PROVED | PROVED | yes |" in text
    wrong = "PROVED, but a control is not as it must be"
    assert f"| `fake-toothless` | {wrong} | {wrong} | yes |" in text
    assert "3 of 3: settings MKL_CBWR=COMPATIBLE, about 0 min left" in capsys.readouterr().out

    def refuse(*_):
        pytest.fail("it was run before")

    monkeypatch.setattr(rounding, "verdicts", refuse)
    assert verdicts.main([str(word) for word in words]) == 0
    assert told.read_text("utf-8") == text


def test_a_run_that_fails_is_told_and_writes_no_page(tmp_path, capsys):
    words = ["--seeds", "1", "--store", tmp_path, "--page", tmp_path / "p.md", "--only", "nothing"]
    assert verdicts.main([str(word) for word in words]) == 2
    assert "unknown claim" in capsys.readouterr().err
    assert not (tmp_path / "p.md").exists()

"""`rolora new`, `verify --set` and `--claims`, `rolora.check`, `env` and `--version`."""

import subprocess
import sys

import pytest
from rolora_helpers import refused, run, strict_json

import rolora
from verification.verdict import Verdict


@pytest.mark.parametrize(("kind", "count"), [("method", 3), ("claim", 2)])
def test_what_new_writes_works_as_it_stands(capsys, tmp_path, monkeypatch, kind, count):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "new", kind, "my-own")
    assert code == 0
    assert "wrote my_own.py" in out
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout
    assert f"{count} passed" in done.stdout
    assert "my_own.py exists already" in refused(capsys, "new", kind, "my-own")


@pytest.mark.parametrize("name", ["My-own", "my_own", "1st", "class", "", "../x"])
def test_a_name_that_is_none_is_refused(capsys, tmp_path, name):
    said = refused(capsys, "new", "claim", name, "--out", tmp_path)
    assert "name must be kebab-case" in said
    assert list(tmp_path.iterdir()) == []


def test_a_claim_runs_at_the_users_own_parameters(capsys, tmp_path):
    found = rolora.check("plateau", kappa=4.0)
    assert found.finding.verdict is Verdict.DERIVED
    assert found.measured == pytest.approx(found.theory, abs=1e-10)
    assert found.theory == pytest.approx(0.5)  # tan² = (κ − 2)/(κ + 2) = 1/3
    code, out, _ = run(capsys, "verify", "plateau", "--set", "kappa=4", "--json", "--out", tmp_path)
    assert code == 0
    (claim,) = strict_json(out)["claims"]
    assert claim["finding"]["comparisons"][0]["theory"] == found.theory
    assert claim["negative_control"]["verdict"] == "REFUTED"
    assert "--set=kappa=4" in strict_json(out)["command"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plateau", "--set", "kapa=4"], "has no parameter 'kapa'; it has: kappa, stretch"),
        (["plateau", "--set", "kappa"], "--set must be NAME=VALUE, got 'kappa'"),
        (["plateau", "--set", "kappa=four"], "--set kappa must be a number, got 'four'"),
        (["plateau", "--set", "kappa=nan"], "--set kappa must be finite, got 'nan'"),
        (["plateau", "--set", "kappa=1.5"], "kappa must lie between 2.001 and 50, got 1.5"),
        (["--claims", "no_such_module"], "there is no module 'no_such_module'"),
    ],
)
def test_bad_parameters_are_refused_in_a_sentence(capsys, tmp_path, words, said):
    assert said in refused(capsys, "verify", *words, "--out", tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_env_and_version_say_what_is_installed(capsys):
    code, out, _ = run(capsys, "env", "--json")
    assert code == 0
    assert strict_json(out)["packages"]["rolora-verify"] == rolora.__version__
    assert "numpy" in run(capsys, "env")[1]
    assert run(capsys, "--version")[1] == f"rolora-verify {rolora.__version__}\n"

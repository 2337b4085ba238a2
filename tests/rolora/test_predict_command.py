"""`rolora predict`: a table, JSON that fits its schema, at once, and the page that shows how."""

import json
import os
import resource
import subprocess
import sys
from importlib import resources

import jsonschema
import pytest

from docs import build
from linear_model.prediction.result import SCHEMA_VERSION
from rolora.cli import main
from rolora.commands.predict import short
from tests.support.pages import block
from tests.support.rolora_helpers import run, strict_json

LARGE = ("predict", "--d", "1000000", "--clients", "10000", "--samples", "500")


def shipped():
    text = resources.files("rolora.schemas").joinpath("prediction.json").read_text("utf-8")
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    return jsonschema.Draft202012Validator(json.loads(text))


def test_a_table_and_what_is_to_be_said_of_it(capsys):
    code, out, err = run(capsys, "predict", "--samples", "40", "--eps", "0.01")
    assert code == 0
    for said in (
        "RoLoRA",
        "FFA-LoRA",
        "paper: ",
        "Best at equal rounds: FedSA-LoRA, LA-LoRA",
        "Best at equal traffic",
    ):
        assert said in out
    assert "d=50 N=5 m=40 κ=0.5 ε=0.01" in out
    assert "m = 40 < d = 50 samples do not fix a client's optimum" in err


@pytest.mark.parametrize(
    "more", [(), ("--heterogeneity", "0.3", "--noise", "0.1"), ("--kappa", "2.5")], ids=str
)
def test_json_is_alone_and_fits_the_shipped_schema(capsys, more):
    code, out, err = run(capsys, "predict", "--json", *more)
    assert (code, err) == (0, "")
    found = strict_json(out)
    shipped().validate(found)
    assert found["schema_version"] == SCHEMA_VERSION == shipped().schema["version"]
    assert found["setting"]["d"] == 50
    del found["rows"][0]["sources"]
    assert not shipped().is_valid(found)


def test_quiet_says_nothing_and_the_same_seed_says_the_same(capsys):
    assert run(capsys, "predict", "--quiet") == (0, "", "")
    words = ("predict", "--json", "--noise", "0.05", "--seed", "3")
    assert run(capsys, *words) == run(capsys, *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--eps", "2"), "Error: eps must be at least 1e-30 and below 1, got 2.0"),
        (("--start", "x"), "Error: start must be random or a number between 0 and 1, got 'x'"),
        (("--dataset", "digit"), "Error: dataset must be one of"),
        (("--kappa", "1e-30"), "Error: kappa must be at least 1e-09 and at most 1e+06, got 1e-30"),
        (("--noise", "1e200"), "Error: noise must be at least 0 and at most 1e+06, got 1e+200"),
        (("--eps", "1e-300"), "Error: eps must be at least 1e-30 and below 1, got 1e-300"),
        (
            ("--trials", "100000000"),
            "Error: trials must be a whole number of at least 1 and at most",
        ),
        (("--outputs", "1000000000"), "Error: outputs must be at most 2000000 for 5 clients, got"),
        (
            ("--outputs", "101", "--heterogeneity", "1"),
            "Error: outputs must be at most 100 for 5 clients of unlike targets, got 101",
        ),
        (("--split", "iid"), "Error: split iid is for a dataset, and none is given"),
        (("--split", "foo"), "Error: split must be one of label, iid, got 'foo'"),
        (("--features", "/none", "--d", "3"), "Error: d follows from the features, got 3"),
    ],
)
def test_bad_usage_is_a_sentence_and_status_2(capsys, words, said):
    code, out, err = run(capsys, "predict", *words)
    assert (code, out) == (2, "")
    if "dataset" not in words[0]:
        assert err.startswith(said)


def test_the_answer_at_a_million_dimensions_and_ten_thousand_clients_takes_a_second():
    """Processor time of the whole command, start-up included; the least of three."""
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "rolora", *LARGE, "--json"], check=True, timeout=60,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if spent[-1] <= 1.0:
            return
    assert min(spent) <= 1.0


@pytest.mark.parametrize(
    "words",
    [
        LARGE[1:],
        ("--kappa", "0.01", "--noise", "0.001"),
        ("--kappa", "1e-3", "--start", "0.3", "--eps", "0.01"),
        ("--d", "100000000", "--clients", "100000", "--samples", "1000000", "--heterogeneity", "3"),
    ],
    ids=str,
)
def test_the_table_is_whole_in_80_columns(capsys, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, "predict", *words)
    lines = out[: out.index("paper: ")].splitlines()
    assert code == 0
    assert "…" not in out
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert any(line.split()[0] == "RoLoRA" for line in lines if line.strip())


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0.0, "0"), (1734.4, "1,734"), (99_999.4, "99,999"), (99_999.6, "100 k"), (999_499.0, "999 k"),
        (999_900.0, "1 M"), (60_000_120.0, "60 M"), (1.234e9, "1.23 G"), (5e15, "5,000 T"),
    ],
)  # fmt: skip
def test_a_count_is_short(count, said):
    assert short(count) == said


def test_help_names_the_options(capsys):
    code, out, _ = run(capsys, "predict", "--help")
    assert code == 0
    for option in ("--privacy-noise", "--features", "--local-steps"):
        assert option in out


def test_the_page_is_followed_literally(capsys, monkeypatch, tmp_path):
    """Every command of the page runs; its Python too."""
    monkeypatch.chdir(tmp_path)
    text = (build.PAGES / "how-to" / "predict.md").read_text("utf-8")
    namespace: dict[str, object] = {}
    exec(block("predict.md", 0), namespace)
    lines = [
        line
        for n in range(text.count("```sh"))
        for line in block("predict.md", n, "sh").splitlines()
    ]
    assert len(lines) >= 4
    for line in lines:
        words = line.split()
        assert words[0].endswith("rolora"), line
        with pytest.raises(SystemExit) as stop:
            main([*words[1:], "--quiet"])
        assert stop.value.code == 0, line
    capsys.readouterr()

"""The shipped JSON schemas describe what is written, and what is damaged does not fit them."""

import contextlib
import copy
import json
from importlib import resources
from typing import Any

import jsonschema
import pytest

from llm_validation.config import Config
from nonlinear_model.configuration import Configuration
from rolora.report.content import SCHEMA_VERSION as REPORT_VERSION
from rolora.storage.run_folder import SCHEMA_VERSION as RUN_VERSION
from tests.support.rolora_helpers import run, strict_json
from verification.settings import schema

KINDS: dict[str, Any] = {"nonlinear": Configuration, "llm": Config}


def shipped(name):
    text = resources.files("rolora.schemas").joinpath(f"{name}.json").read_text("utf-8")
    found = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A report and a manifest as the command line writes them."""
    from rolora import cli

    folder = tmp_path_factory.mktemp("written")
    commands = {
        "report": ["verify", "plateau", "llm-ranking", "--quiet", "--out", str(folder / "report")],
        "run": ["linear", "run", "--trials", "2", "--rounds", "2", "--quiet", "--out", str(folder)],
    }
    for words in commands.values():
        with contextlib.suppress(SystemExit):
            cli.main(words)
    return {
        "report": strict_json((folder / "report" / "report.json").read_text("utf-8")),
        "run": strict_json((folder / "manifest.json").read_text("utf-8")),
    }


@pytest.mark.parametrize("name", ["report", "run"])
def test_what_is_written_fits_its_schema(written, name):
    shipped(name).validate(written[name])


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("report", ["schema_version"], 1),
        ("report", ["claims", 0, "verdict"], "TRUE"),
        ("report", ["claims", 0, "finding", "comparisons", 0, "relation"], "<"),
        ("report", ["claims", 0, "finding", "comparisons", 0, "interval"], [1.0]),
        ("report", ["counts"], {"PROVED": "many"}),
        ("report", ["seed"], -1),
        ("report", ["exit_status"], 2),
        ("report", ["claims", 0, "expected"], "UNDECIDED"),
        ("run", ["kind"], "quadratic"),
        ("run", ["x"], "round"),
        ("run", ["y"], []),
        ("run", ["environment", "packages"], ["numpy"]),
    ],
)
def test_a_damaged_file_does_not_fit(written, name, path, value):
    damaged = copy.deepcopy(written[name])
    place = damaged
    for key in path[:-1]:
        place = place[key]
    assert place[path[-1]] != value
    place[path[-1]] = value
    assert not shipped(name).is_valid(damaged)


def test_versions_agree_with_the_code():
    versions = {name: shipped(name).schema["version"] for name in ("report", "run")}
    assert versions == {"report": REPORT_VERSION, "run": RUN_VERSION}


@pytest.mark.parametrize("kind", KINDS)
def test_a_configurations_schema_is_printed_and_refuses_what_the_class_refuses(capsys, kind):
    code, out, _ = run(capsys, "env", "--schema", kind)
    assert code == 0
    printed = strict_json(out)
    assert printed == json.loads(json.dumps(schema(KINDS[kind])))
    validator = jsonschema.Draft202012Validator(printed)
    usual = {"model": "m", "task": "t"} if kind == "llm" else {}
    assert validator.is_valid(usual)
    for wrong in ({"clients": 0}, {"participation": 1.5}, {"split": "all"}, {"rounds": "ten"}):
        assert not validator.is_valid({**usual, **wrong})
        with pytest.raises(ValueError, match=next(iter(wrong))):
            KINDS[kind].read({**usual, **wrong})

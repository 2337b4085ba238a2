import csv
import io
import math
import platform

import numpy as np
import pytest
from rolora_helpers import files, strict_json

from rolora.report.numbers import number, seconds
from rolora.storage.output_folder import OutputFolder
from rolora.storage.run_folder import complete, read, stage
from rolora.verify import registry
from verification.codec import csv_text, json_text, plain
from verification.names import one_of, unknown
from verification.verdict import Verdict


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (2 / 3, "0.6667"),
        (-1.5, "−1.5"),
        (32, "32"),
        (1_100_000, "1,100,000"),
        (123456.7, "123457"),
        (1.23456e-9, "1.235e−9"),
        (1e-6, "1e−6"),
        (2.5e12, "2.5e12"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (0.00012345, "0.0001234"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01, "under 0.1 s"),
        (0.34, "0.3 s"),
        (42.4, "42 s"),
        (725, "12 min 5 s"),
        (3599.7, "60 min 0 s"),
    ],
)
def test_durations(value, text):
    assert seconds(value) == text


def test_names_are_suggested():
    assert unknown("claim", "platau", {"plateau", "escape-time"}) == (
        "unknown claim 'platau'; did you mean 'plateau'?"
    )
    assert unknown("claim", "x", set()) == "unknown claim 'x'"
    assert one_of("--data", "fresh", ["fresh", "fixed"]) == "fresh"
    with pytest.raises(ValueError, match=r"fresh, fixed, got 'fixd'; did you mean 'fixed'\?"):
        one_of("--data", "fixd", ["fresh", "fixed"])


def test_plain_values():
    assert plain({"a": np.float64("nan"), "b": np.arange(2), 3: (math.inf, Verdict.PROVED)}) == {
        "a": "nan",
        "b": [0, 1],
        "3": ["inf", "PROVED"],
    }
    assert strict_json(json_text({"x": [-math.inf, None, True]})) == {"x": ["-inf", None, True]}
    with pytest.raises(TypeError, match="object"):
        plain(object())


def test_csv_floats_read_back_exactly():
    values = [0.1, 1 / 3, 1e-300, math.nan]
    text = csv_text({"x": np.array(values), "name": ["a,b", 'c"d', None, Verdict.PROVED]})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [float(row["x"]) for row in rows[:3]] == values[:3]
    assert [row["name"] for row in rows] == ["a,b", 'c"d', "", "PROVED"]


def test_modules_that_are_missing_broken_or_without_claims_are_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_claims.py").write_text("import no_such_dependency\n")
    (tmp_path / "no_claims.py").write_text("")
    for module, said in (
        ("no_such_claims", "there is no module 'no_such_claims'"),
        ("broken_claims", "module broken_claims cannot be imported.*no_such_dependency"),
        ("no_claims", "module no_claims holds no claim"),
    ):
        with pytest.raises(ValueError, match=said):
            registry.entries([module])


def test_every_claim_can_be_found_again_by_its_place():
    for entry in registry.entries():
        assert registry.load(entry.place).id == entry.name


def test_every_formula_of_a_claim_can_be_typeset():
    from rolora.report.formulas import formula_html

    failing = [e.name for e in registry.entries() if "<code" in formula_html(e.value.latex)]
    assert failing == []


def test_an_output_folder_left_by_an_exception_keeps_nothing(tmp_path):
    def fail() -> None:
        with OutputFolder(tmp_path / "a" / "b") as folder:
            folder.write("deep/file.txt", "half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_was_there_stays(tmp_path):
    (tmp_path / "file.txt").write_text("old")
    with OutputFolder(tmp_path) as folder:
        folder.write("file.txt", "new")
        assert (tmp_path / "file.txt").read_text() == "old"
        folder.publish()
    assert (tmp_path / "file.txt").read_text() == "new"
    assert files(tmp_path) == {"file.txt"}


MANIFEST = {
    "kind": "linear",
    "name": "a run",
    "configuration": {"d": 5},
    "x": {"column": "round", "label": "round"},
    "y": [{"column": "angle", "label": "angle", "low": "low", "log": True}],
}


def store(path, columns, manifest=MANIFEST):
    with OutputFolder(path) as folder:
        stage(folder, columns, complete(manifest, "rolora linear run"))
        folder.publish()


def test_a_stored_run_reads_back(tmp_path):
    store(
        tmp_path, {"round": [0, 1], "angle": [0.5, 1 / 3], "low": [math.nan, None], "m": ["a", "b"]}
    )
    run = read(tmp_path)
    assert run.name == "a run"
    assert run.columns["angle"] == [0.5, 1 / 3]
    assert all(math.isnan(value) for value in run.columns["low"])
    assert run.columns["m"] == ["a", "b"]
    assert run.manifest["schema_version"] == 1
    assert run.manifest["environment"]["python"] == platform.python_version()


def test_an_incomplete_manifest_is_refused():
    with pytest.raises(ValueError, match="missing: x, y"):
        complete({k: v for k, v in MANIFEST.items() if k not in "xy"}, "")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("manifest.json", None, "must be a run folder"),
        ("run.csv", None, "must be a run folder"),
        ("manifest.json", "{", "must be JSON"),
        ("manifest.json", "[]", "must have kind"),
        ("run.csv", "round,angle\n", "at least one row"),
        ("run.csv", "round,angle,low\n1,2\n", "3 cells in every row"),
        ("run.csv", "round,low\n1,2\n", "column 'angle'"),
    ],
)
def test_a_damaged_run_folder_is_refused(tmp_path, name, content, said):
    store(tmp_path, {"round": [0], "angle": [0.5], "low": [0.1]})
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=said):
        read(tmp_path)

"""A table that is not what the design's runs gave is told."""

import pytest

from nonlinear_model.claims import study_replay
from nonlinear_model.study import integrity, table
from verification.budget import Budget
from verification.verdict import Verdict

PATH = table.path_of()


def test_the_committed_table_is_whole():
    rows = table.stored()
    assert integrity.missing(rows) == []
    assert integrity.misnamed(rows) == integrity.unlike_their_parts(rows) == 0
    assert integrity.same_design()
    assert integrity.checksum(rows) == table.checksum(PATH) == table.manifest(PATH)["sha256"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda rows: study_replay.tampered(rows, "cell"), "checksum"),
        (lambda rows: study_replay.tampered(rows, "names"), "sent"),
        (lambda rows: [{**r, "score": r["score"] + 0.05} for r in rows], "parts"),
        (lambda rows: rows[:-1], "missing"),
        (lambda rows: [*rows, rows[-1]], "missing"),
        (
            lambda rows: [{**r, "learning_rate": 0.3} if r["seed"] == 5 else r for r in rows],
            "missing",
        ),
    ],
    ids=[
        "a cell altered",
        "names exchanged",
        "scores raised",
        "a row lost",
        "a row twice",
        "another rate",
    ],
)
def test_what_was_altered_is_told(how, said):
    rows = how(list(table.stored()))
    found = {
        "missing": bool(integrity.missing(rows)),
        "sent": integrity.misnamed(rows) > 0,
        "parts": integrity.unlike_their_parts(rows) > 0,
        "checksum": integrity.checksum(rows) != table.manifest(PATH)["sha256"],
    }
    assert found[said]


@pytest.mark.fixed_seed
@pytest.mark.parametrize("tamper", ["cell", "names"])
def test_the_claim_refutes_an_altered_table(tamper):
    claim = study_replay.check
    assert claim.check(Budget(seed=3), runs=1).verdict is Verdict.SUPPORTED
    assert claim.check(Budget(seed=3), runs=1, tamper=tamper).verdict is Verdict.REFUTED


@pytest.mark.fixed_seed
def test_a_run_that_gives_another_score_refutes(monkeypatch):
    monkeypatch.setattr(integrity, "again", lambda row, *_rest: {"score": row["score"] + 0.01})
    finding = study_replay.check.check(Budget(), runs=2)
    assert finding.verdict is Verdict.REFUTED
    assert "score of" in finding.counterexample

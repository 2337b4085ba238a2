"""`rolora verify` on fake claims of every kind: verdicts, controls, exit status."""

from dataclasses import replace

import fake_claims
import pytest
from rolora_helpers import files, report, strict_json

from verification.finding import ArguedStep, Finding
from verification.verdict import Verdict


def test_everything_as_expected_is_success(verify, tmp_path):
    code, out, err = verify("good", "--allow-open", into=tmp_path / "a" / "b")
    assert code == 0
    assert err.startswith("Report: ")
    assert (
        "Of 5 claims, 1 proved, 1 consistent with simulation, 1 true under an added assumption"
        " and 1 refuted; 1 open."
    ) in out
    for claim_id in ("fake-proved", "fake-mean", "fake-grid", "fake-missing", "fake-false"):
        assert claim_id in out
    assert "put MNIST into DIR" in out
    assert files(tmp_path / "a" / "b") == {
        "report.json", "report.md", "report.html", "figures/fake-mean.svg", "figures/fake-grid.svg",
        "data/fake-mean.csv", "data/fake-grid.csv", "data/fake-false.csv",
    }  # fmt: skip


def test_another_seed_gives_other_numbers_and_the_same_seed_the_same(verify, tmp_path):
    measured = []
    for seed in (1, 1, 2):
        verify("good", "--seed", seed)
        measured.append(report(tmp_path)["claims"][1]["finding"]["comparisons"][0]["measured"])
    assert measured[0] == measured[1] != measured[2]


def test_non_finite_numbers_are_words_in_json(verify):
    _, out, _ = verify("good", "--json", "fake-false")
    comparison = strict_json(out)["claims"][0]["finding"]["comparisons"][0]
    assert comparison["measured"] == "nan"
    assert comparison["holds"] is False


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("surprising", "Not the expected verdict: fake-surprise."),
        ("toothless", "Negative controls that did not fail as they must: fake-toothless"),
        ("unmeasured", "Negative controls that did not fail as they must: fake-unmeasured"),
        ("stubborn", "Positive controls that were not confirmed: fake-stubborn;"),
        ("undrawable", "Stopped by an error: fake-undrawable."),
    ],
)
def test_a_surprise_or_a_check_that_always_says_the_same_fails_the_run(
    verify, tmp_path, provider, said
):
    code, out, _ = verify(provider)
    assert code == 1
    assert said in out
    assert said.split(":")[0] in (tmp_path / "report.html").read_text()
    assert report(tmp_path)["claims"][0]["differs"]


def test_a_control_that_only_the_proof_refutes_says_so(verify, tmp_path):
    verify("unmeasured")
    (claim,) = report(tmp_path)["claims"]
    assert (claim["negative_control"]["verdict"], claim["differs"]) == ("REFUTED", True)
    said = "Its proof alone refutes it (2 + 2 = 5: difference is 1), so these measurements cannot"
    for form in ("md", "html"):
        assert said in (tmp_path / f"report.{form}").read_text(encoding="utf-8")


def test_a_refuted_claims_positive_control_is_reported(verify, tmp_path):
    assert verify("good", "fake-false")[0] == 0
    (claim,) = report(tmp_path)["claims"]
    assert (claim["verdict"], claim["positive_control"]["verdict"]) == ("REFUTED", "PROVED")
    for form in ("md", "html"):
        text = (tmp_path / f"report.{form}").read_text(encoding="utf-8")
        assert "Positive controls: 1 of 1 true variants were confirmed" in text
        assert "two by two is four. Confirmed, as it must be: PROVED." in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"expected": Verdict.REFUTED, "confirms": Verdict.PROVED}, "must have a positive control"),
        ({"positive": {"true": True}}, "must have a positive control with its words"),
        ({"expected": Verdict.UNDECIDED}, "must expect a verdict that decides"),
        ({"confirms": Verdict.REFUTED}, "must expect a verdict that decides"),
        ({"mutant": {}}, "must have a mutant"),
        ({"mutant": {"wrong": 1}}, "has no parameter 'wrong'"),
    ],
)
def test_a_claim_that_could_not_be_wrong_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(fake_claims.proved, **changes)


@pytest.mark.parametrize(
    ("verdict", "name"),
    [
        (Verdict.REFUTED, "counterexample"),
        (Verdict.UNDECIDED, "missing"),
        (Verdict.NOT_RUN, "missing"),
        (Verdict.HOLDS_UNDER, "added_assumption"),
    ],
)
def test_a_verdict_without_what_it_must_carry_is_refused(verdict, name):
    Finding(verdict, "made up", **{name: "told"})
    with pytest.raises(ValueError, match=f"{verdict} must have: {name.replace('_', ' ')}"):
        Finding(verdict, "made up")
    with pytest.raises(ValueError, match="argued step must not be PROVED"):
        Finding(Verdict.PROVED, "made up", argued=(ArguedStep("a", "b"),))


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ("fake-proved", 0),
        ("fake-proved fake-missing", 3),
        ("fake-few", 3),
        ("fake-proved fake-few fake-missing fake-surprise", 1),
    ],
)
def test_an_open_claim_is_neither_as_expected_nor_a_difference(verify, tmp_path, claims, status):
    for more, wanted in ((), status), (("--allow-open",), status % 3):
        code, out, _ = verify("good surprising open", *claims.split(), *more)
        assert code == wanted
    told = report(tmp_path)
    assert (told["exit_status"], told["ok"]) == (status, status == 0)
    left = claims.count("few") + claims.count("missing")
    assert (f"{left} open." in told["headline"]) == bool(left)
    for claim in told["claims"]:
        is_open = claim["verdict"] in ("UNDECIDED", "NOT_RUN")
        assert claim["open"] == is_open
        assert not (is_open and (claim["as_expected"] or claim["differs"]))
        assert bool(claim["finding"]["missing"]) == is_open
    if "few" in claims:
        assert "Open, more runs are needed: fake-few." in out
        assert "about 36 runs in place of 9 if the estimate stays" in out
    if "missing" in claims:
        assert "put MNIST into DIR; then run `rolora verify --data-dir DIR` (a minute)" in out


def test_argued_steps_are_listed_apart_and_derive(verify, tmp_path):
    assert verify("argued")[0] == 0
    (claim,) = report(tmp_path)["claims"]
    assert (claim["verdict"], len(claim["finding"]["proof"])) == ("DERIVED", 1)
    assert claim["finding"]["argued"] == [{"statement": "the limit exists", "because": "it does"}]
    for form in ("md", "html"):
        text = (tmp_path / f"report.{form}").read_text(encoding="utf-8")
        assert "argued in words" in text.split("checked by machine", 1)[1]
        assert "because it does" in text


def test_a_check_that_raises_is_a_row_and_the_others_still_run(verify, tmp_path):
    code, out, _ = verify("raising")
    told = report(tmp_path)
    assert code == 1
    assert [c["verdict"] for c in told["claims"]] == ["ERROR", "ERROR", "PROVED"]
    assert told["claims"][0]["error"].startswith("the check raised ZeroDivisionError")
    assert told["claims"][1]["error"].startswith("the negative control raised")
    assert "fake-raises: the check raised" in out
    html = (tmp_path / "report.html").read_text()
    assert "zero &lt;b&gt;" in html
    assert "<b>\n" not in html


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_thread_in_every_mode(verify, jobs):
    assert verify("threads good", "fake-threads", "fake-proved", "--jobs", jobs)[0] == 0


def test_warnings_of_a_check_are_reported_once_each(verify, tmp_path):
    code, _, err = verify("warning")
    assert code == 0
    assert report(tmp_path)["claims"][0]["warnings"] == ["RuntimeWarning: a doubtful number"]
    assert "doubtful" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "fake-prove"], "did you mean 'fake-proved'?"),
        (["--profile", "quik"], "did you mean 'quick'?"),
        (["--jobs", "0"], "--jobs"),
        (["--jobs", "two"], "--jobs"),
        (["--seed", "-1"], "--seed"),
        (["--seed", "nan"], "--seed"),
        (["--data-dir", "/nowhere/at/all"], "--data-dir must be an existing folder"),
        (["--results-dir", "/nowhere/at/all"], "--results-dir must be an existing folder"),
        (["--sed", "1"], "--seed"),
    ],
)
def test_bad_usage_is_refused_before_anything_is_written(verify, tmp_path, arguments, said):
    code, out, err = verify("good", *arguments, into=tmp_path / "report")
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(verify):
    code, _, err = verify("good", "--only", "fake-prove", "--debug")
    assert code == 2
    assert "Traceback" in err


def test_one_id_from_two_providers_is_refused(verify):
    code, _, err = verify("good twice")
    assert code == 2
    assert "claim names must be unique, got 'fake-proved'" in err

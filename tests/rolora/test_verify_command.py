import errno
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import fake_claims
import pytest
from rolora_helpers import files, run, strict_json

from rolora.verify import registry
from verification.finding import ArguedStep, Finding
from verification.verdict import Verdict

HERE = Path(__file__).parents[1] / "support"


@pytest.fixture
def provide(monkeypatch):
    def set_providers(*providers: str) -> None:
        monkeypatch.setattr(registry, "SOURCES", fake_claims.sources(*providers))

    return set_providers


def without_times(report):
    """The report without what may differ between two runs of the same thing."""
    report.pop("environment")  # somebody may commit in between
    for claim in report["claims"]:
        for part in ("finding", "negative_control"):
            (claim[part] or {}).pop("seconds", None)
    report.pop("seconds")
    return report


def test_everything_as_expected_is_success(provide, capsys, tmp_path):
    provide("good")
    code, out, err = run(capsys, "verify", "--allow-open", "--out", tmp_path / "a" / "b")
    assert code == 0
    assert err.startswith("Report: ")
    assert (
        "Of 5 claims, 1 proved, 1 consistent with simulation, 1 true only under an added assumption"
        " and 1 refuted; 1 open."
    ) in out
    for claim_id in ("fake-proved", "fake-mean", "fake-grid", "fake-missing", "fake-false"):
        assert claim_id in out
    assert "put MNIST into DIR" in out
    assert files(tmp_path / "a" / "b") == {
        "report.json",
        "report.md",
        "report.html",
        "figures/fake-mean.svg",
        "figures/fake-grid.svg",
        "data/fake-mean.csv",
        "data/fake-grid.csv",
        "data/fake-false.csv",
    }


@pytest.mark.fixed_seed
def test_json_has_the_same_verdicts_and_numbers_for_any_number_of_jobs(provide, capsys, tmp_path):
    provide("good", "theory.population")
    only = [w for c in ("fake-mean", "fake-grid", "population-map") for w in ("--only", c)]
    reports = []
    for jobs in (1, 2):
        code, out, err = run(
            capsys, "verify", "--json", "--jobs", jobs, *only, "--out", tmp_path / str(jobs)
        )
        assert (code, err) == (0, "")
        report = strict_json(out)
        assert report == strict_json((tmp_path / str(jobs) / "report.json").read_text())
        reports.append(without_times(report))
    assert reports[0] == reports[1]
    assert [c["id"] for c in reports[0]["claims"]] == ["fake-mean", "fake-grid", "population-map"]
    for name in ("data/fake-mean.csv", "data/population-map.csv", "figures/population-map.svg"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_another_seed_gives_other_numbers_and_the_same_seed_the_same(provide, capsys, tmp_path):
    provide("good")
    measured = []
    for seed in (1, 1, 2):
        _, out, _ = run(capsys, "verify", "--json", "--seed", seed, "--out", tmp_path)
        measured.append(strict_json(out)["claims"][1]["finding"]["comparisons"][0]["measured"])
    assert measured[0] == measured[1] != measured[2]


def test_non_finite_numbers_are_words_in_json(provide, capsys, tmp_path):
    provide("good")
    _, out, _ = run(capsys, "verify", "--json", "--only", "fake-false", "--out", tmp_path)
    comparison = strict_json(out)["claims"][0]["finding"]["comparisons"][0]
    assert comparison["measured"] == "nan"
    assert comparison["holds"] is False


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("surprising", "Not the expected verdict: fake-surprise."),
        (
            "toothless",
            "Negative controls that did not fail as they must: fake-toothless",
        ),
        ("stubborn", "Positive controls that were not confirmed: fake-stubborn;"),
        ("undrawable", "Stopped by an error: fake-undrawable."),
    ],
)
def test_a_surprise_or_a_check_that_always_says_the_same_fails_the_run(
    provide, capsys, tmp_path, provider, said
):
    provide(provider)
    code, out, _ = run(capsys, "verify", "--out", tmp_path)
    assert code == 1
    assert said in out
    assert said.split(":")[0] in (tmp_path / "report.html").read_text()
    assert strict_json((tmp_path / "report.json").read_text())["claims"][0]["differs"]


def test_a_refuted_claims_positive_control_is_reported(provide, capsys, tmp_path):
    provide("good")
    assert run(capsys, "verify", "fake-false", "--out", tmp_path)[0] == 0
    (claim,) = strict_json((tmp_path / "report.json").read_text())["claims"]
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
def test_an_open_claim_is_neither_as_expected_nor_a_difference(
    provide, capsys, tmp_path, claims, status
):
    provide("good", "surprising", "open")
    for more, wanted in ((), status), (("--allow-open",), status % 3):
        code, out, _ = run(capsys, "verify", *claims.split(), *more, "--out", tmp_path)
        assert code == wanted
    report = strict_json((tmp_path / "report.json").read_text())
    assert (report["exit_status"], report["ok"]) == (status, status == 0)
    left = claims.count("few") + claims.count("missing")
    assert (f"{left} open." in report["headline"]) == bool(left)
    for claim in report["claims"]:
        is_open = claim["verdict"] in ("UNDECIDED", "NOT_RUN")
        assert claim["open"] == is_open
        assert not (is_open and (claim["as_expected"] or claim["differs"]))
        assert bool(claim["finding"]["missing"]) == is_open
    if "few" in claims:
        assert "Open, more runs are needed: fake-few." in out
        assert "about 36 runs in place of 9 if the estimate stays" in out
    if "missing" in claims:
        assert "put MNIST into DIR; then run `rolora verify --data-dir DIR` (a minute)" in out


def test_argued_steps_are_listed_apart_and_derive(provide, capsys, tmp_path):
    provide("argued")
    assert run(capsys, "verify", "--out", tmp_path)[0] == 0
    (claim,) = strict_json((tmp_path / "report.json").read_text())["claims"]
    assert (claim["verdict"], len(claim["finding"]["proof"])) == ("DERIVED", 1)
    assert claim["finding"]["argued"] == [{"statement": "the limit exists", "because": "it does"}]
    for form in ("md", "html"):
        text = (tmp_path / f"report.{form}").read_text(encoding="utf-8")
        assert "argued in words" in text.split("checked by machine", 1)[1]
        assert "because it does" in text


def test_a_check_that_raises_is_a_row_and_the_others_still_run(provide, capsys, tmp_path):
    provide("raising")
    code, out, _ = run(capsys, "verify", "--out", tmp_path)
    report = strict_json((tmp_path / "report.json").read_text())
    assert code == 1
    assert [c["verdict"] for c in report["claims"]] == ["ERROR", "ERROR", "PROVED"]
    assert report["claims"][0]["error"].startswith("the check raised ZeroDivisionError")
    assert report["claims"][1]["error"].startswith("the negative control raised")
    assert "fake-raises: the check raised" in out
    html = (tmp_path / "report.html").read_text()
    assert "zero &lt;b&gt;" in html
    assert "<b>\n" not in html


def test_one_thread_in_every_mode(provide, capsys, tmp_path):
    provide("threads", "good")
    for jobs in (1, 2):
        code, *_ = run(capsys, "verify", "--only", "fake-threads", "--only", "fake-proved",
                       "--jobs", jobs, "--out", tmp_path)  # fmt: skip
        assert code == 0


def test_warnings_of_a_check_are_reported_once_each(provide, capsys, tmp_path):
    provide("warning")
    code, _, err = run(capsys, "verify", "--out", tmp_path)
    report = strict_json((tmp_path / "report.json").read_text())
    assert code == 0
    assert report["claims"][0]["warnings"] == ["RuntimeWarning: a doubtful number"]
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
def test_bad_usage_is_refused_before_anything_is_written(
    provide, capsys, tmp_path, arguments, said
):
    provide("good")
    code, out, err = run(capsys, "verify", "--out", tmp_path / "report", *arguments)
    assert code == 2
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(provide, capsys, tmp_path):
    provide("good")
    code, _, err = run(capsys, "verify", "--only", "fake-prove", "--debug", "--out", tmp_path)
    assert code == 2
    assert "Traceback" in err


def test_one_id_from_two_providers_is_refused(provide, capsys, tmp_path):
    provide("good", "twice")
    code, _, err = run(capsys, "verify", "--out", tmp_path / "x")
    assert code == 2
    assert "claim names must be unique, got 'fake-proved'" in err


def test_a_folder_below_a_file_is_refused_before_the_work(provide, capsys, tmp_path):
    provide("interrupting")  # would stop the run with 130 if a check were started
    (tmp_path / "file").write_text("mine")
    code, _, err = run(capsys, "verify", "--out", tmp_path / "file" / "report")
    assert code == 2
    assert err.startswith(f"Error: cannot write {tmp_path}/file/report: ")
    assert err.count("\n") == 1
    assert files(tmp_path) == {"file"}


def test_a_folder_without_permission_is_refused(provide, capsys, tmp_path, monkeypatch):
    provide("interrupting")

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    code, _, err = run(capsys, "verify", "--out", tmp_path / "report")
    assert code == 2
    assert "Permission denied" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("full_at", ["probe", "report.html", "report.json"])
def test_a_full_disk_leaves_no_half_written_report(provide, capsys, tmp_path, monkeypatch, full_at):
    provide("good")
    write = Path.write_bytes

    def fill(path: Path, content: bytes) -> int:
        if path.name == full_at:
            write(path, content[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    code, out, err = run(capsys, "verify", "--out", tmp_path / "report")
    assert code == 2
    assert out == ""
    assert "No space left on device" in err
    assert err.count("\n") == 1
    # Before the work nothing is left; after it what was checked is kept for --resume.
    left = {name.split("/")[0] for name in files(tmp_path)}
    assert left == (set() if full_at == "probe" else {"report"})
    assert all(name.startswith("report/.unfinished/") for name in files(tmp_path))


def test_a_disk_full_while_renaming_leaves_the_old_report_or_nothing(
    provide, capsys, tmp_path, monkeypatch
):
    provide("good")
    replace = os.replace

    def fill(source, target):
        if str(target).endswith("report.html"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fill)
    code, _, err = run(capsys, "verify", "--out", tmp_path / "report")
    assert code == 2
    assert "No space left on device" in err
    # No report, but what was checked is kept for --resume.
    assert {name.split("/")[0] for name in files(tmp_path / "report")} == {".unfinished"}


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
from rolora import cli
from rolora.verify import registry
from verification.finding import ArguedStep, Finding
from verification.verdict import Verdict
import fake_claims
registry.SOURCES = fake_claims.sources({provider!r})
{before}
cli.main({arguments!r})
"""


def start(provider: str, arguments: list[str], before: str = "") -> subprocess.Popen:
    script = SCRIPT.format(here=str(HERE), provider=provider, arguments=arguments, before=before)
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_disk_that_takes_no_large_file_is_noticed_before_the_work(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))"
    process = start("interrupting", ["verify", "--out", str(tmp_path / "r")], limit)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "cannot write" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_says_what_was_finished_and_writes_nothing(tmp_path, jobs):
    data = tmp_path / "data"
    data.mkdir()
    arguments = ["verify", "--jobs", jobs, "--out", str(tmp_path / "r"), "--data-dir", str(data)]
    process = start("slow", arguments)
    deadline = time.monotonic() + 100
    while not (data / "started").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted after 1 of 3 claims (fake-proved); no report was written" in err
    assert "Traceback" not in out + err
    assert files(tmp_path / "r") == {".unfinished/fake-proved.json"}


def test_an_interrupted_run_goes_on_and_ends_with_the_same_report(provide, capsys, tmp_path):
    provide("interrupted_once")
    data = tmp_path / "data"
    data.mkdir()

    def verify(out, *more):
        common = "verify", "--allow-open", "--data-dir", data
        return run(capsys, *common, "--out", tmp_path / out, *more)

    def report(out):
        return without_times(strict_json((tmp_path / out / "report.json").read_text()))

    (data / "go").touch()
    assert verify("whole")[0] == 0
    (data / "go").unlink()
    (data / "log").unlink()
    code, _, err = verify("broken")
    assert code == 130
    assert "Interrupted after 6 of 8 claims" in err
    assert "--resume goes on from here" in err
    kept = tmp_path / "broken" / ".unfinished" / "fake-mean.json"
    kept.write_text(kept.read_text()[:-20])  # a damaged file is checked again
    (data / "go").touch()
    code, _, err = verify("broken", "--resume")
    assert code == 0
    assert "Going on: 5 of 8 claims were finished before" in err
    assert (data / "log").read_text() == "checked\n"
    whole, broken = report("whole"), report("broken")
    assert broken.pop("command") == whole.pop("command")
    assert broken == whole
    assert files(tmp_path / "broken") == files(tmp_path / "whole")
    for name in files(tmp_path / "whole"):
        if name.startswith(("data/", "figures/")):
            same = (tmp_path / "whole" / name).read_bytes()
            assert (tmp_path / "broken" / name).read_bytes() == same


def test_what_another_seed_or_an_unresumed_run_left_is_not_taken_up(provide, capsys, tmp_path):
    provide("interrupted_once")
    data = tmp_path / "data"
    data.mkdir()
    common = ("verify", "--allow-open", "--out", tmp_path / "r", "--data-dir", data)
    assert run(capsys, *common)[0] == 130
    (data / "go").touch()
    assert run(capsys, *common, "--resume", "--seed", 1)[0] == 0
    assert (data / "log").read_text() == "checked\n" * 2
    (data / "go").unlink()
    assert run(capsys, *common)[0] == 130
    (data / "go").touch()
    assert run(capsys, *common)[0] == 0
    assert (data / "log").read_text() == "checked\n" * 4


def test_a_killed_worker_is_one_sentence(provide, capsys, tmp_path):
    provide("dying")
    code, _, err = run(capsys, "verify", "--jobs", 2, "--out", tmp_path / "r")
    assert code == 2
    assert "a worker process was killed" in err
    assert files(tmp_path) <= {"r/.unfinished/fake-proved.json"}


def test_a_second_run_replaces_its_own_files_and_leaves_others_alone(provide, capsys, tmp_path):
    provide("good")
    run(capsys, "verify", "--out", tmp_path)
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    code, *_ = run(capsys, "verify", "--only", "fake-grid", "--out", tmp_path)
    assert code == 0
    assert files(tmp_path) == {
        "report.json", "report.md", "report.html", "notes.txt",
        "figures/fake-grid.svg", "figures/mine.svg", "data/fake-grid.csv",
    }  # fmt: skip


class Page(HTMLParser):
    """Checks that tags nest, and collects identifiers and links."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href", "action", "data"):
                self.links.append(value)
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack, f"</{tag}> closes nothing"
        assert self.stack.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(provide, capsys, tmp_path):
    provide("good", "surprising", "theory.population")
    run(capsys, "verify", "--out", tmp_path, *_only("fake-proved", "fake-mean", "fake-grid",
        "fake-missing", "fake-false", "fake-surprise", "fake-fine", "population-map"))  # fmt: skip
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    page.close()
    assert page.stack == []
    assert len(page.ids) == len(set(page.ids))
    within = [link for link in page.links if not link.startswith("data:image/png;base64,")]
    assert all(link.startswith("#") for link in within)
    assert {link[1:] for link in within} <= set(page.ids)
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    for claim_id in ("fake-mean", "population-map"):
        assert claim_id in page.ids
    assert "Of 8 claims, 3 proved" in html.split("</header>")[0]
    assert str(tmp_path) not in html
    assert str(HERE.parents[1]) not in html


def _only(*ids: str) -> list[str]:
    return [word for claim_id in ids for word in ("--only", claim_id)]


def test_markdown_has_a_row_and_a_section_per_claim(provide, capsys, tmp_path):
    provide("good")
    run(capsys, "verify", "--out", tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| \[fake-", text, re.MULTILINE)) == 5
    assert len(re.findall(r"^## fake-", text, re.MULTILINE)) == 5
    assert "](figures/fake-mean.svg)" in text
    assert "the mean is exactly 1" in text


def test_no_machine_paths_in_any_form_of_the_report(provide, capsys, tmp_path):
    provide("good")
    (tmp_path / "sets").mkdir()
    run(capsys, "verify", "--out", tmp_path / "r", "--data-dir", tmp_path / "sets")
    for name in ("report.json", "report.md", "report.html"):
        text = (tmp_path / "r" / name).read_text(encoding="utf-8")
        assert "--data-dir sets" in text
        assert str(tmp_path) not in text
        assert str(Path.home()) + "/" not in text

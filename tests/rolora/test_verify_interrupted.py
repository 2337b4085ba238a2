"""`rolora verify` on a full disk, stopped, killed and taken up again: a whole report or none."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rolora_helpers import files, report, strict_json

HERE = Path(__file__).parents[1] / "support"
THEORY = "theory.population"


def without_times(told):
    """The report without what may differ between two runs of the same thing."""
    told.pop("environment")  # somebody may commit in between
    for claim in told["claims"]:
        for part in ("finding", "negative_control", "positive_control"):
            (claim[part] or {}).pop("seconds", None)
    told.pop("seconds")
    return told


@pytest.fixture
def data(tmp_path):
    """A data folder: by it a claim is told to stop or go on, and there it writes that it was checked."""
    folder = tmp_path / "sets"
    folder.mkdir()
    return folder


@pytest.mark.fixed_seed
def test_json_has_the_same_verdicts_and_numbers_for_any_number_of_jobs(verify, tmp_path):
    only = ["fake-mean", "fake-grid", "population-map"]
    reports = []
    for jobs in (1, 2):
        into = tmp_path / str(jobs)
        code, out, err = verify(f"good {THEORY}", "--json", "--jobs", jobs, *only, into=into)
        assert (code, err) == (0, "")
        assert strict_json(out) == report(into)
        reports.append(without_times(strict_json(out)))
    assert reports[0] == reports[1]
    assert [c["id"] for c in reports[0]["claims"]] == only
    for name in ("data/fake-mean.csv", "data/population-map.csv", "figures/population-map.svg"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_folder_below_a_file_is_refused_before_the_work(verify, tmp_path):
    (tmp_path / "file").write_text("mine")
    # It would stop with 130 if a check were started.
    code, _, err = verify("interrupting", into=tmp_path / "file" / "report")
    assert code == 2
    assert err.startswith(f"Error: cannot write {tmp_path}/file/report: ")
    assert err.count("\n") == 1
    assert files(tmp_path) == {"file"}


def test_a_folder_without_permission_is_refused(verify, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    code, _, err = verify("interrupting", into=tmp_path / "report")
    assert code == 2
    assert "Permission denied" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("full_at", ["probe", "report.html", "report.json"])
def test_a_full_disk_leaves_no_half_written_report(verify, tmp_path, fill_disk, full_at):
    fill_disk(full_at)
    code, out, err = verify("good", into=tmp_path / "report")
    assert (code, out) == (2, "")
    assert "No space left on device" in err
    assert err.count("\n") == 1
    # Before the work nothing is left; after it what was checked is kept for --resume.
    left = {name.split("/")[0] for name in files(tmp_path)}
    assert left == (set() if full_at == "probe" else {"report"})
    assert all(name.startswith("report/.unfinished/") for name in files(tmp_path))


def test_a_disk_full_while_renaming_leaves_the_old_report_or_nothing(verify, tmp_path, monkeypatch):
    replace = os.replace

    def fill(source, target):
        if str(target).endswith("report.html"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fill)
    code, _, err = verify("good")
    assert code == 2
    assert "No space left on device" in err
    # No report, but what was checked is kept for --resume.
    assert {name.split("/")[0] for name in files(tmp_path)} == {".unfinished"}


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell has put behind
sys.path.insert(0, {here!r})
from rolora import cli
from rolora.verify import registry
import fake_claims
registry.SOURCES = fake_claims.sources({provider!r})
{before}
cli.main({arguments!r})
"""


def start(provider: str, *arguments: str, before: str = "") -> subprocess.Popen:
    words = ["verify", *map(str, arguments)]
    script = SCRIPT.format(here=str(HERE), provider=provider, arguments=words, before=before)
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_disk_that_takes_no_large_file_is_noticed_before_the_work(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))"
    process = start("interrupting", "--out", tmp_path / "r", before=limit)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "cannot write" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_says_what_was_finished_and_writes_nothing(tmp_path, data, jobs):
    process = start("slow", "--jobs", jobs, "--out", tmp_path / "r", "--data-dir", data)
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


def test_an_interrupted_run_goes_on_and_ends_with_the_same_report(verify, tmp_path, data):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    words = ("interrupted_once", "--allow-open", "--data-dir", data)
    (data / "go").touch()
    assert verify(*words, into=whole)[0] == 0
    (data / "go").unlink()
    (data / "log").unlink()
    code, _, err = verify(*words, into=broken)
    assert code == 130
    assert "Interrupted after 6 of 8 claims" in err
    assert "--resume goes on from here" in err
    kept = broken / ".unfinished" / "fake-mean.json"
    kept.write_text(kept.read_text()[:-20])  # a damaged file is checked again
    (data / "go").touch()
    code, _, err = verify(*words, "--resume", into=broken)
    assert code == 0
    assert "Going on: 5 of 8 claims were finished before" in err
    assert (data / "log").read_text() == "checked\n"
    assert without_times(report(broken)) == without_times(report(whole))
    assert files(broken) == files(whole)
    for name in files(whole):
        if name.startswith(("data/", "figures/")):
            assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_what_another_seed_or_an_unresumed_run_left_is_not_taken_up(verify, data):
    words = ("interrupted_once", "--allow-open", "--data-dir", data)
    for more, checked in ((("--resume", "--seed", 1), 2), ((), 4)):
        assert verify(*words)[0] == 130
        (data / "go").touch()
        assert verify(*words, *more)[0] == 0
        assert (data / "log").read_text() == "checked\n" * checked
        (data / "go").unlink()


def test_a_killed_worker_is_one_sentence(verify, tmp_path):
    code, _, err = verify("dying", "--jobs", 2)
    assert code == 2
    assert "a worker process was killed" in err
    assert files(tmp_path) <= {".unfinished/fake-proved.json"}

"""Sweeps: the same table by any workers and after any death, and one sentence for what cannot be."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from importlib import metadata
from pathlib import Path

import jsonschema
import psutil
import pyarrow.parquet
import pytest

from linear_model.experiment import Experiment
from linear_model.summary import summarise
from tests.support.rolora_helpers import run, strict_json
from tests.verification import test_paired_study as studied
from tests.verification.sweep import sweep_cells
from verification import files, paired_study
from verification.sweep import cluster as remote
from verification.sweep import dispatch, store

HERE = Path(__file__).parent
GRID = """
laboratory = "linear"
[fixed]
d = 6
samples = 20
rounds = 3
trials = 2
[grid]
method = ["rolora", "ffa"]
eta = [0.1, 0.2]
seed = { from = 0, count = 49 }
[[cells]]
method = "algorithm2"
kappa = 0.25
[[cells]]
method = "algorithm2"
kappa = 0.5
trials = 3
[[cells]]
method = "ffa-ls"
[[cells]]
method = "fedavg"
local-steps = 2
eta = 0.1
"""
"""200 cells."""


@pytest.fixture
def toml(tmp_path):
    def written(text, name="grid.toml"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return written


@pytest.fixture
def sweep(capsys, tmp_path):
    """`rolora sweep` here: status, output, what it said."""

    def call(file, *words, out="out"):
        return run(capsys, "sweep", file, "--out", tmp_path / out, *words)

    return call


def logged(tmp_path, values, more=""):
    log = tmp_path / "log"
    return (
        f'laboratory = "sweep_cells:logged"\n[fixed]\nlog = "{log}"\n{more}\n[grid]\nx = {values}\n'
    )


def starts(tmp_path):
    return sorted(int(line.split()[0]) for line in (tmp_path / "log").read_text().splitlines())


def rows(folder):
    return pyarrow.parquet.read_table(folder / "table.parquet").to_pylist()


@pytest.fixture(scope="module")
def cluster():
    """Two workers of a Dask scheduler here; one whose work dies twice is not tried again."""
    import dask
    from distributed import LocalCluster

    settings = {"distributed.scheduler.allowed-failures": 1}
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with pytest.MonkeyPatch.context() as patch, dask.config.set(settings):
        patch.syspath_prepend(str(HERE))
        with LocalCluster(2, **options) as made:
            yield made.scheduler_address


PROGRAM = """
import os, signal, sys
from rolora.cli import main
from tests.verification import test_paired_study as studied
from tests.verification.sweep import sweep_cells
from verification import files, paired_study
left, put = int(sys.argv.pop(1)), files.put
def counted(source, path):
    global left
    left -= path.parent.name == "cells"
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    put(source, path)
files.put = counted
main(sys.argv[1:])
"""


def start(*words, program="from rolora.cli import main; main()", before=()):
    """Another process in a session of its own."""
    path = os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", "")))
    return subprocess.Popen(
        [sys.executable, "-c", program, *before, "sweep", *map(str, words)],
        env={**os.environ, "PYTHONPATH": path}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def alone(session, seconds=10.0):
    """Whether all processes of a session end within some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(in_session(pid, session) for pid in psutil.pids()):
            return True
        time.sleep(0.05)
    return False


def in_session(pid, session):
    try:
        return os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False


@pytest.mark.fixed_seed
def test_any_workers_and_any_kills_give_the_same_table(toml, sweep, tmp_path, cluster):
    file = toml(GRID)
    ways = {"one": ("--jobs", 1), "two": ("--jobs", 2), "dask": ("--scheduler", cluster)}
    for out, words in ways.items():
        assert sweep(file, *words, out=out)[0] == 0
    for left in (61, 70):
        killed = start(
            file, "--jobs", 2, "--out", tmp_path / "killed", program=PROGRAM, before=(str(left),)
        )
        killed.communicate(timeout=60)
        assert killed.returncode == -signal.SIGKILL
        assert alone(killed.pid)
    assert len(list((tmp_path / "killed" / "cells").glob("*.json"))) == 131
    assert list((tmp_path / "killed").rglob(".*.tmp"))
    code, _, said = sweep(file, "--jobs", 2, out="killed")
    assert (code, "131 of 200 cells were finished before" in said) == (0, True)
    assert not list(tmp_path.rglob(".*.tmp"))
    tables = {out: (tmp_path / out / "table.parquet").read_bytes() for out in (*ways, "killed")}
    assert len(set(tables.values())) == 1
    told = json.loads((tmp_path / "killed" / "sweep.json").read_text("utf-8"))
    assert told["table_sha256"] == hashlib.sha256(tables["one"]).hexdigest()
    found = rows(tmp_path / "one")
    assert len(found) == told["cells"] == told["finished"] == told["rows"] == 200
    # The cells are what the laboratory's own runs are, whatever stands beside them in the grid.
    for row in (found[0], found[150], *found[-4:]):
        given = {n: row[n] for n in ("method", "eta", "kappa", "trials", "seed", "local_steps")}
        columns = summarise(Experiment(d=6, samples=20, rounds=3, **given).completed().run())
        assert {name: float(values[-1]) for name, values in columns.items()} == {
            name: row[name] for name in columns
        }


@pytest.fixture
def support(monkeypatch):
    """This process and its workers find the cells of tests."""
    monkeypatch.syspath_prepend(str(HERE))


@pytest.mark.parametrize("way", ["here", "dask"])
def test_a_killed_worker_costs_its_cell_alone(way, toml, sweep, tmp_path, cluster, support):
    words = ("--jobs", 2) if way == "here" else ("--scheduler", cluster)
    file = toml(logged(tmp_path, list(range(8))) + "[[cells]]\nx = 50\ndeaths = 1\n")
    assert sweep(file, *words)[0] == 0
    assert starts(tmp_path) == [*range(8), 50, 50]
    assert [row["twice"] for row in rows(tmp_path / "out")] == [*range(0, 16, 2), 100]


@pytest.mark.parametrize("way", ["here", "dask"])
def test_what_kills_its_worker_again_and_again_is_named(
    way, toml, sweep, tmp_path, cluster, support
):
    words = ("--jobs", 1) if way == "here" else ("--scheduler", cluster)
    bad = "[[cells]]\nx = 50\ndeaths = 99\n[[cells]]\nx = 51\nfails = true\n"
    file = toml(logged(tmp_path, list(range(6))) + bad)
    code, out, said = sweep(file, *words, "--json")
    assert code == 1
    assert "cell x=50, deaths=99: it killed " in said
    assert "cell x=51, fails=True: RuntimeError: no such luck" in said
    assert "2 of 8 cells failed" in said
    told = strict_json(out)
    assert [row["x"] for row in told["records"]] == list(range(6))
    assert told["finished"] == 6
    assert len(told["failed"]) == 2
    assert starts(tmp_path).count(50) == (3 if way == "here" else 2)
    # Only what failed is tried again.
    assert sweep(file, *words)[0] == 1
    assert starts(tmp_path).count(5) == 1


def started(process, log, count):
    end = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < count:
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_it_cleanly_and_says_what_is_kept(number, status, toml, tmp_path):
    more = "[[cells]]\nx = 50\nseconds = 60.0\n[[cells]]\nx = 51\nseconds = 60.0\n"
    file, out = toml(logged(tmp_path, [0, 1, 2]) + more), tmp_path / "out"
    process = start(file, "--jobs", 2, "--out", out)
    started(process, tmp_path / "log", 5)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, said = process.communicate(timeout=20)
    words = " ".join(said.split())
    assert process.returncode == status
    assert f"stopped by {signal.Signals(number).name}: 3 of 5 cells are kept in {out}" in words
    assert "the same command goes on from there" in words
    assert "Traceback" not in said
    assert alone(process.pid)
    assert not list(out.rglob("*.tmp")) + list(out.glob(".writer"))


def test_a_second_process_is_refused_by_name_until_the_first_is_dead(
    toml, sweep, tmp_path, support
):
    file = toml(logged(tmp_path, [0]) + "[[cells]]\nx = 50\nseconds = 60.0\n")
    first = start(file, "--out", tmp_path / "out")
    started(first, tmp_path / "log", 2)
    code, _, said = sweep(file)
    assert code == 2
    assert f"in use by process {first.pid} on {socket.gethostname()}" in said
    assert starts(tmp_path) == [0, 50]
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=20)
    assert alone(first.pid)
    quick = toml(logged(tmp_path, [0]) + "[[cells]]\nx = 50\nseconds = 0.0\n")
    code, _, said = sweep(quick)
    assert (code, "holds another sweep" in said) == (2, True)  # the lock is free


def test_cells_can_be_added_and_a_damaged_one_is_run_again(toml, sweep, tmp_path, support):
    assert sweep(toml(logged(tmp_path, [0, 1])))[0] == 0
    one, two = (tmp_path / "out" / "cells").glob("*.json")
    one.write_bytes(one.read_bytes()[:-20])
    two.write_text('{"parameters": {}, "seconds": 1.0, "rows": [3]}')
    assert sweep(toml(logged(tmp_path, [2, 1, 0])))[0] == 0
    assert starts(tmp_path) == [0, 0, 1, 1, 2]
    assert [row["x"] for row in rows(tmp_path / "out")] == [2, 1, 0]


def test_what_gives_no_rows_is_told(toml, sweep, tmp_path, support):
    code, _, said = sweep(toml('laboratory = "sweep_cells:wordy"\n[grid]\nx = [0, 1]\n'))
    assert code == 1
    assert (
        "cell x=1: sweep_cells:wordy must give rows, each a mapping of columns, got 'abc'" in said
    )
    assert rows(tmp_path / "out") == []


def test_rows_are_those_of_the_last_round_or_of_all(toml, sweep, tmp_path, support):
    text = 'laboratory = "sweep_cells:drawn"\nrows = "{}"\n[grid]\nx = [1, 2]\nkind = ["a", "b"]\n'
    for kept, count in (("last", 4), ("all", 8)):
        assert sweep(toml(text.format(kept)), out=kept)[0] == 0
        assert len(rows(tmp_path / kept)) == count
    assert rows(tmp_path / "last") == rows(tmp_path / "all")[1::2]
    alone = text.format("last").replace("[1, 2]", "[2]").replace('["a", "b"]', '["b"]')
    assert sweep(toml(alone), out="alone")[0] == 0
    assert rows(tmp_path / "alone") == rows(tmp_path / "last")[3:]


def test_a_cell_has_one_thread(toml, sweep, tmp_path, support):
    file = toml('laboratory = "sweep_cells:threads"\n[[cells]]\n')
    for words, count in (((), 1), (("--threads", 2), 2)):
        out = f"threads-{count}"
        assert sweep(file, *words, out=out)[0] == 0
        assert rows(tmp_path / out) == [{"blas": count, "torch": count}]


def test_a_dry_run_tells_the_cells_and_the_time_and_writes_nothing(toml, sweep, tmp_path):
    code, out, _ = sweep(toml(GRID), "--dry-run", "--jobs", 2)
    assert code == 0
    assert "200 cells, 0 of them finished" in out
    assert "with 2" in out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("way", ["here", "dask"])
def test_a_dry_run_tells_of_a_cell_that_fails(way, toml, sweep, tmp_path, cluster, support):
    words = () if way == "here" else ("--scheduler", cluster)
    for bad, said in (("fails = true", "RuntimeError: no such luck"), ("deaths = 99", "it killed")):
        file = toml(logged(tmp_path, [5], bad))
        code, _, told = sweep(file, "--dry-run", *words)
        assert (code, f"cell x=5: {said}" in told, told.count("\n")) == (2, True, 1), told


def test_other_threads_than_those_of_finished_cells_are_refused(toml, sweep, tmp_path, support):
    file = toml('laboratory = "sweep_cells:threads"\n[[cells]]\n')
    assert sweep(file)[0] == 0
    table = (tmp_path / "out" / "table.parquet").read_bytes()
    code, _, said = sweep(file, "--threads", 2)
    assert (code, "--threads must be 1, as for the 1 cells that are finished" in said) == (2, True)
    assert (tmp_path / "out" / "table.parquet").read_bytes() == table
    assert sweep(file)[0] == 0


def test_what_is_printed_and_written_fits_the_schema(toml, sweep, tmp_path, capsys, support):
    schemas = {}
    for name in ("sweep", "sweep-file"):
        code, out, _ = run(capsys, "env", "--schema", name)
        assert code == 0
        schemas[name] = jsonschema.Draft202012Validator(strict_json(out))
    file = 'laboratory = "sweep_cells:drawn"\n[grid]\nx = [1]\n'
    code, out, said = sweep(toml(file), "--json")
    assert (code, said) == (0, "")
    printed = strict_json(out)
    written = strict_json((tmp_path / "out" / "sweep.json").read_text("utf-8"))
    assert printed == written | {"records": printed["records"]}
    for told in (printed, written):
        schemas["sweep"].validate(told)
    for name, wrong in (("kind", "run"), ("finished", -1), ("failed", [{"cell": 1}])):
        assert not schemas["sweep"].is_valid(written | {name: wrong})
    assert schemas["sweep-file"].is_valid({"laboratory": "linear", "grid": {"d": [3]}})
    assert not schemas["sweep-file"].is_valid({"laboratory": "linear", "rows": "some"})
    assert sweep(toml(file), "--quiet") == (0, "", "")


FIXED = 'laboratory = "linear"\n[fixed]\nd = 6\n'
BAD = {
    "no file": (None, (), "cannot be read"),
    "not toml": ("x = [", (), "is not valid TOML"),
    "unknown laboratory": ('laboratory = "linaer"\n[grid]\nd = [3]', (), "did you mean 'linear'?"),
    "unknown module": (
        'laboratory = "no_lab:f"\n[grid]\nd = [3]',
        (),
        "there is no module 'no_lab'",
    ),
    "no laboratory in it": (
        'laboratory = "json:no"\n[grid]\nd = [3]',
        (),
        "module:name of a Laboratory",
    ),
    "no laboratory": ("[grid]\nd = [3]", (), "must name a laboratory"),
    "unknown table": (FIXED + "[gird]\nd = [3]", (), "got 'gird'; did you mean 'grid'?"),
    "no table": ('laboratory = "linear"\ngrid = 3', (), "grid must be a table of names and values"),
    "unknown parameter": (FIXED + "[grid]\nkapa = [0.1]", (), "got 'kapa'; did you mean 'kappa'?"),
    "unknown in a cell": (FIXED + "[[cells]]\nkapa = 0.1", (), "did you mean 'kappa'?"),
    "empty": (FIXED, (), "must have a [grid] or [[cells]]"),
    "empty axis": (
        FIXED + "[grid]\nkappa = []",
        (),
        "grid.kappa must be a list of at least one value",
    ),
    "no list": (
        FIXED + "[grid]\nkappa = 0.1",
        (),
        "grid.kappa must be a list of at least one value",
    ),
    "bad span": (FIXED + "[grid]\nseed = {from = 0, count = 0}", (), "count of at least 1"),
    "unknown in a span": (
        FIXED + "[grid]\nseed = {start = 0}",
        (),
        "grid.seed must be one of from",
    ),
    "twice given": (FIXED + "[grid]\nd = [3]", (), "got d in both"),
    "twice given in two spellings": (
        FIXED + "[grid]\nlocal_steps = [1]\nlocal-steps = [2]",
        (),
        "must be given once, got local_steps twice",
    ),
    "fixed and in the grid in two spellings": (
        FIXED + "local_steps = 1\n[grid]\nlocal-steps = [2]",
        (),
        "got local_steps in both",
    ),
    "twice given in a cell": (
        FIXED + "[[cells]]\nlocal_steps = 1\nlocal-steps = 2",
        (),
        "must be given once, got local_steps twice",
    ),
    "duplicate": (
        FIXED + "[grid]\nkappa = [0.1, 0.5]\n[[cells]]\nkappa = 0.5",
        (),
        "cell kappa=0.5 is there twice, also as kappa=0.5",
    ),
    "duplicate by default": (
        FIXED + "[grid]\nseed = [0]\n[[cells]]\nkappa = 0.5",
        (),
        "cell kappa=0.5 is there twice, also as seed=0",
    ),
    "out of range": (
        FIXED + "[grid]\nkappa = [0.5, -1.0]\nseed = [0]",
        (),
        "cell kappa=-1.0, seed=0: kappa must be above 0",
    ),
    "unknown method": (FIXED + '[grid]\nmethod = ["ffa", "rollora"]', (), "did you mean 'rolora'?"),
    "a date": (
        'laboratory = "sweep_cells:free"\n[grid]\nx = [2026-01-01]',
        (),
        "cell x=2026-01-01: cannot write a date as JSON",
    ),
    "no signature": (
        'laboratory = "sweep_cells:foreign"\n[grid]\nx = [1]',
        (),
        "must be a function with a signature: name 'Nowhere' is not defined",
    ),
    "many by place": (
        'laboratory = "json:dumps"\n[grid]\nobj = [1]',
        (),
        "parameters by name, got **kw",
    ),
    "a place in the way": (
        FIXED + "[grid]\nseed = [0]",
        ("--out", "/dev/null/x"),
        "cannot be written",
    ),
    "a grid of rates inside": (
        'laboratory = "llm"\n[fixed]\nmodel = "m"\ntask = "sst2"\n[grid]\nlearning-rate-grid = [[0.1, 0.2]]',
        (),
        "put the rates into grid.learning_rate",
    ),
    "too many": (
        FIXED + "[grid]\nseed = {count = 1000000000000}\nkappa = [0.1, 0.2]",
        (),
        "the sweep has 2,000,000,000,000 cells; more than 10,000 need --yes",
    ),
    "no scheduler": (
        FIXED + "[grid]\nseed = [0]",
        ("--scheduler", "tcp://127.0.0.1:9"),
        "none answered",
    ),
    "no address": (FIXED + "[grid]\nseed = [0]", ("--scheduler", "bus://stop"), "none answered"),
}


@pytest.mark.parametrize(("text", "words", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_refused_before_any_work(
    text, words, said, toml, sweep, tmp_path, monkeypatch, support
):
    monkeypatch.setattr(remote, "CONNECT_SECONDS", 1)
    file = tmp_path / "none.toml" if text is None else toml(text)
    began = time.monotonic()
    code, _, told = sweep(file, *words)
    assert (code, said in told) == (2, True), told
    assert time.monotonic() - began < 10
    assert told.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"grid.toml"}


OTHERS = {
    "fixed.d 5 in place of 6": {"d = 5": "d = 6"},
    "grid.seed [0, 1] in place of [1, 2]": {"[0, 1]": "[1, 2]"},
    "grid.seed [0, 1] in place of {": {"[0, 1]": "{ from = 1, count = 5 }"},
    'rows "last" in place of "all"': {"laboratory =": 'rows = "all"\nlaboratory ='},
    'laboratory "linear" in place of "nonlinear"': {
        "linear": "nonlinear",
        "d = 5": "rank = 5",
        "trials = 2": "",
    },
}
"""What is said, and what is exchanged."""


def test_a_folder_of_another_sweep_is_refused(toml, sweep, tmp_path):
    own = FIXED.replace("6", "5") + "rounds = 2\ntrials = 2\n[grid]\nseed = [0, 1]"
    assert sweep(toml(own))[0] == 0

    def there():
        return {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}

    before = there()
    for said, changes in OTHERS.items():
        other = own
        for old, new in changes.items():
            other = other.replace(old, new)
        code, _, told = sweep(toml(other))
        assert (code, f"holds another sweep: {said}" in told) == (2, True), told
        assert there() == before
    for text in ("[1]", "{}", '{"specification'):
        (tmp_path / "out" / "sweep.json").write_text(text)
        assert "holds cells of an unknown sweep" in sweep(toml(own))[2]
    (tmp_path / "out" / "sweep.json").write_text('{"specification": 3}')
    assert 'holds another sweep: laboratory nothing in place of "linear"' in sweep(toml(own))[2]


@pytest.fixture
def lone():
    """A scheduler of one worker."""
    from distributed import LocalCluster

    with LocalCluster(1, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as made:
        yield made


def emptied(made):
    made.scale(0)
    end = time.monotonic() + 20
    while made.scheduler.workers:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_cluster_without_workers_or_of_other_versions_is_refused(
    toml, sweep, tmp_path, cluster, lone, monkeypatch
):
    file = toml(FIXED + "[grid]\nseed = [0]")
    monkeypatch.setattr(remote, "CONNECT_SECONDS", 1)
    emptied(lone)
    code, _, said = sweep(file, "--scheduler", lone.scheduler_address)
    assert (code, "has no worker; start one: dask worker tcp://" in said) == (2, True)
    real = metadata.version
    other = {"numpy": "1.0"}
    monkeypatch.setattr(metadata, "version", lambda name: other.get(name) or real(name))
    code, _, said = sweep(file, "--scheduler", cluster)
    assert (code, f"has numpy {real('numpy')} in place of 1.0" in said) == (2, True)
    assert not (tmp_path / "out").exists()


def test_the_guides_cluster_has_options_that_dask_has_and_listens_here_alone():
    from distributed.cli import dask_scheduler, dask_worker

    guide = (HERE.parents[2] / "docs" / "how-to" / "sweep.md").read_text("utf-8")
    for name, command in (("scheduler", dask_scheduler.main), ("worker", dask_worker.main)):
        known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
        lines = [x.split() for x in guide.splitlines() if x.startswith(f".venv/bin/dask {name} ")]
        assert lines
        for words in lines:
            assert {word for word in words if word.startswith("--")} <= known
            assert words[words.index("--host") + 1] == "127.0.0.1"


def test_a_cluster_that_is_lost_is_told(lone, monkeypatch):
    monkeypatch.setattr(dispatch, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.5)
    with remote.Cluster(lone.scheduler_address) as pool:
        for done in dispatch.dispatch(abs, [-1], pool):
            assert (done.value, done.error) == (1, "")
        emptied(lone)
        with pytest.raises(ValueError, match="has had no worker for"):
            list(dispatch.dispatch(abs, [-1], pool))
        lone.close()
        with pytest.raises(ValueError, match="went away"):
            list(dispatch.dispatch(abs, [-1], pool))


def test_a_study_is_the_same_on_a_cluster(tmp_path, cluster):
    measure = partial(sweep_cells.judged, str(tmp_path / "log"), "")
    for out, where in {"here": {}, "dask": {"scheduler": cluster}}.items():
        own = {"table": tmp_path / f"{out}.csv", "rows": studied.rows}
        paired_study.run(studied.DESIGN, measure, studied.search, **own, **where)
    assert (tmp_path / "dask.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert len((tmp_path / "log").read_text("utf-8").splitlines()) == 2 * 12


def test_a_full_disk_ends_it_and_keeps_what_is_written(toml, sweep, tmp_path, support, monkeypatch):
    left, keep = iter(range(3)), files.write

    def full(path, content):
        if path.parent.name == "cells" and next(left, None) is None:
            raise ValueError(f"{path} cannot be written: No space left on device")
        keep(path, content)

    monkeypatch.setattr(store, "write", full)
    code, _, said = sweep(toml(logged(tmp_path, list(range(5)))))
    assert code == 2
    assert "No space left on device; 3 of 5 cells are kept in" in said
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(HERE))
    assert sweep(toml(logged(tmp_path, list(range(5)))))[0] == 0
    assert len(rows(tmp_path / "out")) == 5


def test_a_table_of_something_else_and_two_kinds_of_workers_are_refused(toml, sweep, tmp_path):
    file = toml('laboratory = "sweep_cells:threads"\n[[cells]]\n')
    code, _, said = sweep(file, "--jobs", 2, "--scheduler", "tcp://127.0.0.1:1")
    assert (code, "give one of them, got --jobs 2" in said) == (2, True)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "table.parquet").write_text("mine")
    code, _, said = sweep(file)
    assert (code, "holds table.parquet of an unknown sweep" in said) == (2, True)
    assert (tmp_path / "out" / "table.parquet").read_text() == "mine"

"""A command that dies by SIGKILL and goes on, beside the same command undisturbed."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from rolora.cli import main


class StopError(Exception):
    """Raised by a run's progress to stop it."""


def stopping(at):
    """Progress of either laboratory that stops a run after a round."""

    def told(now, *_):
        if (now["round"] if isinstance(now, dict) else now) == at:
            raise StopError

    return told


PROGRAM = """
import os, signal, sys
from rolora.cli import main
from verification import files
left, put = int(sys.argv.pop(1)), files.put
def counted(source, path):
    global left
    left -= path.name.startswith("round-")
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    put(source, path)
files.put = counted
main(sys.argv[1:])
"""
"""Its words but the first, killed when that many checkpoints stand and one more is half made."""


def launch(checkpoints, words):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(checkpoints), *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def killed_twice(folder, words, checkpoints):
    """Folders of the whole run and of the one killed before two of its `checkpoints`, chosen at random."""
    whole, broken = folder / "whole", folder / "broken"
    first, second = np.random.default_rng().integers(1, checkpoints // 2, 2)
    for left, out in ((None, whole), (first, broken), (second, broken), (None, broken)):
        assert not (broken / "run.csv").exists()
        said = [*map(str, words), "--quiet", "--resume", "--out", str(out)]
        if left is None:  # here, which starts no interpreter
            with pytest.raises(SystemExit) as done:
                main(said)
            assert not done.value.code, (first, second)
        else:
            killed = launch(left, said)
            assert killed.returncode == -signal.SIGKILL, (first, second, killed.stderr)
    assert not list(broken.rglob("*.tmp"))
    return whole, broken

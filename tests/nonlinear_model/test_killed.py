"""Runs that die by SIGKILL and go on: the same bits in the end."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np


def test_every_method_and_optimiser_survives_sigkill_bit_for_bit(tmp_path):
    """Each run is killed from outside at two random rounds, a random moment after the round's end."""
    script = Path(__file__).parents[1] / "support" / "killed_runs.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *runs, control = map(json.loads, done.stdout.splitlines())
    assert len({(method, optimiser) for method, optimiser, *_ in runs}) == 7 * 3
    for method, optimiser, kills, death, rounds_left, other in runs:
        told = f"{method} with {optimiser}, killed after (rounds, seconds, exit) {kills}"
        assert [exit_status for *_, exit_status in kills] == [-signal.SIGKILL] * 2, told
        assert death == 0, told
        assert rounds_left <= 48, told
        assert other == [], f"{told}: {other} differ"
    # Most runs really went on from a checkpoint: only two kills before round 2 leave none.
    assert sum(rounds_left < 48 for *_, rounds_left, _ in runs) > 10
    assert control is False, "another seed gave the same record: the comparison sees nothing"


def arguments(folder, *more):
    return [
        "nonlinear", "run", "--method", "fedavg", "--optimiser", "adam", "--optimiser-state", "keep",
        "--learning-rate", "0.01", "--rounds", "30", "--local-steps", "2", "--hidden", "20",
        "--rank", "4", "--checkpoint-every", "3", "--threads", "1", "--quiet", "--out", str(folder),
        *more,
    ]  # fmt: skip


def test_killed_at_a_random_round_and_resumed_is_bit_equal(tmp_path):
    """The command under SIGKILL, twice in one run; the kill comes from inside, so its round is known."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    script = textwrap.dedent(
        """
        import os, signal, sys
        from nonlinear_model.training import federation
        from rolora.cli import main
        at = int(sys.argv.pop(1))
        step = federation.Federation.step
        def until(self):
            if self.round == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self)
        federation.Federation.step = until
        main(sys.argv[1:])
        """
    )

    def launch(at, folder, *more):
        return subprocess.run(
            [sys.executable, "-c", script, str(at), *arguments(folder, *more)],
            capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
        )  # fmt: skip

    done = launch(10**9, whole)
    assert done.returncode == 0, done.stderr
    first, second = sorted(np.random.default_rng().choice(np.arange(1, 30), 2, replace=False))
    assert launch(first, broken).returncode == -signal.SIGKILL
    assert not (broken / "run.csv").exists()
    assert launch(second, broken, "--resume").returncode == -signal.SIGKILL
    done = launch(10**9, broken, "--resume")
    assert done.returncode == 0, done.stderr
    for name in ("run.csv", "runs.csv", "weights.safetensors"):
        same = (whole / name).read_bytes() == (broken / name).read_bytes()
        assert same, f"{name} differs after kills before rounds {first + 1} and {second + 1}"
    assert not list(broken.glob(".rolora-*/run.csv"))

"""Run every method with every optimiser whole, and killed twice from outside; print what differs.

A script of its own: it forks its runs off a process that has imported everything but never run a
backward pass, so that a run costs a fraction of a second and a SIGKILL takes nothing else with it.

    python killed_runs.py FOLDER
"""

import itertools
import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment
from verification.codec import csv_text

METHODS = (
    "fedavg", "ffa", "rolora", "a-heavy", "b-heavy", "rolora-then-ffa:50", "ffa-then-rolora:50",
)  # fmt: skip
OPTIMISERS = ("sgd", "momentum", "adam")
ROUNDS, EVERY, KILLS = 48, 2, 2
LATEST = 10
"""Rounds of its own after which an attempt is killed at the latest. Most of the run is left then: on a fast
machine some rounds go by before the kill arrives."""
LONGEST_DELAY = 0.005
"""Seconds between the end of the chosen round and the kill: it falls into the next steps or a write."""


def settings(method, optimiser):
    return Configuration(
        method=method, optimiser=optimiser, optimiser_state="keep", learning_rate=0.05,
        rounds=ROUNDS, local_steps=2, batch_size=8, hidden=20, rank=4, probe=4, participation=0.6,
        head="average",
    )  # fmt: skip


def child(config, data, folder, written):
    """One attempt: a byte to the parent after every round, and the results at the end."""
    torch.set_num_threads(1)
    result = experiment.run(
        config, data, checkpoints=folder / "checkpoint", every=EVERY,
        progress=lambda number, rows: os.write(written, b"."),
    )  # fmt: skip
    columns = {name: [row[name] for row in result.rows] for name in result.rows[0]}
    (folder / "weights").write_bytes(experiment.weights_bytes(result))
    (folder / "run.csv").write_text(csv_text(columns), encoding="utf-8")
    os.write(written, b"!" + bytes([len(result.seconds)]))


def attempt(config, data, folder, rounds=None, delay=0.0):
    """Fork one attempt; kill it `delay` seconds after `rounds` rounds. Its exit status and what it said."""
    folder.mkdir(parents=True, exist_ok=True)
    read, written = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(read)
        try:
            child(config, data, folder, written)
        finally:
            os._exit(0 if (folder / "run.csv").exists() else 1)
    os.close(written)
    said = b""
    while byte := os.read(read, 1):
        said += byte
        if rounds is not None and said.count(b".") >= rounds:
            time.sleep(delay)
            os.kill(process, signal.SIGKILL)
            break
    os.close(read)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), said


def main(root):
    data, chance = load(), np.random.default_rng()
    for method, optimiser in itertools.product(METHODS, OPTIMISERS):
        config = settings(method, optimiser)
        whole, broken = (root / f"{method}-{optimiser}-{name}" for name in ("whole", "broken"))
        death, _ = attempt(config, data, whole)
        assert death == 0, f"{method} with {optimiser} failed"
        kills = []
        for _ in range(KILLS):
            rounds = int(chance.integers(1, LATEST + 1))
            delay = float(chance.uniform(0.0, LONGEST_DELAY))
            death, _ = attempt(config, data, broken, rounds, delay)
            kills.append((rounds, round(delay, 4), death))
        death, said = attempt(config, data, broken)
        other = [
            name
            for name in ("run.csv", "weights")
            if (whole / name).read_bytes() != (broken / name).read_bytes()
        ]
        print(json.dumps([method, optimiser, kills, death, said.count(b"."), other]), flush=True)
    # The control: another seed must not give the same bits, or the comparison sees nothing.
    attempt(replace(config, seed=1), data, root / "control")
    print(
        json.dumps((root / "control" / "run.csv").read_bytes() == (whole / "run.csv").read_bytes())
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

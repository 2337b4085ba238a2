"""The all-at-once engine against the one-by-one engine on a CPU, and what one more client costs in memory.

    python -m benchmarks.llm --data-dir DIR [--out FILE] [--repeats K]

MiniLM on SST-2, one round of local training per repetition, both engines by turns. The floor is one adapter
trained alone on as many examples in the same passes: federation with nothing to pay for it. Memory is the
peak resident size of a process of its own for each number of clients. Last, a grid of learning rates and
seeds, its runs side by side and each in a process of its own. Exit status 1 if a requirement does not hold.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.ratios import Case, by_turns, told

DEFAULT_OUT = Path(__file__).parent / "results" / "llm.json"
CLIENTS, BATCH, STEPS = 8, 8, 5
MEMORY_CLIENTS = (8, 24)
MEMORY_SLACK = 1.1
"""Growth per client may exceed the estimate by so much."""
GRID_SEEDS, GRID_RATES, GRID_THREADS = 4, (2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2), 2
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""Has glibc give freed blocks back. Left to itself it keeps some for later, which is no client's memory and
made the growth anything from 1.1 to 1.4 times the estimate from one run to the next."""


def main() -> int:
    """Measure, print, write; 0 if every requirement holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", required=True, help="folder with sst2/")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--grid-of", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--peak-of", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    if chosen.grid_of:
        grid(chosen.data_dir, chosen.grid_of)
        return 0
    if chosen.peak_of:
        print(json.dumps(peak(chosen.data_dir, chosen.peak_of)))
        return 0
    cases = speed_cases(chosen.data_dir, chosen.repeats)
    cases += [memory_case(chosen.data_dir), grid_case(chosen.data_dir)]
    return told("Language models: all at once against one by one", chosen.out, cases)


def speed_cases(data_dir: str, repeats: int) -> list[Case]:
    """One round of each method, both engines, and one adapter alone."""
    cases = []
    for method in ("rolora", "fedavg"):
        literal = round_of("one-by-one", method, data_dir, CLIENTS, BATCH)
        together = round_of("all-at-once", method, data_dir, CLIENTS, BATCH)
        alone = round_of("one-by-one", method, data_dir, 1, CLIENTS * BATCH)
        slow, fast, floor = by_turns(repeats, (literal, STEPS), (together, STEPS), (alone, STEPS))
        words = (
            f"{method}: {CLIENTS} clients, local batch {BATCH}, MiniLM on SST-2",
            "local step of all clients",
            "one-by-one engine: PEFT layers, torch's AdamW, client after client",
            "all-at-once engine: all clients in one pass",
        )
        least = f"one adapter trained alone with batch {CLIENTS * BATCH}"
        cases.append(Case(*words, slow, fast, 1.05, least, floor))
        words = (f"{words[0]}: against one adapter", words[1], least, words[3])
        cases.append(Case(*words, floor, fast, 1.0, least, floor))
    return cases


def grid_case(data_dir: str) -> Case:
    """A grid of one cell as one process, and its runs as processes of their own; loading included."""

    def seconds(runs: int) -> float:
        call = [sys.executable, "-m", "benchmarks.llm", "--data-dir", data_dir]
        begin = time.perf_counter()
        subprocess.run([*call, "--grid-of", str(runs)], capture_output=True, check=True)
        return (time.perf_counter() - begin) / runs

    count = GRID_SEEDS * len(GRID_RATES)
    seconds(1)  # files from the disk
    apart, together = min(seconds(1) for _ in range(3)), seconds(count)
    words = (
        f"grid of {count} runs: 3 clients, local batch 4, MiniLM on SST-2, {GRID_THREADS} threads",
        "run, loading and measuring included",
        "each run a process of its own, its clients in one pass",
        "all runs side by side in one process, the clients of all in one pass",
    )
    return Case(*words, apart, together, 2.0, "the same", together)


def grid(data_dir: str, count: int) -> None:
    """The first runs of the grid side by side; one alone as any run."""
    import torch

    from llm_validation.base.encoder import minilm_folder
    from llm_validation.config import Config
    from llm_validation.training.loop import run
    from llm_validation.training.side_by_side import run_side_by_side

    torch.set_num_threads(GRID_THREADS)
    sizes = {"clients": 3, "batch_size": 4, "local_steps": 5, "rounds": 4, "evaluate_every": 4}
    limits = {"train_examples": 2000, "eval_examples": 100, "threads": GRID_THREADS}
    options = {"data_dir": data_dir, "method": "rolora", "device": "cpu", **sizes, **limits}
    runs = [
        Config(str(minilm_folder()), "sst2", seed=seed, learning_rate=rate, **options)
        for seed in range(GRID_SEEDS)
        for rate in GRID_RATES
    ][:count]
    if count == 1:
        run(runs[0])
    else:
        run_side_by_side(runs)


def opened(data_dir: str, method: str, clients: int, batch: int, steps: int, count: int) -> tuple:
    """A run on MiniLM and the first examples of SST-2: configuration, model, tokens, labels."""
    import torch

    from llm_validation.base.encoder import minilm_folder
    from llm_validation.base.encoding import encode
    from llm_validation.base.models import build
    from llm_validation.config import Config
    from llm_validation.tasks import registry

    torch.set_num_threads(1)
    sizes = {"clients": clients, "batch_size": batch, "local_steps": steps}
    options = {"data_dir": data_dir, "method": method, "lora_dropout": 0.0, "device": "cpu"}
    config = Config(str(minilm_folder()), "sst2", **sizes, **options)
    train = registry.load(config).train.take(np.arange(count))
    space = build(config, causal=False, names=train.names)
    encoded = encode(train, space.tokenizer, config.max_length, segments=space.segments)
    return config, space, encoded, train.labels


def round_of(
    engine: str, method: str, data_dir: str, clients: int, batch: int
) -> Callable[[], object]:
    """One round of local training, ready to run again and again."""
    from federated_lora import method_named
    from llm_validation.training.all_at_once import AllAtOnce
    from llm_validation.training.loop import plan, split_clients
    from llm_validation.training.one_by_one import OneByOne
    from llm_validation.training.server import read_server

    config, space, encoded, labels = opened(data_dir, method, clients, batch, STEPS, 4096)
    server = read_server(space)
    split = split_clients(config, labels)
    work = plan(config, method_named(method), server, split, encoded.lengths)
    literal = engine == "one-by-one"
    run = (config, space, encoded)
    trainer = OneByOne(*run) if literal else AllAtOnce(*run, clients)
    return lambda: trainer.train(server, work)


def peak(data_dir: str, clients: int) -> dict[str, int]:
    """Peak resident size of a process that trains so many clients in one pass, in bytes.

    Also the estimate of one client's share, made on minibatches of the longest example alone; every
    client here trains on just such minibatches, so the two are comparable.
    """
    from federated_lora import method_named
    from llm_validation.training.all_at_once import AllAtOnce
    from llm_validation.training.estimate import client_memory
    from llm_validation.training.server import Work, read_server

    config, space, encoded, _ = opened(data_dir, "fedavg", clients, BATCH, 2, 2048)
    one = client_memory(config, space, encoded)
    rows = np.full(BATCH, int(np.argmax(encoded.lengths)))
    rows[-1] = int(np.argmin(encoded.lengths))
    factors = method_named("fedavg").trainable(1)
    work = Work(1, factors, tuple(range(clients)), [[rows, rows]] * clients, 1e-3)
    AllAtOnce(config, space, encoded, clients).train(read_server(space), work)
    return {"peak": highest_resident(), "estimate": one.total}


def highest_resident() -> int:
    """Peak resident size of this process, in bytes.

    On Linux not by `getrusage`: a process started by a larger one begins with that one's peak.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [x for x in status.read_text().splitlines() if x.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest * (1 if sys.platform == "darwin" else 1024)


def memory_case(data_dir: str) -> Case:
    """Growth of the peak per added client against the estimate of its own share."""
    few, many = MEMORY_CLIENTS
    peaks = {}
    for clients in MEMORY_CLIENTS:
        words = [sys.executable, "-m", "benchmarks.llm", "--data-dir", data_dir]
        words += ["--peak-of", str(clients)]
        told_back = {"capture_output": True, "text": True, "check": True}
        done = subprocess.run(words, env=os.environ | GIVES_BACK, **told_back)
        peaks[clients] = json.loads(done.stdout.splitlines()[-1])
    growth = (peaks[many]["peak"] - peaks[few]["peak"]) / (many - few)
    one = float(peaks[few]["estimate"])
    words = (
        f"memory per added client, {few} to {many} clients in one pass (bytes, not seconds)",
        "client",
        "estimate: the client's adapter, gradients, optimiser state and activations",
        "growth of the process's peak resident size",
    )
    return Case(*words, one, growth, MEMORY_SLACK, "the estimate itself", one, at_most=True)


if __name__ == "__main__":
    sys.exit(main())

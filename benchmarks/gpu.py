"""Tokens per second and peak memory on one CUDA device: all at once, one by one, and one adapter alone.

    python -m benchmarks.gpu [--model roberta-large|llama-2-7b|FOLDER]... [--out FILE] [--budget SECONDS]

RoBERTa-Large and Llama-2-7B by their configurations, with random weights where no folder is given: speed and
memory do not depend on the values. The texts have the lengths of MNLI's pairs and of BoolQ's prompts
(`lengths.json`), so passes are padded as in a run; adapters have dropout, the base is in bfloat16. For 50, 20
and 3 clients and local batches of 8 and 32, for FedAvg-LoRA and for both of RoLoRA's rounds: local steps of
a round by each engine, and the floor, one adapter alone on plain PEFT layers with torch's fused AdamW, on the
same examples in the same passes as the all-at-once engine's. Of 3 clients also 8 runs side by side. One step
each of the 50 clients and of the floor goes through the profiler.

Cells come in the order of what they say. Those for which the budget leaves no time are recorded as not
measured, what does not fit the memory as such, and the file is written anew after every cell.
"""

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.gpu_workload import (
    DROPOUT,
    LONGEST,
    STEPS,
    Device,
    PlainAdapter,
    Products,
    alone,
    examples,
    first,
    padded,
    passes,
    settings_of,
    work_of,
    workspace,
)
from benchmarks.profiled import summary
from benchmarks.ratios import environment
from llm_validation.base.base_model import require_positions
from llm_validation.base.encoding import Encoded
from llm_validation.base.memory import free_bytes
from llm_validation.base.models import Workspace
from llm_validation.config import Config
from llm_validation.training.all_at_once import AllAtOnce
from llm_validation.training.estimate import MARGIN, client_memory
from llm_validation.training.one_by_one import OneByOne
from llm_validation.training.server import Server, Work, read_server
from verification import files
from verification.codec import json_text

DEFAULT_OUT = Path(__file__).parent / "results" / "gpu.json"
METHODS = {"fedavg": (1,), "rolora": (1, 2)}
"""Rounds that are timed: RoLoRA trains B in its first and A in its second."""
ROLES = ("all-at-once", "all-at-once own", "floor", "one-by-one")
"""All at once with the adapters' products in the base's precision, and in their own."""
BESIDE, RECORDED = "side by side", "all-at-once recorded"
PLAN = (
    (50, 8, "fedavg", ROLES),
    (50, 8, "rolora", ("all-at-once", "floor")),
    (50, 32, "fedavg", ("all-at-once", "floor")),
    (3, 32, "rolora", (BESIDE,)),
    (3, 8, "fedavg", ("all-at-once", "floor", "one-by-one", BESIDE)),
    (20, 32, "fedavg", ("all-at-once", "floor")),
    (3, 32, "fedavg", ("all-at-once", "floor", "one-by-one")),
    (50, 8, "fedavg", (RECORDED,)),
    (3, 32, "fedavg", (RECORDED,)),
    (3, 8, "fedavg", (RECORDED,)),
    (20, 32, "fedavg", (RECORDED,)),
    (50, 32, "rolora", ("all-at-once", "floor")),
    (20, 8, "fedavg", ("all-at-once", "floor", "one-by-one")),
    (20, 8, "rolora", ("all-at-once", "floor")),
    (3, 8, "rolora", ("all-at-once", "floor", BESIDE)),
)
"""Clients, local batch, method and roles, in the order of what they say."""
LARGE_PLAN = (
    (20, 8, "fedavg", ("all-at-once", "floor")),
    (3, 8, "fedavg", ("all-at-once", "floor", "one-by-one")),
    (20, 8, "rolora", ("all-at-once", "floor")),
    (3, 8, "rolora", (BESIDE,)),
    (50, 8, "fedavg", ("all-at-once", "floor")),
)
"""The same for a model whose steps take seconds."""
RUNS = 8
"""Runs of a grid that train side by side, each with a start of its own."""
TIMED = 10
"""Steps of a round that are timed; of the model whose steps take seconds, `LARGE_STEPS`."""
LARGE_STEPS = 3
LITERAL, LITERAL_STEPS = 3, 4
"""Clients and steps that the one-by-one engine is timed on: each costs it the same."""
SLICE = 6.0
"""Seconds after which a cell is not repeated."""
COUNTS = ("kernels", "operations", "launches", "waits", "reads", "wall_ms", "busy_ms", "host_ms")
BUDGET = {"measured": False, "why": "budget"}


def cells(quick: bool, large: bool = False) -> Iterator[tuple[int, int, str, int, str]]:
    """Clients, local batch, method, round and role, in the order of what they say."""
    if quick:
        yield from ((3, 8, "fedavg", 1, role) for role in (*ROLES, BESIDE))
        return
    for clients, batch, method, roles in LARGE_PLAN if large else PLAN:
        for round in METHODS[method]:
            yield from ((clients, batch, method, round, role) for role in roles)


class Bench:
    """One model, ready for its cells."""

    def __init__(self, model: str, device: Device, ends: float, repeats: int) -> None:
        self.model, self.device, self.ends, self.repeats = model, device, ends, repeats
        plain = settings_of(device, "rolora", 1, 4, model, "own")
        self.space = workspace(model, plain)
        self.data = examples(int(self.space.base.config.vocab_size), causal=self.space.causal)
        require_positions(plain, self.space.base, int(self.data.lengths.max()))
        self.server = read_server(self.space)
        self.fitting: dict[int, int] = {}

    @property
    def large(self) -> bool:
        """Whether a step takes seconds."""
        return self.model == "llama-2-7b"

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.ends - time.perf_counter()

    def at_once(self, role: str, config: Config) -> int:
        """How many clients share a pass; the floor's passes are as large as the all-at-once engine's."""
        if role == "one-by-one":
            return 1
        size = config.batch_size
        if size not in self.fitting:
            self.fitting[size] = clients_per_pass(config, self.space, self.data)
        return min(self.fitting[size], config.clients * (RUNS if role == BESIDE else 1))

    def steps(self, role: str) -> int:
        """How many of a round's steps are timed."""
        most = LARGE_STEPS if self.large else TIMED
        return min(most, LITERAL_STEPS) if role == "one-by-one" else most

    def cell(
        self, clients: int, batch: int, method: str, round: int, role: str, kind: str = "time"
    ) -> dict[str, Any]:
        """One cell's record: its time, or its profile."""
        products: Products = "own" if role.endswith("own") else "base"
        config = settings_of(self.device, method, clients, batch, self.model, products)
        config = config.changed(cuda_graphs=role == RECORDED)
        work = work_of(config, self.data, round)
        told: dict[str, Any] = {"model": self.model, "kind": kind, "role": role, "method": method}
        told |= {"trained": "".join(sorted(work.factors)), "clients": clients, "local_batch": batch}
        if self.left <= 0.0:
            return told | BUDGET
        try:
            gc.collect()
            at_once, steps = self.at_once(role, config), self.steps(role)
            work = first(work, LITERAL if role == "one-by-one" else clients, steps)
            told |= {"clients_timed": len(work.clients), "steps": steps}
            told |= {"runs": RUNS} if role == BESIDE else {}
            every = work
            if role == BESIDE:
                every = replace(work, clients=work.clients * RUNS, batches=work.batches * RUNS)
            parts = passes(every, self.data, at_once, self.space.device)
            told |= {"passes": sum(map(len, parts)), "padded_tokens": padded(parts, self.data)}
            run = (config, self.space, self.data)
            trainer: Any
            if role == "floor":
                trainer, work = PlainAdapter(*run), alone(parts, work)
            else:
                kinds = {"one-by-one": OneByOne(*run), BESIDE: Beside(*run, at_once)}
                trainer = kinds.get(role) or AllAtOnce(*run, at_once)
            # The floor's passes count as steps of its own.
            one = sum(map(len, parts[:1])), sum(map(len, parts[:2]))
            shorts = [
                first(work, len(work.clients), n) for n in (one if role == "floor" else (1, 2))
            ]
            if kind == "time":
                told |= timed(
                    trainer,
                    self.server,
                    work,
                    shorts[0],
                    steps,
                    lambda: self.left,
                    self.repeats + (role == RECORDED),
                )
            else:
                told |= profiled(trainer, self.server, shorts, lambda: self.left)
            return told | {"clients_at_once": getattr(trainer, "at_once", at_once)}
        except torch.OutOfMemoryError:
            return told | {"measured": False, "why": "memory"}
        except RuntimeError as error:  # of the GPU: the other cells go on
            return told | {"measured": False, "why": str(error)[:500]}


class Beside(AllAtOnce):
    """Several runs of the cell, of other seeds and rates, in one stack."""

    def train(self, server: Server, work: Work) -> Any:
        """One round of each; how many tokens they held."""
        runs = [
            (replace(server), replace(work, seed=k, learning_rate=1e-4 * (k + 1)))
            for k in range(RUNS)
        ]
        return SimpleNamespace(tokens=sum(own.tokens for own in self.train_side_by_side(runs)))


def clients_per_pass(config: Config, space: Workspace, data: Encoded) -> int:
    """As many clients as are estimated to fit, at least one."""
    need = client_memory(config, space, data).total
    return max(1, int(free_bytes(space.device) * MARGIN // need))


def synchronise() -> None:
    """Wait for the device, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of some work on host and device, and what it returned."""
    synchronise()
    begin = time.perf_counter()
    result = work()
    synchronise()
    return time.perf_counter() - begin, result


def timed(
    engine: Any,
    server: Server,
    work: Work,
    short: Work,
    steps: int,
    left: Callable[[], float],
    repeats: int,
) -> dict[str, Any]:
    """Every round's seconds after two of one step, and the fastest's tokens per second; the peak memory."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    for _ in range(2):  # kernels are chosen and memory is claimed in the first
        expected = steps * clocked(partial(engine.train, server, short))[0]
        if expected > left():
            return dict(BUDGET)
    seconds: list[float] = []
    tokens = 0
    while len(seconds) < repeats and sum(seconds) < SLICE and expected < left():
        took, result = clocked(partial(engine.train, server, work))
        tokens = result.tokens
        seconds.append(took)
        expected = took
    best = min(seconds)
    return {
        "measured": True,
        "seconds": seconds,
        "milliseconds_per_step": 1e3 * best / steps,
        "tokens": tokens,
        "tokens_per_second": tokens / best,
        "peak_bytes": torch.cuda.max_memory_allocated() if cuda else None,
    }


def profiled(
    engine: Any, server: Server, works: list[Work], left: Callable[[], float]
) -> dict[str, Any]:
    """Rounds of one and of two steps through the profiler; counts per step are their difference."""
    engine.train(server, works[1])
    if left() < 0.0:
        return dict(BUDGET)
    told = [summary(partial(engine.train, server, own)) for own in works]
    step = {name: told[1][name] - told[0][name] for name in COUNTS}
    return {"measured": True, "per_step": step, "round_of_two_steps": told[1]}


def order(bench: Bench, quick: bool) -> Iterator[dict[str, Any]]:
    """Every cell of one model; the profiles after those of the first round."""
    large = bench.large
    for number, cell in enumerate(cells(quick, large)):
        yield bench.cell(*cell)
        if number == len(ROLES) - 1 and not large:
            for role in ("all-at-once", "floor"):
                yield bench.cell(*cell[:4], role, "profile")


def ceilings(device: Device) -> dict[str, Any]:
    """What a large matrix product in bfloat16 reaches on the device, TFLOP/s."""
    if device == "cpu":
        return {}
    n = 8192
    one, two = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        one @ two
    seconds, _ = clocked(lambda: [one @ two for _ in range(10)])
    return {"matmul_teraflops": 10 * 2 * n**3 / seconds / 1e12}


def main() -> int:
    """Measure and write; 2 without a CUDA device (unless --cpu)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--model", action="append", help="name or folder; both large ones if not given"
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds in all")
    parser.add_argument("--commit", help="of a source that is no repository")
    parser.add_argument("--quick", action="store_true", help="few cells")
    parser.add_argument("--cpu", action="store_true", help="try the script out without a GPU")
    chosen = parser.parse_args()
    if not torch.cuda.is_available() and not chosen.cpu:
        said = "Error: no CUDA device; --cpu --model tiny --quick tries the script out"
        print(said, file=sys.stderr)
        return 2
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    ends = time.perf_counter() + chosen.budget
    device: Device = "cpu" if chosen.cpu else "cuda"
    report: dict[str, Any] = {"schema": 3, "environment": environment() | device_facts(device)}
    report["environment"]["commit"] = report["environment"]["commit"] or chosen.commit
    report |= {"steps": STEPS, "longest": LONGEST, "dropout": DROPOUT, "records": []}
    report["ceilings"] = ceilings(device)
    try:
        for model in chosen.model or ["roberta-large", "llama-2-7b"]:
            for record in records(model, device, ends, chosen):
                print(brief(record), flush=True)
                report["records"].append(record)
                files.write(chosen.out, json_text(report, by_name=True))
            gc.collect()
    except ValueError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


def records(
    model: str, device: Device, ends: float, chosen: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Every cell of one model, or why there is none."""
    try:
        bench = Bench(model, device, ends, chosen.repeats)
    except torch.OutOfMemoryError:
        yield {"model": model, "role": "base", "measured": False, "why": "memory"}
        return
    yield from order(bench, chosen.quick)


def brief(record: dict[str, Any]) -> str:
    """A record as a line of text, its lists left out."""
    return json.dumps(
        {name: value for name, value in record.items() if not isinstance(value, dict)}
    )


def device_facts(device: str) -> dict[str, Any]:
    """Device, driver and versions."""
    from importlib.metadata import version

    facts: dict[str, Any] = {name: version(name) for name in ("torch", "transformers", "peft")}
    facts["cuda"] = torch.version.cuda
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts |= {"device": properties.name, "device_memory_bytes": properties.total_memory}
        path = Path("/proc/driver/nvidia/version")
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [None]
        facts["driver"] = lines[0]
    return facts


if __name__ == "__main__":
    sys.exit(main())

"""What a federation of 10² to 10⁷ clients takes: rounds from the exact chain, unit costs from this machine.

    python -m benchmarks.scale [--out FILE] [--quick] [--costs]

Rounds: Algorithm 2 on d = 10⁷ features by the chain of the angle, which is exact in law, once with as many
samples in all for every number of clients and once with as many for each client. Unit costs: what the server
does per client of a round (average, account of what was sent, draw of participants) at the sizes of an
adapter of rank 4 on query and value of RoBERTa-Large. `python -m docs.scale_page` makes docs/scale.md of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from math import inf, isfinite, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ratios import environment
from federated_lora import Adapter, ClientFactors, Shape, aggregate_model, method_named
from federation.participants import participants
from federation.round import Shared
from linear_model.problem import Problem
from linear_model.simulation import simulate
from theory.recovery import sharp_recovery
from theory.samples import mean_square_rate
from verification.codec import json_text
from verification.files import write
from verification.streams import generator

DEFAULT_OUT = Path(__file__).parent / "results" / "scale.json"
CLIENTS = tuple(10**k for k in range(2, 8))
D, KAPPA, EPS, DELTA = 10_000_000, 0.5, 1e-3, 0.01
PER_FEATURE = 4
"""Pooled samples N·m over d, where they are the same for every number of clients."""
EACH = 100
"""Samples of a client, where every client has as many."""
ROUNDS, TERMS = 80, 20_000_000
"""Rounds simulated, and client terms of one round over all trials, about a second's."""
TRIALS = (3, 200)
LAYERS, SHAPE = 48, Shape(1024, 4, 1024)
STACKED = (50, 200)
"""Clients whose factors are averaged at once, when the server's work is timed."""
BOOKS = (10_000, 1_000_000)
ROWS = 4
"""Samples of each half-step, when a client's work is timed."""


def chain(clients: int, samples: int, d: int = D) -> dict[str, Any]:
    """Quantiles over trials of the first round with an angle of at most ε; None for never."""
    trials = min(max(TERMS // clients, TRIALS[0]), TRIALS[1])
    begin = time.perf_counter()
    run = simulate(
        Problem(d, clients, samples), method_named_linear(), simulator="chain", rounds=ROUNDS,
        trials=trials, axes=("scale", clients, samples),
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    small = run.angle <= EPS
    first = np.where(small.any(axis=1), small.argmax(axis=1), inf)
    ranked = np.sort(first)
    at = {"median": 0.5, "low": 0.05, "high": 0.95}
    found = {name: ranked[max(0, int(np.ceil(q * trials)) - 1)] for name, q in at.items()}
    kept = {name: int(value) if isfinite(value) else None for name, value in found.items()}
    return {
        "clients": clients, "samples": samples, "d": d, "trials": trials, "seconds": seconds, **kept,
        "reached": float(np.isfinite(first).mean()), "angle_left": float(np.median(run.angle[:, -1])),
    }  # fmt: skip


def method_named_linear() -> Any:
    """Algorithm 2 at the step size."""
    from linear_model.methods.registry import method_named as linear_method

    return linear_method("algorithm2", ROUNDS, kappa=KAPPA)


def theorems(clients: int, samples: int, d: int = D) -> dict[str, Any]:
    """Rounds and samples that the theory asks for, or None where it says nothing."""
    sizes = (d, clients, samples, KAPPA, EPS)
    ours = sharp_recovery.rounds(DELTA, *sizes)
    delta0 = sqrt(1.0 - 1.0 / d)
    q = (
        float(mean_square_rate.noise_ratio(d, clients, samples)) if samples > 2 else inf
    )  # two are no variance
    enough = sharp_recovery.samples(DELTA, d, clients, KAPPA, EPS)
    return {
        "ours": ours if isfinite(ours) else None,
        "paper": float(4.0 * np.log(delta0 / EPS) * d / KAPPA),
        "kept": float(mean_square_rate.rate_squared(KAPPA, q)) if isfinite(q) else None,
        "samples_enough": enough if isfinite(enough) else None,
        "samples_needed": sharp_recovery.least_samples(DELTA, d, clients, KAPPA, EPS),
    }


def seconds_of(work: Callable[[], object], repeats: int) -> float:
    """Fastest of a few."""
    best = inf
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def server_costs(repeats: int) -> dict[str, Any]:
    """Seconds and bytes a client of a round costs the server, by method, as slopes between two sizes."""
    import torch

    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name in ("rolora", "fedavg"):
        method = method_named(name)
        times = {n: seconds_of(_aggregation(method, n), repeats) for n in STACKED}
        few, many = STACKED
        traffic = [method.traffic([SHAPE] * LAYERS, t) for t in (1, 2)]
        found[name] = {
            "average_seconds": (times[many] - times[few]) / (many - few),
            "numbers_up": sum(one.up for one in traffic) / 2,
            "numbers_down": sum(one.down for one in traffic) / 2,
        }
    return found


def _aggregation(method: Any, n: int) -> Callable[[], object]:
    """The first round's average of n clients' factors, of all layers."""
    import torch

    rng = torch.Generator().manual_seed(0)
    trains = method.trainable(1)

    def stack(rows: int, columns: int, factor: str) -> torch.Tensor | None:
        named = {str(one) for one in trains}
        return torch.randn((n, rows, columns), generator=rng) if factor in named else None

    server = Adapter(torch.zeros(SHAPE.d_in, SHAPE.rank), torch.zeros(SHAPE.rank, SHAPE.d_out), 1.0)
    names = [f"layer{i}" for i in range(LAYERS)]
    sent = {
        name: ClientFactors(stack(SHAPE.d_in, SHAPE.rank, "A"), stack(SHAPE.rank, SHAPE.d_out, "B"))
        for name in names
    }
    servers = dict.fromkeys(names, server)
    return lambda: aggregate_model(method, servers, sent, None, 1)


def client_costs(repeats: int, d: int) -> dict[str, Any]:
    """Seconds that a sample of each half-step costs a client of the linear model in a round."""
    rng = generator(0, "scale", "client", d)
    first, second = (rng.standard_normal((ROWS, d)) for _ in range(2))
    a, y = rng.standard_normal(d), rng.standard_normal(ROWS)

    def work() -> np.ndarray:
        image = first @ a
        b = (image @ y) / (image @ image)
        moved: np.ndarray = ((second @ a) * b - y) @ second
        return moved

    return {"sample_seconds": seconds_of(work, repeats) / ROWS}


def books(repeats: int) -> dict[str, Any]:
    """Seconds and bytes a client of the population costs, whether it takes part or not."""
    import torch

    from federated_lora import Traffic
    from federation.sent import Exchange

    adapter = Adapter(
        torch.zeros(SHAPE.d_in, SHAPE.rank), torch.zeros(SHAPE.rank, SHAPE.d_out), 1.0
    )
    shared = Shared({f"layer{i}": adapter for i in range(LAYERS)})
    moved = Exchange(Traffic(LAYERS * 4096, LAYERS * 4096), frozenset({"layer0.lora_B"}))
    times, drawn = {}, {}
    people = np.arange(1000)[None]
    for n in BOOKS:
        account = shared.nothing_sent(n)
        rng = generator(0, "scale", n)
        times[n] = seconds_of(lambda a=account: a.after(1, people, moved), repeats)  # type: ignore[misc]
        drawn[n] = seconds_of(lambda n=n, rng=rng: participants(rng, n, 1000 / n), repeats)  # type: ignore[misc]
    few, many = BOOKS
    held = sum(value.nbytes for value in (account.held, account.held_merged))
    return {
        "account_seconds": (times[many] - times[few]) / (many - few),
        "draw_seconds": drawn[many],
        "account_bytes": held / many,
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--quick", action="store_true", help="10² and 10³ clients, 10⁴ features")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--costs", action="store_true", help="the costs anew, and the rounds of --out as they are"
    )
    given = parser.parse_args()
    clients, d = (CLIENTS[:2], 10_000) if given.quick else (CLIENTS, D)
    pooled = PER_FEATURE * d
    rows: list[dict[str, Any]] = []
    if given.costs:
        rows = json.loads(given.out.read_text(encoding="utf-8"))["rows"]
    for kind, samples in (("pooled", lambda n: pooled // n), ("each", lambda n: EACH)):
        for n in () if given.costs else clients:
            row = {"kind": kind, **chain(n, samples(n), d), **theorems(n, samples(n), d)}
            print(row, flush=True)
            rows.append(row)
    setting = {"d": d, "kappa": KAPPA, "eps": EPS, "delta": DELTA, "rounds": ROUNDS}
    costs = {
        "server": server_costs(given.repeats),
        "books": books(given.repeats),
        "client": client_costs(given.repeats, d),
    }
    print(costs)
    report = {"schema": 1, "environment": environment(1), "setting": setting, "rows": rows}
    write(given.out, json_text({**report, "costs": costs}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What `benchmarks.gpu` measured, as the tables of the page on GPUs.

python -m docs.gpu_page [FILE]
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu import BESIDE, DEFAULT_OUT, RECORDED
from benchmarks.gpu_workload import LENGTHS, LONGEST
from llm_validation.paper.presets import presets

Record = Mapping[str, Any]
NAMES = {
    "all-at-once": "all at once",
    "all-at-once own": "all at once, products in float32",
    RECORDED: "all at once, recorded",
    BESIDE: "8 runs side by side",
    "one-by-one": "one by one",
    "floor": "one adapter alone",
}
METHODS = {
    ("fedavg", "AB"): "FedAvg-LoRA",
    ("rolora", "B"): "RoLoRA, B",
    ("rolora", "A"): "RoLoRA, A",
}


def timed(report: Mapping[str, Any]) -> list[Record]:
    """The cells that were measured."""
    return [r for r in report["records"] if r.get("kind") == "time" and r["measured"]]


def speeds(report: Mapping[str, Any], model: str) -> str:
    """Tokens per second of each cell beside the floor's, a Markdown table."""
    cells = [r for r in timed(report) if r["model"] == model]
    floors = {_place(r): r["tokens_per_second"] for r in cells if r["role"] == "floor"}
    lines = [
        "| clients | local batch | method, trained | | tokens/s | ÷ one adapter | ms a step | GiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in sorted(cells, key=lambda r: (-r["clients"], r["local_batch"], r["method"])):
        floor = floors.get(_place(r))
        beside = "—" if floor is None else f"{r['tokens_per_second'] / floor:.2f}"
        name = METHODS[r["method"], r["trained"]]
        # The one-by-one engine is timed on few clients, one after another.
        step = r["milliseconds_per_step"] * r["clients"] / r["clients_timed"]
        speed, peak = f"{r['tokens_per_second']:,.0f}", f"{r['peak_bytes'] / 2**30:.1f}"
        lines.append(
            f"| {r['clients']} | {r['local_batch']} | {name} | {NAMES[r['role']]} | {speed} | {beside} |"
            f" {step:,.0f} | {peak} |"
        )
    return "\n".join(lines)


def _place(r: Record) -> tuple[Any, ...]:
    return r["clients"], r["local_batch"], r["method"], r["trained"]


def fastest(report: Mapping[str, Any], clients: int) -> Record:
    """The fastest way to train both factors of so many clients at local batch 32 that was measured."""
    cells = [
        r
        for r in timed(report)
        if (r["model"], r["clients"], r["local_batch"]) == ("roberta-large", clients, 32)
        and r["trained"] == "AB"
        and r["role"] not in ("floor", "one-by-one")
    ]
    return max(cells, key=lambda r: float(r["tokens_per_second"]))


def hours(report: Mapping[str, Any]) -> float:
    """Training time of one run of every cell of the published GLUE table, each task as long as MNLI."""
    told = json.loads(LENGTHS.read_text(encoding="utf-8"))["mnli"]
    count = sum(told.values())
    tokens = sum(min(int(length), LONGEST) * n for length, n in told.items()) / count
    cells = [p for p in presets() if p.cell and p.cell.table == "glue"]
    seconds = [
        p.examples * tokens / fastest(report, int(p.options["clients"]))["tokens_per_second"]
        for p in cells
    ]
    return sum(seconds) / 3600.0


def profiles(report: Mapping[str, Any]) -> str:
    """What a step of 50 clients launches beside the floor's, a Markdown table."""
    found = [r for r in report["records"] if r.get("kind") == "profile" and r["measured"]]
    lines = ["| | kernels a step | GPU busy, ms | waits |", "|---|---|---|---|"]
    for r in found:
        step = r["per_step"]
        lines.append(
            f"| {NAMES[r['role']]} | {step['kernels']:,} | {step['busy_ms']:.0f} | {step['waits']} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Print the tables."""
    path = Path(arguments[0]) if arguments else DEFAULT_OUT
    report = json.loads(path.read_text(encoding="utf-8"))
    for model in dict.fromkeys(r["model"] for r in timed(report)):
        print(f"{model}\n\n{speeds(report, model)}\n")
    print(profiles(report), f"\n\n{hours(report):.1f} hours for one run of every cell")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Ratios of a baseline and ours, taken by turns in one run, with machine, versions and commit."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from rolora.storage import environment as source
from verification import files
from verification.codec import json_text

SCHEMA = 1


@dataclass(frozen=True)
class Case:
    """One ratio with its floor. Times in seconds per unit.

    Attributes:
        name, unit: what is timed, per what.
        baseline, ours: what the two sides do, in words.
        baseline_seconds, ours_seconds: fastest repetition.
        ratio: baseline over ours; for `at_most` cases ours over baseline.
        required: what the ratio must reach (or stay below), None for information only.
        at_most: True if the ratio must stay below.
        floor: the least that must be done, in words; floor_seconds: its time on this machine.
    """

    name: str
    unit: str
    baseline: str
    ours: str
    baseline_seconds: float
    ours_seconds: float
    required: float | None
    floor: str
    floor_seconds: float
    at_most: bool = False

    @property
    def ratio(self) -> float:
        """How many times faster ours is, or for `at_most` how many times slower."""
        if self.at_most:
            return self.ours_seconds / self.baseline_seconds
        return self.baseline_seconds / self.ours_seconds

    @property
    def holds(self) -> bool:
        """Whether the requirement is met."""
        if self.required is None:
            return True
        return self.ratio <= self.required if self.at_most else self.ratio >= self.required

    def record(self) -> dict[str, object]:
        """The case as JSON-ready values."""
        above = self.ours_seconds / self.floor_seconds
        return asdict(self) | {"ratio": self.ratio, "holds": self.holds, "ours_over_floor": above}


def by_turns(repeats: int, *sides: tuple[Callable[[], object], int]) -> list[float]:
    """Fastest time of each side over its number of units, the sides timed by turns."""
    best = [float("inf")] * len(sides)
    for side, _ in sides:
        side()  # caches, lazy imports, page faults
    for _ in range(repeats):
        for index, (side, units) in enumerate(sides):
            begin = time.perf_counter()
            side()
            best[index] = min(best[index], (time.perf_counter() - begin) / units)
    return best


def environment(threads: int | None = None) -> dict[str, object]:
    """Machine, versions, commit; threads of the timed code, where it has a number of its own."""
    of_source = source.environment()
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    return {
        "cpu": cpu,
        "cores": psutil.cpu_count(logical=True),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": version("scipy"),
        "threads": threads,
        "commit": of_source["commit"],
        "uncommitted_changes": of_source["modified"],
    }


def told(title: str, out: Path, cases: list[Case], *, threads: int = 1) -> int:
    """Print the cases as a table and write them; exit status 0 if every requirement holds."""
    table = Table(
        title=title,
        caption="Floor: the random numbers or the bytes alone; the JSON file says which.",
        box=box.SIMPLE,
    )
    for heading in ("case", "baseline", "ours", "ratio", "required", "ours ÷ floor"):
        table.add_column(heading, overflow="fold")
    for case in cases:
        sign = "≤" if case.at_most else "≥"
        required = "—" if case.required is None else f"{sign} {case.required:,g}"
        table.add_row(
            case.name,
            f"{case.baseline_seconds:.3g} s",
            f"{case.ours_seconds:.3g} s",
            f"{case.ratio:,.4g}",
            required + ("" if case.holds else "  FAILS"),
            f"{case.ours_seconds / case.floor_seconds:.2f}",
        )
    Console().print(table)
    write(out, cases, threads=threads)
    print(f"written: {out}")
    return 0 if all(case.holds for case in cases) else 1


def write(path: Path, cases: list[Case], *, threads: int = 1) -> None:
    """Write the JSON; `threads` the timed code was allowed, unless a case says otherwise."""
    records = [case.record() for case in cases]
    report = {"schema": SCHEMA, "environment": environment(threads), "cases": records}
    files.write(path, json_text(report))

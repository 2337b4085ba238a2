"""What one local step launches: kernels, their time, the share of the time the device is busy, host calls."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

TOP = 15
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def summary(work: Callable[[], object]) -> dict[str, Any]:
    """The counts and times of some work; times in milliseconds."""
    cuda = torch.cuda.is_available()
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if cuda else [])
    with profile(activities=kinds) as found:
        work()
        if cuda:
            torch.cuda.synchronize()
    events = found.events()
    assert events is not None  # it has ended
    kernels = [e for e in events if e.device_type == DeviceType.CUDA]
    host = [e for e in events if e.device_type == DeviceType.CPU]
    calls = Counter(e.name for e in host)
    leaves = [e for e in host if e.name.startswith("aten::") and not e.cpu_children]
    span = _span(host)
    busy = _covered([(e.time_range.start, e.time_range.end) for e in kernels])
    return {
        "kernels": len(kernels),
        "operations": len(leaves),
        "launches": sum(n for name, n in calls.items() if "LaunchKernel" in name),
        "waits": sum(calls[name] for name in WAITS),
        "reads": calls["aten::_local_scalar_dense"],
        "wall_ms": span,
        "busy_ms": busy,
        "busy_share": busy / span if span else None,
        "host_ms": sum(e.self_cpu_time_total for e in host if not _waits(e.name)) / 1e3,
        "top_kernels": _top(kernels, lambda e: e.time_range.elapsed_us()),
        "top_operations": _top(leaves, lambda e: e.self_cpu_time_total),
    }


def _waits(name: str) -> bool:
    return "Synchronize" in name


def _span(events: list[Any]) -> float:
    ends = [e.time_range.end for e in events], [e.time_range.start for e in events]
    return (max(ends[0]) - min(ends[1])) / 1e3 if events else 0.0


def _covered(intervals: list[tuple[float, float]]) -> float:
    """Length of the union of intervals, from microseconds to milliseconds."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total / 1e3


def _top(events: list[Any], cost: Callable[[Any], float]) -> list[dict[str, Any]]:
    times: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    for event in events:
        times[event.name] += cost(event)
        counts[event.name] += 1
    return [
        {"name": name[:160], "count": counts[name], "ms": time / 1e3}
        for name, time in sorted(times.items(), key=lambda item: -item[1])[:TOP]
    ]

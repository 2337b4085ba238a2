"""What one local step launches: kernels, their time, the share of the time the device is busy, host calls."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

TOP = 15
FREE = ("empty", "new_empty", "promote_types", "result_type", "lift_fresh")
"""Operations that launch nothing, beside the views."""
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


class _Counting(TorchDispatchMode):
    """Counts the operations that work on numbers."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split(".")[1]
        if not func.is_view and not name.startswith(FREE):
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def operations(work: Callable[[], object]) -> Counter[str]:
    """The operations of some work by name, whatever the device; views and allocations are none.

    On a GPU each launches a kernel at least.
    """
    with _Counting() as counting:
        work()
    return counting.counts


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
    span = _span(host)
    busy = _covered([(e.time_range.start, e.time_range.end) for e in kernels])
    return {
        "kernels": len(kernels),
        "operations": sum(operations(work).values()),
        "launches": sum(n for name, n in calls.items() if "LaunchKernel" in name),
        "waits": sum(calls[name] for name in WAITS),
        "reads": calls["aten::_local_scalar_dense"],
        "wall_ms": span,
        "busy_ms": busy,
        "busy_share": busy / span if span else None,
        "host_ms": sum(e.self_cpu_time_total for e in host if not _waits(e.name)) / 1e3,
        "top_kernels": _top(kernels, lambda e: e.time_range.elapsed_us()),
        "top_host": _top(host, lambda e: e.self_cpu_time_total),
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

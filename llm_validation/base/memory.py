"""What memory is there, and whether the frozen base fits it."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from llm_validation.config import Config

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2}
CONTROL_GROUP = Path("/sys/fs/cgroup")
_CONTROL_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
"""Limit, use, and the part of it that gives way (cached files), in version 2 and 1 of Linux's groups."""


def free_bytes(device: torch.device) -> int:
    """Free memory of the device, in bytes; in a container, what its limit leaves if that is less."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(min([psutil.virtual_memory().available, *_left_by_control_group()]))


def _left_by_control_group() -> Iterator[int]:
    for limit, used, stat, cached in _CONTROL_FILES:
        try:
            most = int((CONTROL_GROUP / limit).read_text())
            lines = (CONTROL_GROUP / stat).read_text().splitlines()
            held = int((CONTROL_GROUP / used).read_text())
        except (OSError, ValueError):
            continue  # no such group, or no limit ("max")
        gives_way = sum(int(line.split()[1]) for line in lines if line.split()[:1] == [cached])
        yield max(0, most - held + gives_way)


def require_base_fits(config: Config, device: torch.device, numbers: int) -> None:
    """Check that the frozen base fits the free memory."""
    each = 0.6 if config.quantisation == "4bit" else BYTES[config.dtype]
    need, free = int(numbers * each), free_bytes(device)
    if need > free:
        raise ValueError(
            f"the base model needs {gib(need)} in {config.dtype}, {gib(free)} are free: use dtype = bfloat16,"
            " quantisation = 4bit, or a smaller model"
        )


def gib(count: float) -> str:
    """Bytes as text."""
    return f"{count / 2**30:.2f} GiB"

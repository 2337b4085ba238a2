"""Functions that tests run as cells of sweeps, in worker processes too."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from verification.paired_study import Point, Run
from verification.streams import generator


def drawn(
    *, x: Annotated[int, Field(ge=0)], seed: int = 0, kind: str = "a"
) -> list[dict[str, Any]]:
    """Two rounds of a draw by name; the table keeps the last."""
    rng = generator(seed, "drawn", x, kind)
    return [{"round": r, "value": float(rng.standard_normal())} for r in range(2)]


def logged(*, log: str, x: int, deaths: int = 0, fails: bool = False, seconds: float = 0.0) -> Any:
    """A cell that notes each of its starts, and kills its process so many times."""
    place = Path(log)
    with place.open("a", encoding="utf-8") as file:
        file.write(f"{x} {os.getpid()}\n")
    if sum(line.split()[0] == str(x) for line in place.read_text("utf-8").splitlines()) <= deaths:
        time.sleep(0.2)  # for what a neighbour has finished to arrive
        os.kill(os.getpid(), signal.SIGKILL)
    if fails:
        raise RuntimeError("no such luck")
    time.sleep(seconds)
    return [{"twice": 2 * x}]


def free(x: Any) -> list[dict[str, Any]]:
    """Takes anything."""
    return [{"said": str(x)}]


def wordy(x: int) -> Any:
    """Gives no rows."""
    return ["abc"] * x


def foreign(x: "Nowhere") -> Any:  # type: ignore[name-defined]  # noqa: F821
    """Its annotation is not there."""


def threads() -> list[dict[str, Any]]:
    """What a cell may use."""
    import numpy as np
    import threadpoolctl
    import torch

    np.ones((2, 2)) @ np.ones((2, 2))
    most = max(pool["num_threads"] for pool in threadpoolctl.threadpool_info())
    return [{"blas": most, "torch": torch.get_num_threads()}]


def judged(
    log: str, deadly: str, point: Point, method: str, rate: float, seeds: tuple[int, ...]
) -> Iterator[Run]:
    """Runs of a made-up study that are noted; that of the seed named kills its process the first time."""
    for seed in seeds:
        name = f"{point[0]} {method} {seed}\n"
        place = Path(log)
        with place.open("a", encoding="utf-8") as file:
            file.write(name)
        if name == deadly and place.read_text("utf-8").count(name) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield Run((0, 4), (0.0, rate * seed + len(method)), facts={"loss": 1.0})

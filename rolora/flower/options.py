"""What a Flower run is told: the app's run config, and of a SuperNode what is its own machine's."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verification.names import one_of

LABORATORIES = ("nonlinear", "llm")
OF_A_MACHINE = ("data-dir", "device", "threads", "model")
"""What a SuperNode's `--node-config` may tell otherwise than the run config: where things are."""


@dataclass(frozen=True)
class Options:
    """A run.

    Attributes:
        laboratory: whose run it is, `nonlinear` or `llm`.
        values: the options of `rolora nonlinear run` or `rolora llm run` that differ from their defaults.
        data_dir: folder of the data sets on this machine; "" for the laboratory's default.
        threads: CPU threads on this machine; 0 leaves torch's choice.
        out: folder on the server's machine for results and checkpoints.
        resume: go on from the newest checkpoint there.
        wait: seconds to wait for SuperNodes before the first round.
        patience: seconds to wait for the answers of a round.
    """

    laboratory: str
    values: Mapping[str, Any]
    data_dir: str
    threads: int
    out: Path
    resume: bool
    wait: float
    patience: float


def read(run: Mapping[str, Any], machine: Mapping[str, Any] | None = None) -> Options:
    """Out of the app's run config and, on a client's machine, its node config.

    Raises:
        ValueError: on what is neither, in one sentence.
    """
    own = {name: value for name, value in (machine or {}).items() if name in OF_A_MACHINE}
    values = _values(str(run["options"])) | {k: own[k] for k in ("device", "model") if k in own}
    for name in ("wait", "patience"):
        if not run[name] > 0:
            raise ValueError(f"{name} must be above 0 seconds, got {run[name]}")
    return Options(
        one_of("laboratory", str(run["laboratory"]), LABORATORIES),
        values,
        str(own.get("data-dir", run["data-dir"])),
        int(own.get("threads", run["threads"])),
        Path(str(run["out"])),
        bool(run["resume"]),
        float(run["wait"]),
        float(run["patience"]),
    )


def _values(text: str) -> dict[str, Any]:
    """`method='rolora', rounds=8`, or lines of TOML."""
    try:
        if "\n" in text:
            return tomllib.loads(text)
        return dict(tomllib.loads(f"options = {{{text}}}")["options"])
    except tomllib.TOMLDecodeError as error:
        raise ValueError(
            f"options must be TOML such as method='rolora', rounds=8, got {text!r}: {error}"
        ) from error

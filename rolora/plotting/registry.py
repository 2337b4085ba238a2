"""Every figure by name. A figure's module is imported only when it is drawn."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from rolora.plotting.figure import Figure
from verification.names import unknown

NAMES = (
    "angle-over-rounds",
    "ffa-floor",
    "heterogeneity-loss",
    "step-size-phase",
    "theorem-tightness",
    "pooled-samples",
    "noise-floor",
    "mnist-accuracy",
    "aggregation-error",
    "nonconvex-rate",
    "schedules",
    "traffic-to-accuracy",
    "glue",
)
"""In the order of presentation; the module of `some-name` is `rolora.figures.some_name`."""


def load(name: str) -> Figure:
    """The figure of that name.

    Raises:
        ValueError: if there is none; the nearest name is suggested.
    """
    if name not in NAMES:
        raise ValueError(
            unknown("figure", name, NAMES, listing="`rolora figures --list` lists them")
        )
    module = importlib.import_module(f"rolora.figures.{name.replace('-', '_')}")
    figure: Figure = module.FIGURE
    return figure


def select(names: Iterable[str]) -> tuple[str, ...]:
    """The given names in the order of presentation; all of them if none is given.

    Raises:
        ValueError: on an unknown name; the nearest one is suggested.
    """
    wanted = set(names)
    for name in sorted(wanted - set(NAMES)):
        raise ValueError(
            unknown("figure", name, NAMES, listing="`rolora figures --list` lists them")
        )
    return tuple(name for name in NAMES if not wanted or name in wanted)

"""Rows of RoLoRA's other shares of a- and b-rounds, from RoLoRA's own."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from linear_model.prediction.methods.base import Before, Case, Entry
from linear_model.prediction.result import Row

SHARE = 0.2
"""Of a run's rounds before the switch, as the methods have it by default."""


def heavy_b(entry: Entry, _: Case, before: Before) -> Row:
    """B-heavy: two fits more a cycle, of which the last is used."""
    same = before["algorithm2"]
    why = "a new least-squares b does not know of the one before: RoLoRA's, a cycle of four rounds each"
    return replace(
        same, method=entry.method, label=entry.label, exchanges=entry.exchanges, notes=(why,)
    )


def switch(entry: Entry, case: Case, before: Before) -> Row:
    """RoLoRA for a share of a run: how long a run must be."""
    rolora = before["algorithm2"].rounds
    median = None if rolora is None else rolora.median
    share = SHARE if entry.method == "rolora-then-ffa" else 1.0 - SHARE
    row = replace(entry.row, sources=("RoLoRA's row",))
    when = f"RoLoRA takes {share:.0%} of a run's rounds, and in the others a stays where it is"
    if median is None:
        why = "RoLoRA's own angle has no median, so no length of a run is known to do"
        return replace(row, notes=(f"no answer: {when}; {why}",))
    length = max(ceil(2 * median / share), 1)
    note = (
        f"its rounds depend on how many a run is to have: {when}; a run of {length} of its rounds or more has"
        f" an angle of at most ε = {case.setting.eps:g}, by the median of RoLoRA's {median}"
    )
    return replace(row, notes=(note,))

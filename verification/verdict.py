"""What can be said of a claim after it has been checked."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Verdict(StrEnum):
    """The standing of a claim, strongest evidence first.

    Attributes:
        meaning: one plain sentence for a reader of the report.
    """

    meaning: str

    PROVED = "PROVED", "exact symbolic proof, checked by machine"
    CERTIFIED = "CERTIFIED", "rigorous enclosure in ball arithmetic"
    CONSISTENT = "CONSISTENT", "simulation with a stated error probability did not refute it"
    SUPPORTED = "SUPPORTED", "an empirical study with error bars points the claimed way"
    HOLDS_UNDER = "HOLDS_UNDER", "true only with the added assumption stated beside it"
    REFUTED = "REFUTED", "false: there is a counterexample"
    NOT_CHECKED = (
        "NOT_CHECKED",
        "not decided: something needed was missing, or the runs were too few to tell",
    )

    def __new__(cls, value: str, meaning: str) -> Self:
        """Its word, with the meaning beside it."""
        verdict = str.__new__(cls, value)
        verdict._value_, verdict.meaning = value, meaning
        return verdict

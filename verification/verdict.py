"""What can be said of a claim after it has been checked."""

from enum import StrEnum
from typing import Self


class Verdict(StrEnum):
    """The standing of a claim, strongest evidence first.

    Attributes:
        meaning: one plain sentence for a reader of the report.
    """

    meaning: str

    PROVED = "PROVED", "exact symbolic proof, every step checked by machine"
    DERIVED = "DERIVED", "derived: the algebra checked by machine, the analysis argued in words"
    CERTIFIED = "CERTIFIED", "rigorous enclosure in ball arithmetic"
    CONSISTENT = "CONSISTENT", "simulation with a stated error probability did not refute it"
    SUPPORTED = "SUPPORTED", "an empirical study with error bars points the claimed way"
    HOLDS_UNDER = (
        "HOLDS_UNDER",
        "true with the added assumption stated beside it, without it false or open",
    )
    REFUTED = "REFUTED", "false: there is a counterexample"
    UNDECIDED = "UNDECIDED", "open: it ran, and the runs are too few to tell"
    NOT_RUN = "NOT_RUN", "open: it did not run, something it needs is missing"

    def __new__(cls, value: str, meaning: str) -> Self:
        """Its word, with the meaning beside it."""
        verdict = str.__new__(cls, value)
        verdict._value_, verdict.meaning = value, meaning
        return verdict

    @property
    def open(self) -> bool:
        """Whether nothing was decided."""
        return self in (Verdict.UNDECIDED, Verdict.NOT_RUN)

    @property
    def confirms(self) -> bool:
        """Whether the statement was borne out, under an added assumption or without."""
        return not self.open and self is not Verdict.REFUTED

"""What can be said of a claim after it has been checked."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """The standing of a claim, strongest evidence first."""

    PROVED = "PROVED"
    """Exact symbolic proof, checked by machine."""
    CERTIFIED = "CERTIFIED"
    """Rigorous enclosure by interval (ball) arithmetic."""
    CONSISTENT = "CONSISTENT"
    """Monte Carlo with stated error probability, sample size and detectable gap did not refute it."""
    SUPPORTED = "SUPPORTED"
    """An empirical study with error bars points the claimed way."""
    HOLDS_UNDER = "HOLDS_UNDER"
    """True only with an added assumption, which the finding states."""
    REFUTED = "REFUTED"
    """False: the finding carries a counterexample."""
    NOT_CHECKED = "NOT_CHECKED"
    """Nothing was decided: the finding says what is missing (data, a GPU, an extra, more runs)."""

    @property
    def meaning(self) -> str:
        """One plain sentence for a reader of the report."""
        return _MEANINGS[self]


_MEANINGS = {
    Verdict.PROVED: "exact symbolic proof, checked by machine",
    Verdict.CERTIFIED: "rigorous enclosure in ball arithmetic",
    Verdict.CONSISTENT: "simulation with a stated error probability did not refute it",
    Verdict.SUPPORTED: "an empirical study with error bars points the claimed way",
    Verdict.HOLDS_UNDER: "true only with the added assumption stated beside it",
    Verdict.REFUTED: "false: there is a counterexample",
    Verdict.NOT_CHECKED: "not decided: something needed was missing, or the runs were too few to tell",
}

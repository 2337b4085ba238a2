"""What a check found: comparisons of theory and measurement, proof steps, a table, a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, Literal

from verification.verdict import Verdict

MOST = 30
"""Half-widths per distance from which on no number of runs is named: it would be 900 times as many."""


class Relation(StrEnum):
    """How the measured value should stand to the theory value."""

    EQ = "="
    LE = "≤"
    GE = "≥"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One theory value beside one measured value.

    Attributes:
        quantity: what is compared, with its setting, in words.
        theory: the value the theory states.
        measured: the value that was measured or computed independently.
        relation: measured `relation` theory.
        interval: confidence interval of the measured value (its level is in the finding), or None
            for a deterministic computation.
        tolerance: absolute slack, for deterministic rounding or for a correction the theory states;
            never a statistical allowance.
        certify: for ≤ and ≥ with an interval: True demands that the whole interval lies strictly on
            the right side ("certified"; undecided while it contains the bound), False only that it
            is not wholly on the wrong side ("not refuted").
        why: where the tolerance comes from, or why bound and measurement differ.
        n: sample size behind the interval, 0 without one.
    """

    quantity: str
    theory: float
    measured: float
    relation: Relation = Relation.EQ
    interval: tuple[float, float] | None = None
    tolerance: float = 0.0
    certify: bool = False
    why: str = ""
    n: int = 0

    @property
    def margin(self) -> float:
        """Room left before the comparison would fail, in the quantity's units; negative if it fails."""
        low, high = self.interval or (self.measured, self.measured)
        if self.relation is Relation.EQ:
            return min(high + self.tolerance - self.theory, self.theory - low + self.tolerance)
        if self.relation is Relation.LE:
            return self.theory + self.tolerance - (high if self.certify else low)
        return (low if self.certify else high) - self.theory + self.tolerance

    @property
    def holds(self) -> bool:
        """True if the comparison shows what it should."""
        if self.meaningless:
            return False
        strictly = self.certify and self.interval is not None
        return self.margin > 0.0 if strictly else self.margin >= 0.0

    @property
    def undecided(self) -> bool:
        """Whether it neither shows nor refutes: its interval contains the bound, or a number is none."""
        return self.meaningless or (
            self.certify and not self.holds and replace(self, certify=False).holds
        )

    @property
    def violated(self) -> bool:
        """Whether it refutes."""
        return not (self.holds or self.undecided)

    @property
    def meaningless(self) -> bool:
        """Whether a number in it is NaN, or the measured one infinite on the right side: a broken check."""
        numbers = (self.theory, self.measured, self.tolerance, *(self.interval or ()))
        if any(map(math.isnan, numbers)):
            return True
        return math.isinf(self.measured) and not self.margin < 0.0

    @property
    def standing(self) -> str:
        """In words: equal, certified, not refuted, undecided, no number, or violated."""
        if self.meaningless:
            return "no number"
        if not self.holds:
            return "undecided" if self.undecided else "violated"
        if self.relation is Relation.EQ:
            return "equal" if self.interval is None else "equal within the interval"
        return "certified" if self.interval is None or self.certify else "not refuted"

    def told(self, number: str = ".6g", unit: str = "") -> str:
        """Measurement and theory in one line, the measured numbers in a format and with a unit."""
        seen = ""
        if self.interval:
            seen = " in [{}, {}]".format(*(format(end, number) for end in self.interval))
        return (
            f"{self.quantity}: measured {self.measured:{number}}{unit}{seen},"
            f" theory {self.relation} {self.theory:.6g}"
        )

    @property
    def shortfall(self) -> float:
        """Half-widths from the estimate to the bound: above 1, the interval contains the bound."""
        half, distance = self._half, abs(self.theory - self.measured)
        return half / distance if distance else math.inf

    def enough(self, each: str) -> str:
        """How many runs, or of what is named, put the bound at the interval's end, or what these resolve.

        The half-width falls as 1/√n: n·(half-width/distance)² runs.
        """
        if self.shortfall > MOST:
            return (
                f"too near the bound to name a number: {self.n} {each} resolve a difference of"
                f" {self._half:.2g}, {4 * self.n} one of {self._half / 2:.2g}"
            )
        wanted = max(math.ceil(self.n * self.shortfall**2), self.n + 1)
        return f"about {wanted} {each} in place of {self.n} if the estimate stays"

    @property
    def _half(self) -> float:
        """Half-width of the interval on the bound's side."""
        low, high = self.interval or (self.measured, self.measured)
        return high - self.measured if self.theory > self.measured else self.measured - low


class Says(StrEnum):
    """What a further engine says of a proof step; no opinion is no agreement."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    NOTHING = "no opinion"


@dataclass(frozen=True, slots=True)
class Opinion:
    """One engine's word on a proof step.

    Attributes:
        engine: its name.
        says: agrees, disagrees or no opinion.
        detail: how it decided, or why it could not.
        scope: "" if it decided the step as it stands, else the instance that it decided.
    """

    engine: str
    says: Says
    detail: str
    scope: str = ""


Fails = Literal["false", "false at a point", "unproved"]


@dataclass(frozen=True, slots=True)
class ProofStep:
    """One machine-checked step of a derivation.

    Attributes:
        statement: what the step says, in plain mathematics.
        holds: whether the machine confirmed it, and no further engine disagrees.
        certificate: how: the identity reduced to 0, the non-negative coefficients, the enclosing ball.
        opinions: of engines that share no code with the first, see `verification.proof.second_opinion`.
        smt2: the step as SMT-LIB 2, one text a part.
        coq: the step as lemmas of Coq, or as a comment that says why there is none.
        fails: what follows where it does not hold: that it is false, that it is if an engine has a point, or
            nothing.
    """

    statement: str
    holds: bool
    certificate: str
    opinions: tuple[Opinion, ...] = ()
    smt2: tuple[str, ...] = ()
    coq: str = ""
    fails: Fails = "false"

    @property
    def refuted(self) -> bool:
        """Whether it is false, and not only unproved."""
        against = any(opinion.says is Says.DISAGREES for opinion in self.opinions)
        return not self.holds and (
            self.fails == "false" or (self.fails == "false at a point" and against)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """How comparisons and steps make a verdict: one that fails refutes, one that is undecided leaves it open.

    So does one with a NaN: a measurement that broke is no counterexample.

    Attributes:
        alpha: error probability of all intervals together.
        number: how a measured number is written.
        unit: behind it.
        each: what a sample counts, in the plural.
    """

    alpha: float
    number: str = ".6g"
    unit: str = ""
    each: ClassVar[str] = "runs"

    def judge(
        self, comparisons: Sequence[Comparison], steps: Sequence[ProofStep] = ()
    ) -> tuple[Verdict | None, str]:
        """REFUTED with the counterexample, UNDECIDED with how many runs would do, None if all holds."""
        failures = [f"{step.statement}: {step.certificate}" for step in steps if step.refuted]
        violated = [c for c in comparisons if c.violated]
        failures += [c.told(self.number, self.unit) for c in violated]
        if failures:
            return Verdict.REFUTED, failures[0]
        for step in steps:
            if not step.holds:
                return Verdict.UNDECIDED, f"a proof of: {step.statement} ({step.certificate})"
        undecided = [c for c in comparisons if c.undecided]
        if not undecided:
            return None, ""
        broken = [c for c in undecided if c.meaningless]
        if broken:
            why = f"a finite number ({broken[0].told(self.number, self.unit)})"
            return Verdict.UNDECIDED, why
        worst = max(undecided, key=lambda c: c.shortfall)
        return (
            Verdict.UNDECIDED,
            f"more {self.each}, {worst.enough(self.each)} ({worst.told(self.number, self.unit)})",
        )


@dataclass(frozen=True, slots=True)
class ArguedStep:
    """One step of a derivation that no machine checked.

    Attributes:
        statement: what the step says.
        because: the argument for it.
    """

    statement: str
    because: str


@dataclass(frozen=True, slots=True)
class Table:
    """A tidy table: equally long columns, one observation a row."""

    columns: Mapping[str, Sequence[Any]]

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns must be equally long, got {lengths}")

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> Table:
        """Build from records that all have the same keys."""
        names = list(rows[0]) if rows else []
        return cls({name: [row[name] for row in rows] for name in names})

    def rows(self) -> list[dict[str, Any]]:
        """The table as records."""
        names = list(self.columns)
        return [
            dict(zip(names, values, strict=True))
            for values in zip(*self.columns.values(), strict=True)
        ]


class Mark(StrEnum):
    """How a series is drawn."""

    LINE = "line"
    POINTS = "points"
    DASHED = "dashed"


@dataclass(frozen=True, slots=True)
class Series:
    """One curve of a picture: a column of the table, drawn over the picture's x."""

    y: str
    label: str
    mark: Mark = Mark.LINE
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True, slots=True)
class Plot:
    """How the finding's table is read as a picture. Drawn by the front desk; data stay here.

    Attributes:
        x: column on the horizontal axis.
        series: curves, theory and measurement both.
        xlabel, ylabel: axis labels with units.
        caption: what the picture shows and why bound and measurement differ.
        group: column whose values split every series into several, or None.
        xlog, ylog: logarithmic axes.
        heat: column shown as colour over (x, y of the first series) instead of curves, or None.
    """

    x: str
    series: tuple[Series, ...]
    xlabel: str
    ylabel: str
    caption: str
    group: str | None = None
    xlog: bool = False
    ylog: bool = False
    heat: str | None = None


CARRIES = {
    Verdict.HOLDS_UNDER: "added_assumption",
    Verdict.REFUTED: "counterexample",
    Verdict.UNDECIDED: "missing",
    Verdict.NOT_RUN: "missing",
}
"""What a verdict must not be without."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        verdict: what was established.
        method: how, in one sentence: proof technique, simulator, sizes.
        comparisons: theory beside measurement.
        proof: machine-checked steps, empty for a purely statistical check.
        argued: the steps that only words stand for.
        trials: number of Monte Carlo repetitions (0 for none).
        alpha: false-failure probability of the statistical assertions together, None without any.
        detectable: smallest relative gap the statistics could have seen, None without any.
        seed: the seed used, None without randomness.
        seconds: filled in by the runner.
        added_assumption: for HOLDS_UNDER: the assumption.
        counterexample: for REFUTED: the counterexample in words.
        missing: for NOT_RUN: what is needed, the command that would check and its cost; for UNDECIDED: how
            many runs would do.
        notes: further remarks for the reader.
        table: tidy data behind the picture.
        plot: how to draw the table.

    Raises:
        ValueError: if a verdict does not carry what it must.
    """

    verdict: Verdict
    method: str
    comparisons: tuple[Comparison, ...] = ()
    proof: tuple[ProofStep, ...] = ()
    trials: int = 0
    alpha: float | None = None
    detectable: float | None = None
    seed: int | None = None
    seconds: float = 0.0
    added_assumption: str = ""
    counterexample: str = ""
    missing: str = ""
    notes: tuple[str, ...] = ()
    table: Table | None = None
    plot: Plot | None = None
    extra_tables: Mapping[str, Table] = field(default_factory=dict)
    argued: tuple[ArguedStep, ...] = ()

    def __post_init__(self) -> None:
        name = CARRIES.get(self.verdict)
        if name is not None and not getattr(self, name):
            raise ValueError(
                f"a finding that is {self.verdict} must have: {name.replace('_', ' ')}"
            )
        if self.verdict is Verdict.PROVED and self.argued:
            raise ValueError("a finding with an argued step must not be PROVED")

    @property
    def measured_false(self) -> bool:
        """Whether it is refuted by its comparisons alone, if it has any, whatever its proof says."""
        numbers = not self.comparisons or any(c.violated for c in self.comparisons)
        return self.verdict is Verdict.REFUTED and numbers

    @property
    def proved_false(self) -> bool:
        """Whether it is refuted by a step of its proof alone."""
        return any(step.refuted for step in self.proof)

    @property
    def headline(self) -> Comparison | None:
        """The comparison of a one-row summary: the first that fails, or is undecided, else the first."""
        telling = sorted(self.comparisons, key=lambda c: (c.holds, c.undecided))
        return telling[0] if telling else None

"""What a check found: comparisons of theory and measurement, proof steps, a table, a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from verification.verdict import Verdict


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
        certify: for ≤ and ≥ with an interval: True demands that the whole interval lies on the
            right side ("certified"), False only that it is not wholly on the wrong side
            ("not refuted").
        why: where the tolerance comes from, or why bound and measurement differ.
    """

    quantity: str
    theory: float
    measured: float
    relation: Relation = Relation.EQ
    interval: tuple[float, float] | None = None
    tolerance: float = 0.0
    certify: bool = False
    why: str = ""

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
        """True if the comparison did not fail. A NaN anywhere fails."""
        return math.isfinite(self.measured) and self.margin >= 0.0

    @property
    def standing(self) -> str:
        """In words: equal, certified, not refuted, not certified, or violated."""
        if not self.holds:
            undecided = self.certify and replace(self, certify=False).holds
            return "not certified" if undecided else "violated"
        if self.relation is Relation.EQ:
            return "equal" if self.interval is None else "equal within the interval"
        return "certified" if self.interval is None or self.certify else "not refuted"

    @property
    def failure(self) -> str:
        """In one line, what a failing comparison says against the claim."""
        seen = f" in [{self.interval[0]:.6g}, {self.interval[1]:.6g}]" if self.interval else ""
        return (
            f"{self.quantity}: measured {self.measured:.6g}{seen},"
            f" theory {self.relation} {self.theory:.6g}"
        )


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
    """

    engine: str
    says: Says
    detail: str


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
    """

    statement: str
    holds: bool
    certificate: str
    opinions: tuple[Opinion, ...] = ()
    smt2: tuple[str, ...] = ()
    coq: str = ""


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


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        verdict: what was established.
        method: how, in one sentence: proof technique, simulator, sizes.
        comparisons: theory beside measurement.
        proof: machine-checked steps, empty for a purely statistical check.
        trials: number of Monte Carlo repetitions (0 for none).
        alpha: false-failure probability of the statistical assertions together, None without any.
        detectable: smallest relative gap the statistics could have seen, None without any.
        seed: the seed used, None without randomness.
        seconds: filled in by the runner.
        added_assumption: for HOLDS_UNDER: the assumption.
        counterexample: for REFUTED: the counterexample in words.
        missing: for NOT_CHECKED: what is needed, with the command that would check.
        notes: further remarks for the reader.
        table: tidy data behind the picture.
        plot: how to draw the table.
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

    @property
    def headline(self) -> Comparison | None:
        """The comparison to show in a one-row summary: the first that fails, else the first."""
        failing = (c for c in self.comparisons if not c.holds)
        return next(failing, self.comparisons[0] if self.comparisons else None)

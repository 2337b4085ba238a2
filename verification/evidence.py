"""Evidence: what a check gathers for or against its claim, and the verdict that follows from it.

Statistical assertions share the claim's error probability alike. How many there are is known at the end,
so their intervals are made then; a table that shows them is given as a function, called then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import sympy as sp

from verification import statistics
from verification.budget import Budget, Profile
from verification.finding import (
    ArguedStep,
    Comparison,
    Finding,
    Plot,
    ProofStep,
    Relation,
    Rule,
    Table,
)  # fmt: skip
from verification.proof import identities
from verification.statistics import ALPHA
from verification.verdict import Verdict

T = TypeVar("T")
ONE_SIGMA = 0.3173
"""α of an interval of one standard error to either side."""
Interval = tuple[float, float]
Rows = Table | Sequence[Mapping[str, Any]]


def exactly(value: float) -> sp.Rational:
    """The rational number that a parameter's decimals say, for a derivation."""
    return sp.Rational(str(value))


def at_least(least: float, **given: float) -> None:
    """Refuse a check's parameters below a least value.

    Raises:
        ValueError: naming the first.
    """
    for name, value in given.items():
        if not value >= least:
            raise ValueError(f"{name} must be at least {least:g}, got {value!r}")


def between(least: float, most: float, **given: float) -> None:
    """Refuse a check's parameters outside a range, its ends allowed.

    Raises:
        ValueError: naming the first that lies outside.
    """
    for name, value in given.items():
        if not least <= value <= most:
            raise ValueError(f"{name} must lie between {least:g} and {most:g}, got {value!r}")


class Asked:
    """One statistical assertion; its interval is known once all of them are asked.

    Attributes:
        measured: the estimate.
        n: sample size.
        standard_error: of the estimate, NaN where it has none.
    """

    def __init__(
        self,
        evidence: Evidence,
        measured: float,
        n: int,
        interval: Callable[[float], Interval],
        standard_error: float = float("nan"),
    ) -> None:
        self.measured, self.n, self.standard_error = measured, n, standard_error
        self._evidence, self._interval = evidence, interval

    @property
    def interval(self) -> Interval:
        """Confidence interval at the claim's α divided by the number of assertions."""
        return self._interval(self._evidence.alpha)

    @property
    def detectable(self) -> float:
        """Relative gap seen with probability 1 − α/2: two half-widths over the estimate."""
        low, high = self.interval
        return (high - low) / abs(self.measured) if self.measured else float("inf")

    @property
    def relative_error(self) -> float:
        """Standard error over the estimate's absolute value."""
        return self.standard_error / abs(self.measured) if self.measured else float("inf")

    def errors(self, theory: float) -> dict[str, float]:
        """Its further cells of a table: standard error, and how many of them it is off."""
        error = self.standard_error
        return {"standard error": error, "standard errors off": (self.measured - theory) / error}

    def columns(self, theory: float | None = None) -> dict[str, float]:
        """Its cells of a table: theory, measured, low, high."""
        low, high = self.interval
        cells = {"measured": self.measured, "low": low, "high": high}
        return cells if theory is None else {"theory": theory, **cells}


class Evidence:
    """What one check gathers.

    Args:
        claim_id: names the random streams.
        budget: profile, seed and data folders.
    """

    def __init__(self, claim_id: str, budget: Budget) -> None:
        self.id, self.budget = claim_id, budget
        self._comparisons: list[Callable[[], Comparison]] = []
        self._asked: list[Asked] = []
        self._told: list[Asked] = []
        self._proof: list[ProofStep] = []
        self._argued: list[ArguedStep] = []
        self._notes: list[str] = []
        self._table: Callable[[], Rows] | None = None
        self._extra: dict[str, Callable[[], Rows]] = {}
        self._facts: dict[str, Any] = {}
        self._imprecise, self._limit = "", 0.0
        self._method = ""
        self._rule, self._planned = Rule(ALPHA), 0
        self._not_run = self._closed = False

    # What the check is given.

    @property
    def profile(self) -> Profile:
        """`quick` or `full`."""
        return self.budget.profile

    def pick(self, quick: T, full: T) -> T:
        """The value that belongs to the profile."""
        return self.budget.pick(quick, full)

    def rng(self, *axes: str | int) -> np.random.Generator:
        """The claim's random stream of that name."""
        return self.budget.rng(self.id, *axes)

    def stream(self, *axes: str | int) -> dict[str, Any]:
        """The same for `linear_model.simulate`: its keywords `seed` and `axes`."""
        return {"seed": self.budget.seed, "axes": (self.id, *axes)}

    # Proof.

    def identity(self, statement: str, left: Any, right: Any) -> None:
        """A step that holds if the two sides are equal for all values of their symbols."""
        self._proof.append(identities.identity(statement, left, right))

    def nonnegative(self, statement: str, expression: Any, box: dict[Any, tuple[Any, Any]]) -> None:
        """A step that holds if a polynomial is ≥ 0 on a box with rational corners."""
        self._proof.append(identities.nonnegative_on_box(statement, expression, box))

    def steps(self, *steps: ProofStep) -> None:
        """Steps made elsewhere, by a formula's `derive`."""
        self._proof += steps

    def argued(self, statement: str, *, because: str) -> None:
        """A step that no machine checked: listed as such, and what rests on it is not PROVED.

        Args:
            statement: what the step says.
            because: the argument for it.
        """
        self._argued.append(ArguedStep(statement, because))

    # Numbers.

    def equal(self, quantity: str, theory: Any, measured: Any, **allowed: Any) -> None:
        """A computed value equals theory within a tolerance `rounding`, with the reason `why`."""
        self._compare(quantity, theory, measured, Relation.EQ, **allowed)

    def at_most(self, quantity: str, theory: Any, measured: Any, **allowed: Any) -> None:
        """A computed value is at most what theory says; `rounding` and `why` as in `equal`."""
        self._compare(quantity, theory, measured, Relation.LE, **allowed)

    def at_least(self, quantity: str, theory: Any, measured: Any, **allowed: Any) -> None:
        """A computed value is at least what theory says; `rounding` and `why` as in `equal`."""
        self._compare(quantity, theory, measured, Relation.GE, **allowed)

    def compare(self, *comparisons: Comparison) -> None:
        """Comparisons made elsewhere."""
        self._comparisons += [lambda made=made: made for made in comparisons]  # type: ignore[misc]

    def _compare(
        self,
        quantity: str,
        theory: Any,
        measured: Any,
        relation: Relation,
        rounding: float = 0.0,
        why: str = "",
    ) -> None:
        self.compare(
            Comparison(quantity, float(theory), float(measured), relation, None, rounding, why=why)
        )

    # Statistics.

    def share(self, assertions: int) -> None:
        """Say beforehand how many assertions, at most, will be asked, so that intervals are known at once."""
        self._planned = assertions

    def judge(self, rule: Rule) -> None:
        """Judge at another error probability than the toolkit's, and tell numbers in another form."""
        self._rule = rule

    @property
    def alpha(self) -> float:
        """Error probability of one assertion: the claim's, divided by their number.

        Raises:
            RuntimeError: before the check has ended, unless `share` said how many there are.
        """
        if not self._planned and not self._closed:
            raise RuntimeError("intervals are known after all assertions are asked, or share()")
        return self._rule.alpha / (self._planned or len(self._asked))

    def mean(self, quantity: str, samples: np.ndarray, **stands: Any) -> Asked:
        """The mean of i.i.d. samples stands to theory as in `state`, with a Student interval."""
        found = statistics.mean_estimate(samples, 0.5)  # its level is not used
        asked = self.ask(found.mean, found.n, found.interval_at, found.standard_error)
        self.state(quantity, asked, **stands)
        return asked

    def proportion(self, quantity: str, successes: int, trials: int, **stands: Any) -> Asked:
        """A success probability stands to theory as in `state`, with a Clopper–Pearson interval."""
        interval, share = (
            partial(statistics.proportion_interval, successes, trials),
            successes / trials,
        )
        asked = self.ask(share, trials, interval, math.sqrt(share * (1.0 - share) / trials))
        self.state(quantity, asked, **stands)
        return asked

    def quantile(self, quantity: str, samples: np.ndarray, share: float, **stands: Any) -> Asked:
        """A quantile of i.i.d. samples stands to theory as in `state`, with an interval free of their law."""
        interval = partial(statistics.quantile_interval, samples, share)
        low, high = interval(ONE_SIGMA)
        asked = self.ask(np.quantile(samples, share), samples.size, interval, (high - low) / 2.0)
        self.state(quantity, asked, **stands)
        return asked

    def ask(
        self,
        measured: float,
        n: int,
        interval: Callable[[float], Interval],
        standard_error: float = float("nan"),
    ) -> Asked:
        """A statistical assertion of any other kind, as in `Asked`; `state` sets it beside theory."""
        asked = Asked(self, float(measured), n, interval, standard_error)
        self._asked.append(asked)
        return asked

    def state(
        self,
        quantity: str,
        asked: Asked,
        equals: Any = None,
        at_most: Any = None,
        at_least: Any = None,
        *,
        certify: bool = False,
        correction: float = 0.0,
        why: str = "",
    ) -> None:
        """An estimate stands to a theory value as stated; one estimate may be set beside several.

        Args:
            quantity: in words, with its setting.
            asked: the estimate.
            equals, at_most, at_least: the theory value; exactly one is given.
            certify: for the last two: whether the whole interval must lie on the right side; while it
                contains the bound the claim is UNDECIDED.
            correction: absolute slack for a correction that theory states.
            why: why bound and measurement differ.
        """
        given = zip(Relation, (equals, at_most, at_least), strict=True)
        ((relation, theory),) = ((r, value) for r, value in given if value is not None)
        if relation is Relation.EQ:
            self._told.append(asked)
        fixed = quantity, float(theory), asked.measured, relation
        self._comparisons.append(
            lambda: Comparison(*fixed, asked.interval, correction, certify, why, asked.n)
        )

    def distance(self, quantity: str, measured: float, n: int, *, why: str = "") -> None:
        """A one-sample Kolmogorov–Smirnov distance is at most its exact critical value."""
        self.ask(measured, n, lambda _alpha: (measured, measured))

        def compared() -> Comparison:
            critical = statistics.ks_critical_one_sample(n, self.alpha)
            return Comparison(quantity, critical, measured, Relation.LE, why=why)

        self._comparisons.append(compared)

    def precise(self, asked: Iterable[Asked] | None = None, limit: float = 0.005) -> None:
        """No standard error exceeds a share of its value: a design limit; beyond it nothing is decided.

        Args:
            asked: the estimates; None for all that are said to equal theory, now or later.
            limit: the share.
        """
        if asked is None:
            self._limit = limit
            return
        worst = max(asked, key=lambda one: one.relative_error, default=None)
        if worst is None:
            return
        words, error = "largest standard error over its value", worst.relative_error
        if error <= limit:
            why = "a design limit, so that agreement means something"
            self.at_most(words, limit, error, why=why)
        else:
            runs = math.ceil(worst.n * (error / limit) ** 2) if math.isfinite(error) else "more"
            self._imprecise = (
                f"{runs} runs in place of {worst.n}: {words} is {error:.3g}, above {limit:g}"
            )

    # What the reader sees.

    def method(self, sentence: str) -> None:
        """How it was done, in one sentence: proof technique, simulator, sizes."""
        self._method = sentence

    def note(self, *remarks: str) -> None:
        """Further remarks for the reader."""
        self._notes += remarks

    def table(self, rows: Rows | Callable[[], Rows], plot: Plot | None = None) -> None:
        """The tidy table behind the picture, and how it is drawn."""
        self._table = rows if callable(rows) else lambda: rows
        if plot is not None:
            self._facts["plot"] = plot

    def extra_table(self, name: str, rows: Rows | Callable[[], Rows]) -> None:
        """A further table."""
        self._extra[name] = rows if callable(rows) else lambda: rows

    def record(self, **facts: Any) -> None:
        """Fields of the `Finding` that are set otherwise than by what was asked, by name."""
        self._facts |= facts

    # Endings other than a verdict from the evidence.

    def not_run(
        self, missing: str, *, command: str, cost: str = "", method: str = "not run"
    ) -> None:
        """Nothing can be decided.

        Args:
            missing: what is needed, in words.
            command: what would decide, once that is there.
            cost: what it takes, in words.
            method: in place of how it was done.
        """
        self._not_run = True
        self._method = method
        price = f" ({cost})" if cost else ""
        self._facts |= {"missing": f"{missing}; then run `{command}`{price}", "seed": None}

    def conclude(self, if_all_hold: Verdict) -> Finding:
        """The finding: `if_all_hold`, REFUTED with the first failure as counterexample, or open.

        What holds is HOLDS_UNDER where an added assumption was recorded; a proof is DERIVED, not PROVED,
        where a step was argued.

        Raises:
            ValueError: without any evidence at all, or with more assertions than `share` announced.
        """
        self._closed = True
        if self._limit:
            self.precise(self._told, self._limit)
        if self._planned and len(self._asked) > self._planned:
            raise ValueError(
                f"claim {self.id} shared its α among {self._planned} assertions and made {len(self._asked)}"
            )
        comparisons = tuple(make() for make in self._comparisons)
        verdict, facts = self._verdict(if_all_hold, comparisons)
        if self._asked:
            facts.setdefault("trials", max(asked.n for asked in self._asked))
        if self._asked or self._rule.alpha != ALPHA:
            facts.setdefault("alpha", self._rule.alpha)
        if self._told:
            facts.setdefault("detectable", max(asked.detectable for asked in self._told))
        return Finding(
            verdict,
            self._method,
            comparisons=comparisons,
            proof=tuple(self._proof),
            argued=tuple(self._argued),
            notes=tuple(self._notes),
            table=None if self._table is None else _table(self._table()),
            extra_tables={name: _table(rows()) for name, rows in self._extra.items()},
            **{"seed": self.budget.seed, **facts},
        )

    def _verdict(
        self, if_all_hold: Verdict, comparisons: Sequence[Comparison]
    ) -> tuple[Verdict, dict[str, Any]]:
        facts = {name: fact for name, fact in self._facts.items() if fact != ""}
        if self._not_run:
            return Verdict.NOT_RUN, facts
        if not comparisons and not self._proof:
            raise ValueError("a verdict needs evidence: give comparisons or proof steps")
        failed, why = self._rule.judge(comparisons, self._proof)
        if failed is None and self._imprecise:
            failed, why = Verdict.UNDECIDED, self._imprecise
        if failed is not None:
            facts.pop("added_assumption", None)
            if failed is Verdict.HOLDS_UNDER:
                return failed, {"added_assumption": why, **facts}
            if failed is Verdict.REFUTED:
                return failed, {"counterexample": why, **facts}
            facts.pop("counterexample", None)
            return failed, facts | {
                "missing": "; ".join([why, *filter(None, [facts.get("missing")])])
            }
        facts.pop("missing", None)
        if "added_assumption" in facts:
            return Verdict.HOLDS_UNDER, facts
        if if_all_hold in (Verdict.PROVED, Verdict.DERIVED):
            return Verdict.DERIVED if self._argued else Verdict.PROVED, facts
        return if_all_hold, facts


def _table(rows: Rows) -> Table:
    return rows if isinstance(rows, Table) else Table.from_rows(rows)

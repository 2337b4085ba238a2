"""What a verification report says, before any format."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rolora.console import VERDICTS
from rolora.report.numbers import number
from rolora.report.proofs import opinions_sentence
from rolora.verify.runner import Outcome
from verification.claim import Claim
from verification.codec import plain
from verification.finding import Comparison, Finding, Table
from verification.verdict import Verdict

SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class Report:
    """One verification run.

    Attributes:
        outcomes: one per claim, in the report's order.
        total_claims: claims the toolkit has, whether selected or not.
        command: the command line that repeats it, without machine paths.
        seconds, environment: wall time; versions, platform, commit.
    """

    outcomes: tuple[Outcome, ...]
    total_claims: int
    profile: str
    seed: int
    command: str
    seconds: float
    environment: dict[str, Any]

    @property
    def exit_status(self) -> int:
        """0 if all is reached and as it should be, 1 if some verdict or control differs, else 3: open."""
        if any(outcome.differs for outcome in self.outcomes):
            return 1
        return 3 if any(outcome.open for outcome in self.outcomes) else 0

    @property
    def ok(self) -> bool:
        """Whether every verdict is reached, and it and all controls are as they should be."""
        return self.exit_status == 0

    @property
    def counts(self) -> dict[str, int]:
        """How many claims have each verdict, strongest first, errors last; zeros left out."""
        order = [str(v) for v in Verdict] + ["ERROR"]
        verdicts = [outcome.verdict for outcome in self.outcomes]
        return {name: verdicts.count(name) for name in order if name in verdicts}

    @property
    def headline(self) -> str:
        """One sentence: how many claims came out how, and how many are open."""
        counts = self.counts
        told = [(name, shown.words) for name, shown in VERDICTS.items() if shown.words]
        parts = [f"{counts[name]} {words}" for name, words in told if name in counts]
        left = sum(outcome.open for outcome in self.outcomes)
        parts = [part for part in (_enumerate(parts), f"{left} open" * bool(left)) if part]
        total = len(self.outcomes)
        return f"Of {total} claim{'s' * (total != 1)}, {'; '.join(parts)}."

    @property
    def details(self) -> tuple[str, ...]:
        """The sentences after the headline: refuted, open, unexpected, negative controls."""
        ids: dict[str, list[str]] = {}
        for outcome in self.outcomes:
            ids.setdefault(outcome.verdict, []).append(outcome.claim.id)
        said = ["Nothing was refuted."] * ("REFUTED" not in ids)
        said += [f"{words}: {_enumerate(ids[v])}." for v, words in _LISTED.items() if v in ids]
        surprises = self._ids(lambda o: not (o.as_expected or o.open or o.error))
        said.append(
            f"Not the expected verdict: {_enumerate(surprises)}."
            if surprises
            else f"Every {'other ' * ('ERROR' in ids)}verdict that was reached is the expected one."
        )
        said += [self._negative_controls(), *self._positive_controls()]
        if told := opinions_sentence(self.outcomes):
            said.append(told)
        if len(self.outcomes) < self.total_claims:
            said.append(f"Only these of the toolkit's {self.total_claims} claims were run.")
        return tuple(said)

    def _negative_controls(self) -> str:
        passed = self._ids(lambda o: not o.control_failed and not o.error)
        if passed:
            return (
                f"Negative controls that did not fail as they must: {_enumerate(passed)}; "
                "their checks prove nothing until they do."
            )
        refuted = (
            o.control is not None and o.control.verdict is Verdict.REFUTED for o in self.outcomes
        )
        ran, all_ = sum(refuted), len(self.outcomes)
        rest = f" ({all_ - ran} open)" if ran < all_ else ""
        told = "deliberately false variants were refuted by the same checks"
        return f"Negative controls: {ran} of {all_} {told}{rest}{self._by_half()}."

    def _by_half(self) -> str:
        """Of the claims that have a proof and measurements: which half alone refutes their mutants."""
        both = [
            o
            for o in self.outcomes
            if o.finding and o.finding.proof and o.finding.comparisons and o.control
        ]
        unseen = [o.claim.id for o in both if o.control and not o.control.proved_false]
        if not both:
            return ""
        but = f", but for {_enumerate(unseen)} by the measurements only" if unseen else ""
        return f"; those of the {len(both)} claims with a proof and measurements by either on its own{but}"

    def _positive_controls(self) -> list[str]:
        """What became of the variants that must be confirmed, if there are any."""
        asked = [o for o in self.outcomes if o.claim.positive]
        idle = self._ids(lambda o: not o.positive_held and not o.error)
        if idle:
            return [
                f"Positive controls that were not confirmed: {_enumerate(idle)}; "
                "their checks refute nothing until they are."
            ]
        held = sum(o.positive is not None and o.positive.verdict.confirms for o in asked)
        return [
            f"Positive controls: {held} of {len(asked)} true variants were confirmed "
            "by the same checks."
        ] * bool(asked)

    def _ids(self, test: Any) -> list[str]:
        return [outcome.claim.id for outcome in self.outcomes if test(outcome)]

    def tables(self) -> dict[str, Table]:
        """Every tidy table by file stem: `<claim id>`, and `<claim id>-<name>` for further ones."""
        named: dict[str, Table] = {}
        for outcome in self.outcomes:
            finding = outcome.finding
            if finding is None:
                continue
            if finding.table is not None:
                named[outcome.claim.id] = finding.table
            for name, table in finding.extra_tables.items():
                named[f"{outcome.claim.id}-{_stem(name)}"] = table
        return named


_LISTED = {
    "REFUTED": "Refuted",
    "HOLDS_UNDER": "True under an added assumption",
    "ERROR": "Stopped by an error",
    "UNDECIDED": "Open, more runs are needed",
    "NOT_RUN": "Open, not run for want of something",
}


def _enumerate(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _stem(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)


def summary_row(outcome: Outcome) -> dict[str, str]:
    """The row of one claim as text by column: its headline comparison, its verdict, its control."""
    finding = outcome.finding
    headline = finding.headline if finding is not None else None
    return dict(
        id=outcome.claim.id,
        title=outcome.claim.title,
        verdict=outcome.verdict,
        expected=str(outcome.claim.expected),
        quantity=headline.quantity if headline else "",
        theory=theory_text(headline) if headline else "–",
        measured=number(headline.measured) if headline else "–",
        interval=interval_text(headline),
        margin=number(headline.margin, 2) if headline else "–",
        method=outcome.error or (finding.method if finding is not None else ""),
        standing="open" if outcome.open else "yes" if outcome.as_expected else "NO",
        control=control_text(outcome),
    )


def theory_text(comparison: Comparison) -> str:
    """The theory value with its relation: `= 0.6667`, `≤ 12`."""
    return f"{comparison.relation} {number(comparison.theory)}"


def measured_text(comparison: Comparison) -> str:
    """The measured value with its interval."""
    return f"{number(comparison.measured)} {interval_text(comparison)}".rstrip()


def interval_text(comparison: Comparison | None) -> str:
    """The interval of the measured value in brackets, "" without one."""
    if comparison is None or comparison.interval is None:
        return ""
    low, high = (number(bound) for bound in comparison.interval)
    return f"[{low}, {high}]"


def control_text(outcome: Outcome) -> str:
    """What the controls did, in a few words."""
    return _did(outcome.control, outcome.control_failed, "refuted") + (
        f", {_did(outcome.positive, outcome.positive_held, 'confirmed')}"
        * bool(outcome.claim.positive)
    )


def _did(control: Finding | None, well: bool, word: str) -> str:
    if control is None:
        return "did not run"
    if well and not control.verdict.open:
        return word
    return f"{'open' if well else 'NOT ' + word.upper()} ({control.verdict})"


def as_json(report: Report, files: Sequence[str]) -> dict[str, Any]:
    """The report as JSON data. Numbers that are not finite become the strings "nan", "inf", "-inf"."""
    names = "ok exit_status headline details counts total_claims profile seed command"
    return {
        "schema_version": SCHEMA_VERSION,
        **{name: plain(getattr(report, name)) for name in names.split()},
        "seconds": round(report.seconds, 3),
        "claims": [_outcome_json(outcome) for outcome in report.outcomes],
        "environment": report.environment,
        "files": list(files),
    }


def claim_json(claim: Claim) -> dict[str, Any]:
    """What a claim says, as JSON data."""
    names = ("id", "title", "statement", "latex", "source", "assumptions", "exact")
    return {name: plain(getattr(claim, name)) for name in names}


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    claim = outcome.claim
    return claim_json(claim) | {
        "verdict": outcome.verdict,
        "expected": str(claim.expected),
        "open": outcome.open,
        "as_expected": outcome.as_expected,
        "negative_control_failed": outcome.control_failed,
        "positive_control_held": outcome.positive_held,
        "differs": outcome.differs,
        "error": outcome.error,
        "warnings": list(outcome.warnings),
        "finding": finding_json(outcome.finding),
        "negative_control": _control_json(claim.says, outcome.control),
        "positive_control": _control_json(claim.positive_says, outcome.positive)
        if claim.positive
        else None,
    }


def _control_json(statement: str, control: Finding | None) -> dict[str, Any]:
    return {"statement": statement, **(finding_json(control) or {})}


def finding_json(finding: Finding | None) -> dict[str, Any] | None:
    """A finding as JSON data; its tables are in the CSV files beside the report."""
    if finding is None:
        return None
    values: dict[str, Any] = dict.fromkeys(FINDING)
    values |= {name: plain(getattr(finding, name)) for name in FINDING if name not in PARTS}
    values["comparisons"] = [_comparison_json(c) for c in finding.comparisons]
    values["proof"] = [
        {"statement": step.statement, "holds": step.holds, "certificate": step.certificate,
         "opinions": [asdict(opinion) for opinion in step.opinions]}
        for step in finding.proof
    ]  # fmt: skip
    values["argued"] = [asdict(step) for step in finding.argued]
    return values | {"seconds": round(finding.seconds, 3)}


PARTS = ("comparisons", "proof", "argued")
FINDING = (
    "verdict", "method", "comparisons", "proof", "argued", "trials", "alpha", "detectable", "seed", "seconds",
    "added_assumption", "counterexample", "missing", "notes",
)  # fmt: skip


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    numbers = ("theory", "measured", "tolerance", "margin")
    values = {name: getattr(comparison, name) for name in COMPARISON}
    values |= {name: float(values[name]) for name in numbers} | {"holds": bool(comparison.holds)}
    return {name: plain(value) for name, value in values.items()}


COMPARISON = (
    "quantity", "theory", "measured", "relation", "interval", "tolerance", "certify", "margin",
    "holds", "standing", "why", "n",
)  # fmt: skip

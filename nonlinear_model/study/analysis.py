"""What the committed runs say: scores by seed, differences of methods, and a verdict over many places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np

from nonlinear_model.study import table
from nonlinear_model.study.design import (
    ALPHA,
    COMPARISONS,
    DESIGN,
    DIFFERENCE,
    MAP,
    NetworkDesign,
    resolvable,
)  # fmt: skip
from verification.evidence import Asked, Evidence
from verification.finding import Comparison, ProofStep, Rule
from verification.paired_study import Point, lead
from verification.statistics import mean_estimate
from verification.verdict import Verdict

EQUALITIES = ("rounds", "numbers sent")
"""What two methods have alike where they are compared."""

DECIDED = (
    "every method at the learning rate of one grid that is best for it on three other seeds; the intervals"
    " are those of the methods at these rates",
    "decided from the committed runs of the network study (docs/network-study.md)",
)


IMAGES = 54_000
"""About what equal clients hold of MNIST together."""


@cache
def _scores(design: NetworkDesign) -> dict[tuple[Point, str, int], dict[int, float]]:
    found: dict[tuple[Point, str, int], dict[int, float]] = {}
    for row in table.stored(design):
        if row["purpose"] == "judging":
            key = table.point_of(row, design), row["method"], row["length"]
            found.setdefault(key, {})[row["seed"]] = row["score"]
    return found


def scores(
    point: Point, method: str, length: int = 0, design: NetworkDesign = DESIGN
) -> np.ndarray:
    """Score of every judging seed, (S,), in the order of the seeds.

    Args:
        point: of the design.
        method: a method the design runs there.
        length: after how many rounds; 0 for all of the point's.
        design: the study.
    """
    found = _scores(design)[point, method, length or point[3]]
    return np.array([found[seed] for seed in sorted(found)])


def ahead(
    point: Point,
    better: str,
    worse: str,
    equality: str = "rounds",
    design: NetworkDesign = DESIGN,
    *,
    raised: str = "",
    by: float = 0.0,
) -> np.ndarray:
    """By how much one method's score exceeds another's, seed by seed, (S,).

    For controls, the scores of the method `raised` are so much higher.
    """
    lengths = (0, 0) if equality == "rounds" else design.equal_numbers(better, worse, point)
    own, other = (
        scores(point, name, length, design) + by * (name == raised)
        for name, length in zip((better, worse), lengths, strict=True)
    )
    return own - other


def map_points(
    clients: Sequence[int], local: Sequence[str], within: Sequence[Point] = MAP
) -> tuple[Point, ...]:
    """The map's points at some numbers of clients and local steps.

    Raises:
        ValueError: if the study has none there.
    """
    for at, name, asked in ((1, "clients", clients), (2, "local", local)):
        if not asked or not set(asked) <= {p[at] for p in within}:
            allowed = ", ".join(map(str, dict.fromkeys(p[at] for p in within)))
            raise ValueError(f"{name} must be of the study's {allowed}, got {tuple(asked)}")
    return tuple(p for p in within if p[1] in clients and p[2] in local)


Interval = tuple[float, float]


def repeated(
    values: np.ndarray, interval: Callable[[np.ndarray], Interval], most: float
) -> np.ndarray:
    """Runs taken 1, 2, 4, … times until their interval is narrow: what so many seeds of this spread give.

    For controls, whose planted truth lies so near the bound that the study's own seeds could not tell it.

    Args:
        values: by seed, (…, S).
        interval: of such values.
        most: its largest width.
    """
    low, high = interval(values)
    while high - low > most:
        values = np.tile(values, 2)
        low, high = interval(values)
    return values


Question = tuple[str, Any]
"""A quantity in words, and its differences by seed, (S,), which should be positive."""
Ask = Callable[[Evidence, str, Any, float], Asked]


def over_places(
    evidence: Evidence,
    places: Mapping[str, Sequence[Question]],
    *,
    of: int,
    by: float = 0.0,
    ask: Ask | None = None,
    rule: type[Places] | None = None,
) -> None:
    """Judge a statement over many places, as the study's design says.

    Args:
        evidence: is given a comparison for each question.
        places: what is asked, by the place in words.
        of: comparisons of the whole claim, which share its α whichever places are picked.
        by: what every difference should exceed.
        ask: asks something else than the mean of differences, as `lead` does.
        rule: judges the places; `Places` unless given.
    """
    if ask is None and not -1.0 < by < 1.0:
        raise ValueError(f"lead must be an accuracy between -1 and 1, got {by}")
    counts = {place: len(questions) for place, questions in places.items()}
    evidence.judge((rule or Places)(ALPHA, "+.4f", counts=counts))
    evidence.share(max(of, sum(counts.values())))
    asked = []
    for place, questions in places.items():
        for quantity, values in questions:
            words = f"{place}: {quantity}"
            made = ask(evidence, words, values, by) if ask else lead(evidence, words, values, by=by)
            asked.append(made)
    evidence.record(trials=max(one.n for one in asked))


@dataclass(frozen=True, slots=True)
class Places(Rule):
    """The study's rule: a statement over many places, each with comparisons of its own.

    Attributes:
        counts: number of comparisons of each place, in their order.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    each: ClassVar[str] = "seeds"

    def judge(
        self, comparisons: Sequence[Comparison], steps: Sequence[ProofStep] = ()
    ) -> tuple[Verdict | None, str]:
        """As `Rule.judge`; HOLDS_UNDER with the places where it holds, if not everywhere."""
        left = iter(comparisons)
        groups = {place: [next(left) for _ in range(n)] for place, n in self.counts.items()}
        holds = [place for place, group in groups.items() if all(c.holds for c in group)]
        violated = {place: [c for c in group if c.violated] for place, group in groups.items()}
        fails = [place for place, group in violated.items() if group]
        if len(holds) == len(groups) or not (holds or fails):
            return Rule.judge(self, comparisons, steps)
        if holds:
            unsure = [place for place in groups if place not in {*holds, *fails}]
            return Verdict.HOLDS_UNDER, self.where(holds, fails, unsure)
        worst = min((c for group in violated.values() for c in group), key=lambda c: c.margin)
        return Verdict.REFUTED, worst.told(self.number)

    @staticmethod
    def where(holds: Sequence[str], fails: Sequence[str], unsure: Sequence[str]) -> str:
        """The places, as a sentence's end."""
        groups = {"holds": holds, "fails": fails, "open": unsure}
        total = sum(map(len, groups.values()))
        said = [f"{words} at {'; '.join(own)}" for words, own in groups.items() if own]
        return f"at {len(holds)} of the study's {total} places: {'. '.join(said)}"


def lead_rows(
    points: Sequence[Point],
    better: str,
    worse: str,
    design: NetworkDesign = DESIGN,
    comparisons: int = COMPARISONS,
) -> list[dict[str, Any]]:
    """Tidy rows of a lead at both kinds of equality, with 95 % intervals, a row per point."""
    rows = []
    for point in points:
        row: dict[str, Any] = place_of(point, design)
        for equality in EQUALITIES:
            found = mean_estimate(ahead(point, better, worse, equality, design), 0.05)
            name = equality.partition(" ")[0]
            row |= {name: found.mean, f"{name}_low": found.interval[0]}
            row[f"{name}_high"] = found.interval[1]
            spread = found.standard_error * found.n**0.5
            row[f"{name}_resolves"] = resolvable(spread, found.n, ALPHA / comparisons)
        rows.append(row)
    return rows


def resolved_note(rows: Sequence[dict[str, Any]]) -> str:
    """Which leads the seeds can tell from 0, place by place, in a sentence."""
    found = [row[f"{kind.partition(' ')[0]}_resolves"] for row in rows for kind in EQUALITIES]
    fine = sum(value <= DIFFERENCE for value in found)
    return (
        f"With probability 0.9 the seeds tell a lead of {DIFFERENCE:g} at {fine} of {len(found)} places, and"
        f" of {max(found):.3f} at all (columns `resolves` of the table)."
    )


def mean_rows(
    points: Sequence[Point], methods: Sequence[str], design: NetworkDesign = DESIGN
) -> list[dict[str, Any]]:
    """Tidy rows of every method's score after all rounds: mean, 95 % interval, spread, rate."""
    rows = []
    for point in points:
        for method in methods:
            own = _rows(point, method, design)
            values = scores(point, method, design=design)
            found = mean_estimate(values, 0.05)
            interval = {"low": found.interval[0], "high": found.interval[1]}
            rows.append(
                place_of(point, design)
                | {"method": method, "accuracy": found.mean, **interval, "seeds": found.n}
                | {"std": float(values.std(ddof=1))}
                | {"best_tracked": float(np.mean([row["best"] for row in own]))}
                | {"after_a": float(np.mean([row["after_a"] for row in own]))}
                | {"after_b": float(np.mean([row["after_b"] for row in own]))}
                | {"learning_rate": own[0]["learning_rate"]}
                | {"restarted": sum(row["restarts"] > 0 for row in own)}
            )
    return rows


def _rows(point: Point, method: str, design: NetworkDesign) -> list[table.Row]:
    """The judging runs of all rounds of a point."""
    return [
        row
        for row in table.stored(design)
        if row["purpose"] == "judging"
        and (table.point_of(row, design), row["method"], row["length"]) == (point, method, point[3])
    ]


def place_of(point: Point, design: NetworkDesign = DESIGN) -> dict[str, Any]:
    """A point's cells of a table; epochs as about so many local steps."""
    _, clients, local, rounds, last = point
    number, _, epochs = local.partition(" ")
    steps = round(int(number) * IMAGES / clients / DESIGN.fixed["batch_size"])
    return {
        "clients": clients,
        "local": local,
        "local_steps": steps if epochs else int(number),
        "rounds_run": rounds,
        design.axes[-1]: last,
    }


def short(point: Point, design: NetworkDesign = DESIGN) -> str:
    """A point in symbols."""
    dataset, clients, local, _, last = point
    data = "" if dataset == "mnist" else f" ({dataset})"
    return f"N={clients}, K={local}{design.last(last)}{data}"


def method_of(points: Sequence[Point], design: NetworkDesign = DESIGN) -> str:
    """How the study was done, in one sentence."""
    counts = sorted({len(design.at(point).seeds) for point in points})
    many = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    return (
        f"committed study on MNIST, label shards, SGD with batch {DESIGN.fixed['batch_size']}: {len(points)}"
        f" points, {many} seeds each; each method at the rate of {len(design.rates)} that is best for it on"
        f" {len(design.tuning_seeds)} other seeds, a run that diverges begun anew at the next lower one;"
        f" scores average the last A-round and the last B-round; paired Student intervals, {ALPHA:.0%}"
        " error together"
    )


def rates_at_an_edge(design: NetworkDesign = DESIGN) -> list[str]:
    """Where a method's best rate is the grid's smallest or largest: a better one might lie beyond."""
    ends = {design.rates[0], design.rates[-1]}
    chosen = {
        (table.point_of(row, design), row["method"], row["length"]): row["learning_rate"]
        for row in table.stored(design)
        if row["purpose"] == "judging"
    }
    at_edge = [f"{m} at {short(p, design)}" for (p, m, _), rate in chosen.items() if rate in ends]
    return [
        f"Of {len(chosen)} chosen rates {len(at_edge) or 'none'} lie at an end of the grid"
        + (f": {'; '.join(at_edge)}." if at_edge else ".")
    ]

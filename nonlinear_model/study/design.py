"""The design of the network study: written, with its power calculation, before its first run.

The paper gives neither local steps, rounds, rate nor batch, so no single setting decides its ranking: a map
does, of clients × local steps, at equal rounds and at equal numbers sent. Three wings stand beside the map:
the scale of B's start, other shares of A- and B-rounds, and local steps at a fixed number of steps in all.
Small runs on the digits that come with scikit-learn are there to be run again by anybody, without files.

Changed after the first runs: 0.001 was put below the grid of learning rates, since 1 of 138 chosen rates was
its smallest, 0.003 (FedAvg-LoRA at 5 clients and five epochs). Changed after a look at the verdicts, towards
open ones only: `ffa-seed-spread` asks a jackknife's interval to decide a place, too, since at two places the
verdict hung on normal scores. Everything else is as committed beforehand.

How it is judged, also fixed beforehand. A statement says at each of its places that some differences,
paired by seed, are positive. Each has a Student interval, all intervals of a claim together at `ALPHA`. At a
place the statement *holds* if all its intervals lie above 0, *fails* if one lies below 0, and is *open*
otherwise. Everywhere it holds: SUPPORTED. Somewhere: HOLDS_UNDER, with the places named, where it fails or
is open too. Nowhere, but it fails somewhere: REFUTED. Else UNDECIDED. The places of the statements:

- `mnist-ranking`: RoLoRA over FedAvg-LoRA and FedAvg-LoRA over FFA-LoRA, at the map's points of 5 and 10
  clients and the two other starts of B, once at equal rounds and once at equal numbers sent.
- `mnist-gap-over-fedavg`, `mnist-gap-over-ffa`: RoLoRA's lead at 10 clients minus that at 5, for each number
  of local steps.
- `schedule-balance`, `early-A-matters`: at `LOPSIDED`. `local-steps`: at `FEW_AND_MANY`, pair by pair.
- `ffa-seed-spread`: a ratio of standard deviations above 1 (Pitman and Morgan's interval), at the map's
  points of 5 and 10 clients.
- `mnist-lead-size`: 0.02 minus RoLoRA's lead over FedAvg-LoRA, at the places of `mnist-ranking`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import ClassVar, Self

from scipy import stats

from verification.finding import Rule
from verification.paired_study import Design, Point

ALPHA = 0.01
"""Error probability of all intervals of one claim together. These are studies of dozens of runs; an interval
at the toolkit's usual 1e-6 would need hundreds."""

RULE = Rule(ALPHA)

DIFFERENCE = 0.02
"""The smallest difference in accuracy worth telling: the power calculation is for it."""

PAPER_CLIENTS = (5, 10)
CLIENTS = (5, 10, 20)
LOCAL = ("5", "25", "100", "1 epoch", "5 epochs")
ROUNDS = {"5": 40, "25": 40, "100": 40, "1 epoch": 20, "5 epochs": 10}
"""Rounds of the map; fewer where a round is long, since no cell may cost hours."""

METHODS = ("rolora", "fedavg", "ffa")
SCHEDULES = ("a-heavy", "b-heavy", "rolora-then-ffa:20")

SPREAD = {"5": 0.017, "25": 0.041, "100": 0.061, "1 epoch": 0.061, "5 epochs": 0.061}
"""Largest standard deviation of RoLoRA's lead over FedAvg-LoRA between seeds in an earlier map of fewer cells
(scores after the last round alone, 12 seeds): 5, 25 and 200 local steps."""

SEEDS = {"5": 48, "25": 48, "100": 32, "1 epoch": 24, "5 epochs": 12}
"""Judging seeds: more than `seeds_needed` asks for at 5 local steps, fewer elsewhere, so that the study takes
less than 8 hours of one core. What a place can tell for that stands in the claims' tables."""

COMPARISONS = 48
"""Intervals of the largest claim: two pairs of methods at the paper's clients, at both kinds of equality."""


@dataclass(frozen=True, slots=True, eq=False)
class NetworkDesign(Design):
    """A study whose points differ in methods and in the number of seeds.

    Attributes:
        more: further methods by the point's name (`name_of`).
        counts: number of judging seeds by the point's local steps.
    """

    more: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    file: ClassVar[str] = "network_study.csv"
    facts: ClassVar[tuple[str, ...]] = ("after_a", "after_b", "best", "numbers_up")
    """What the table tells of a run beside its score."""

    def at(self, point: Point) -> Self:
        """The design of one point alone."""
        methods = self.methods + tuple(self.more.get(name_of(point), ()))
        seeds = self.seeds[: self.counts[point[2]]]
        return replace(self, points=(point,), methods=methods, seeds=seeds)

    def numbers(self, point: Point, method: str) -> float | None:
        """Numbers a client sends in a round, up to a common factor; None where they are not compared."""
        return SENT.get(method) if point[0] == "mnist" else None

    def rivals(self, method: str) -> tuple[str, ...]:
        """The methods that a method is compared with at equal numbers sent."""
        return tuple(m for m in SENT if m != method)

    def last(self, value: float) -> str:
        """The last value of a point in words, nothing for the usual one."""
        return "" if value == 1.0 else f", B start × {value:g}"

    def people(self, point: Point) -> int:
        """Clients that take part in a round."""
        return int(point[1])

    def equal_numbers(self, better: str, worse: str, point: Point) -> tuple[int, int]:
        """Rounds of two methods in which both have sent as many numbers.

        The one that sends less a round is run for the point's rounds, the other for fewer, an alternating one
        in whole pairs of a B- and an A-round: within a pair of equal, and never more than the first. A score
        averages the last two rounds, which costs a run of few rounds the more, FedAvg-LoRA's after 2 most.
        """
        sent = {m: self.numbers(point, m) or 1.0 for m in (better, worse)}

        def own(method: str) -> int:
            exact = int(point[3] * min(sent.values()) / sent[method] + 1e-9)
            return exact // 2 * 2 if method.startswith("rolora") else exact

        return own(better), own(worse)

    def lengths(self, point: Point, method: str) -> tuple[int, ...]:
        """Rounds after which a method is judged, ascending: at equal rounds, at equal numbers."""
        rounds = point[3]
        if self.numbers(point, method) is None:
            return (rounds,)
        others = self.rivals(method)
        return tuple(sorted({rounds, *(self.equal_numbers(method, m, point)[0] for m in others)}))

    def tracked(self, point: Point, method: str) -> tuple[int, ...]:
        """Rounds at which a run is scored: the quarters of the point's rounds, and all lengths."""
        rounds = point[3]
        quarters = {even(rounds / 4), even(rounds / 2), even(3 * rounds / 4)}
        return tuple(sorted(quarters | set(self.lengths(point, method))))


def point(
    clients: int,
    local: str,
    rounds: int = 0,
    b_scale: float = 1.0,
    dataset: str = "mnist",
) -> Point:
    """A point of the study; without rounds, those of the map."""
    return dataset, clients, local, rounds or ROUNDS[local], b_scale


def name_of(point: Point) -> str:
    """A point in words."""
    dataset, clients, local, rounds, b_scale = point
    steps = local if "epoch" in local else f"{local} local steps"
    start = "" if b_scale == 1.0 else f", B started {b_scale:g} times as large"
    data = "" if dataset == "mnist" else f" on {dataset}"
    return f"{clients} clients, {steps} a round, {rounds} rounds{start}{data}"


MAP = tuple(point(n, local) for local in LOCAL for n in CLIENTS)
B_STARTS = tuple(point(10, "25", b_scale=b) for b in (0.3, 3.0))
LOPSIDED = tuple(point(n, "25") for n in PAPER_CLIENTS)
"""Where other shares of A- and B-rounds are run, too."""
FEW_AND_MANY = tuple((point(n, "5", 200), point(n, "100", 10)) for n in PAPER_CLIENTS)
"""Averaging often and rarely, with 1,000 local steps in all."""
DIGITS = (point(5, "5", dataset="digits"), point(10, "25", dataset="digits"))

DESIGN = NetworkDesign(
    axes=("dataset", "clients", "local", "rounds", "b_scale"),
    points=(*DIGITS, *MAP, *B_STARTS, *(p for pair in FEW_AND_MANY for p in pair)),
    methods=METHODS,
    rates=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
    tuning_seeds=(900, 901, 902),
    seeds=tuple(range(max(SEEDS.values()))),
    score="test accuracy, mean of after the last round that trained A and the last that trained B"
    " (the last two rounds where both or one alone train throughout)",
    rule=RULE,
    fixed={"batch_size": 16, "split": "shards", "optimiser": "sgd"},
    more={name_of(p): SCHEDULES for p in LOPSIDED},
    counts=SEEDS,
)

SENT = {"rolora": 492, "fedavg": 984, "ffa": 200}
"""Numbers a client sends in a round, in units of the rank, RoLoRA's in the mean: A is 784×16, B 16×200."""


def even(rounds: float) -> int:
    """The nearest even number of rounds, at least 2."""
    return max(2, 2 * round(rounds / 2))


def resolvable(spread: float, seeds: int, alpha: float, power: float = 0.9) -> float:
    """Smallest lead that a paired Student interval tells from 0.

    Args:
        spread: standard deviation of the lead between seeds.
        seeds: number of pairs.
        alpha: error probability of the interval.
        power: with which probability it is told.
    """
    critical = float(stats.t.isf(alpha / 2, seeds - 1))
    low, high = 0.0, 100.0  # in standard errors
    for _ in range(60):
        middle = (low + high) / 2
        told = float(stats.nct.sf(critical, seeds - 1, middle))
        low, high = (middle, high) if told < power else (low, middle)
    return high * spread / sqrt(seeds)


def seeds_needed(spread: float, alpha: float, difference: float = DIFFERENCE) -> int:
    """Fewest judging seeds that tell a difference; arguments as in `resolvable`."""
    seeds = 3
    while resolvable(spread, seeds, alpha) > difference:
        seeds += 1
    return seeds

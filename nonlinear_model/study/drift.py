"""The design of the drift study: written before its first run.

Does taking the clients' drift out of their gradients (control variates) help RoLoRA, and does RoLoRA with
it lead over FedAvg-LoRA with the same? On MNIST split by label: clients × local steps × share of the
clients in a round, at equal rounds and at equal numbers sent, both ways together, since c goes down where
clients sit out.

How it is judged, fixed beforehand. At each place (point, kind of equality) and for each rival, the lead of
`rolora-cv`, paired by seed, has a Student interval; all intervals of the claim `drift-correction` together
err with probability `ALPHA`. A lead *holds* if its interval lies above 0, *fails* if it lies below, and is
*open* otherwise. Everywhere it holds: SUPPORTED. Somewhere: HOLDS_UNDER, counted rival by rival, where it
fails or is open too. Nowhere, but it fails somewhere: REFUTED. Else UNDECIDED.

Rates, batches, starts and the score are the network study's (`design`). The seeds are others: 4 choose a
rate. Judging seeds: so many that all of it takes less than two hours of one core. A first look at 10
clients (3 seeds) had RoLoRA with control variates 0.09 ahead of RoLoRA and 0.02 to 0.05 ahead of FedAvg-
LoRA with them; with the spreads of the network study (0.01 to 0.08) such leads over RoLoRA are told nearly
everywhere, such leads over the fair rival at some places only: the claim's table says which.
"""

from dataclasses import dataclass
from typing import ClassVar

from federation.participants import how_many
from nonlinear_model.study.design import DESIGN, RULE, NetworkDesign
from verification.paired_study import Point

OURS = "rolora-cv"
RIVALS = ("rolora", "fedavg", "fedavg-cv", "ffa")
CLIENTS = (5, 10, 20)
ROUNDS = {"25": 40, "200": 20, "1 epoch": 10}
SHARES = (1.0, 0.5)
SEEDS = {"25": 32, "200": 24, "1 epoch": 24}

SENT = {
    "all": {"rolora": 984, "rolora-cv": 984, "fedavg": 1968, "fedavg-cv": 1968, "ffa": 400},
    "all, epochs": {"rolora": 984, "rolora-cv": 1476, "fedavg": 1968, "fedavg-cv": 2952, "ffa": 400},
    "3 of 5": {"rolora": 1231, "rolora-cv": 1970, "fedavg": 2341, "fedavg-cv": 3698, "ffa": 476},
    "half": {"rolora": 1316, "rolora-cv": 2140, "fedavg": 2430, "fedavg-cv": 3877, "ffa": 494},
}  # fmt: skip
"""Numbers a participant sends and is sent in a round, in units of the rank, in the mean over rounds and draws
of the participants: A is 784×16, B 16×200. Who sat out is first sent what it missed, c too."""


@dataclass(frozen=True, slots=True, eq=False)
class DriftDesign(NetworkDesign):
    """The drift study: every method against `OURS` alone."""

    file: ClassVar[str] = "drift_study.csv"
    facts: ClassVar[tuple[str, ...]] = (*NetworkDesign.facts, "numbers_down")

    def numbers(self, point: Point, method: str) -> float | None:
        """Numbers a participant sends and is sent in a round, in units of the rank."""
        dataset, clients, local, _, share = point
        if dataset != "mnist":
            return None
        if share < 1.0:
            return SENT["3 of 5" if clients == 5 else "half"][method]
        return SENT["all, epochs" if "epoch" in local else "all"][method]

    def last(self, value: float) -> str:
        """How many of the clients take part."""
        return ", all" if value == 1.0 else ", half"

    def people(self, point: Point) -> int:
        """Clients that take part in a round."""
        return how_many(point[1], point[4])

    def rivals(self, method: str) -> tuple[str, ...]:
        """Whom a method is compared with."""
        return RIVALS if method == OURS else (OURS,)


MAP = tuple(
    ("mnist", clients, local, rounds, share)
    for share in SHARES
    for local, rounds in ROUNDS.items()
    for clients in CLIENTS
)
DIGITS = (("digits", 10, "25", 12, 0.5),)
"""Small runs on the digits that come with scikit-learn, to be run again by anybody, without files."""

DRIFT = DriftDesign(
    axes=("dataset", "clients", "local", "rounds", "participation"),
    points=(*DIGITS, *MAP),
    methods=(OURS, *RIVALS),
    rates=DESIGN.rates,
    tuning_seeds=(900, 901, 902, 903),
    seeds=tuple(range(max(SEEDS.values()))),
    score=DESIGN.score,
    rule=RULE,
    fixed=DESIGN.fixed,
    counts=SEEDS,
)

COMPARISONS = 2 * len(MAP) * len(RIVALS)
"""Intervals of the claim: every rival at every place, at both kinds of equality."""

"""What a round costs in numbers sent, and when RoLoRA's half is a half (theory.md §14, paper's claim 6).

Per adapted d_in × d_out matrix at rank r, one client, each way: FedAvg-LoRA r(d_in + d_out), FFA-LoRA
r·d_out, RoLoRA r·d_out in B-rounds and r·d_in in A-rounds. Exact result: half of FedAvg-LoRA's over any two
consecutive rounds; in each single round if and only if d_in = d_out; and a client that takes part with
probability p must be sent what it missed, so its downlink is 1 − p/2 of FedAvg-LoRA's, not a half.
"""

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import sympy as sp

from federated_lora import Factor, FedAvgLoRA, FFALoRA, Method, RoLoRA, Shape
from verification.claim import PAPER, Evidence, Mark, Plot, Series, Verdict, claim
from verification.evidence import at_least
from verification.finding import ProofStep
from verification.proof.identities import identity

ROBERTA_LARGE = (Shape(1024, 4, 1024),) * 48
"""Query and value of 24 layers, the paper's adapters."""
LLAMA_MLP = (Shape(4096, 8, 11008),) * 64
"""Gate and up projections of Llama-2-7B's 32 layers: rectangular."""
METHODS = (FedAvgLoRA(), FFALoRA(), RoLoRA())
WINDOW = 6


def numbers_each_way(method: str, d_in: Any, d_out: Any, rank: Any, round: int) -> Any:
    """Numbers one client sends, and is sent, in a round in which all take part.

    Args:
        method: `fedavg`, `ffa` or `rolora`.
        d_in, d_out, rank: sizes of the adapted matrix, numbers or SymPy symbols.
        round: counting from 1; odd rounds are RoLoRA's B-rounds.

    Raises:
        ValueError: on another method.

    Source: theory.md §14.
    """
    down_projection, up_projection = rank * d_in, rank * d_out
    if method == "fedavg":
        return down_projection + up_projection
    if method == "ffa":
        return up_projection
    if method == "rolora":
        return up_projection if round % 2 == 1 else down_projection
    raise ValueError(f"method must be one of fedavg, ffa, rolora, got {method!r}")


def single_round_share(d_in: Any, d_out: Any) -> Any:
    """RoLoRA's B-round as a share of FedAvg-LoRA's round, `d_out/(d_in + d_out)`."""
    return d_out / (d_in + d_out)


def two_round_share() -> Fraction:
    """RoLoRA's share of FedAvg-LoRA's numbers over any two consecutive rounds: one half."""
    return Fraction(1, 2)


def downlink_share(participation: Any) -> Any:
    """RoLoRA's downlink as a share of FedAvg-LoRA's, per participation, `1 − p/2`.

    Args:
        participation: probability p that a client takes part in a round, independently each round.
    """
    return 1 - participation / 2


def derive(every_round: bool = False) -> tuple[ProofStep, ...]:
    """The shares with symbolic sizes, and the downlink by summing over the last participation.

    Args:
        every_round: states half for every single round; False for the true statement.
    """
    d_in, d_out, rank, p = sp.symbols("d_in d_out r p", positive=True)

    def sent(method: str, round: int) -> Any:
        return numbers_each_way(method, d_in, d_out, rank, round)

    half = sp.Rational(str(two_round_share()))
    first, second = (sent("rolora", round) for round in (1, 2))
    both = sent("fedavg", 1) + sent("fedavg", 2)
    # Took part in the last round (p): one factor is new, A and B by turns. Else (1 − p): both are.
    sent_down = p * (first + second) / 2 + (1 - p) * sent("fedavg", 1)
    return (
        identity(
            "over rounds t, t+1 RoLoRA sends one A and one B: half of FedAvg-LoRA's, any d_in, d_out, r",
            (first + second) / both, half),
        identity("a B-round is d_out/(d_in + d_out) of FedAvg-LoRA's round", first / sent("fedavg", 1),
            half if every_round else single_round_share(d_in, d_out)),
        identity("which differs from one half by (d_out − d_in)/(2(d_in + d_out)): half iff d_in = d_out",
            single_round_share(d_in, d_out) - half, (d_out - d_in) / (2 * (d_in + d_out))),
        identity("an A-round differs by as much the other way", second / sent("fedavg", 1) - half,
            -(d_out - d_in) / (2 * (d_in + d_out))),
        identity("partial participation: the downlink is 1 − p/2 of FedAvg-LoRA's, for any sizes",
            sent_down / sent("fedavg", 1), downlink_share(p)),
    )  # fmt: skip


def enumerated_downlink(shape: Shape, participation: Fraction, rounds: int = WINDOW) -> Fraction:
    """Expected downlink ÷ FedAvg-LoRA's by literal bookkeeping over every pattern of taking part.

    The server counts versions of A and B; a client holds those of its last broadcast and is sent what
    is newer. Averaged exactly over two last rounds, one of either kind.

    Args:
        shape: the adapted matrix.
        participation: p in (0, 1].
        rounds: length of the shorter history, at least 3 (both factors have moved by then).
    """
    method = RoLoRA()
    expected = Fraction(0)
    for last in (rounds, rounds + 1):
        for pattern in product((True, False), repeat=last - 1):
            chance = Fraction(1)
            versions = dict.fromkeys(Factor, 0)
            held = dict(versions)
            for round, present in enumerate(pattern, start=1):
                chance *= participation if present else 1 - participation
                if present:
                    held = dict(versions)
                for factor in method.trainable(round):
                    versions[factor] += 1
            news = sum(
                shape.numbers(factor) for factor in Factor if versions[factor] > held[factor]
            )
            expected += chance * Fraction(news, 2)
    return expected / FedAvgLoRA().traffic([shape], 1).down


def counted_numbers(method: Method, shape: Shape, round: int) -> int:
    """Entries of the arrays one client really sends back: those of the factors it trained."""
    arrays = {
        Factor.A: np.empty((shape.d_in, shape.rank)),
        Factor.B: np.empty((shape.rank, shape.d_out)),
    }
    return sum(arrays[factor].size for factor in method.trainable(round))


@claim(
    "traffic-halved",
    "Half the traffic of FedAvg-LoRA",
    statement="RoLoRA exchanges half of FedAvg-LoRA's numbers per round.",
    latex=r"\frac{r\,d_{\rm out}+r\,d_{\rm in}}{2\,r(d_{\rm in}+d_{\rm out})}=\frac12"
    r"\quad\text{over two rounds}",
    source=f"{PAPER}, cost",
    assumptions=("numbers counted per adapted matrix, one client, frozen weights not sent",),
    expected=Verdict.HOLDS_UNDER,
    mutant={"every_round": True},
    control_at={"d_in": 1000, "d_out": 1050},
    says="half in every single round",
    exact="half over any two consecutive rounds; d_out/(d_in + d_out) in a B-round; downlink 1 − p/2 "
    "at participation p",
    order=100,
)
def check(
    evidence: Evidence,
    *,
    d_in: int = 4096,
    d_out: int = 11008,
    rank: int = 8,
    participation: float = 1.0,
    every_round: bool = False,
) -> None:
    """Prove the shares, count what the methods send, enumerate partial participation exactly.

    Args:
        d_in, d_out, rank: sizes of the matrix of the first comparison and of one B-round.
        participation: share of rounds its client takes part in.
        every_round: states half for every single round; False for the true statement.
    """
    at_least(1, d_in=d_in, d_out=d_out, rank=rank)
    if not 0.0 < participation <= 1.0:
        raise ValueError(f"participation must lie in (0, 1], got {participation}")
    half, p = float(two_round_share()), Fraction(str(participation))
    matrix = Shape(d_in, rank, d_out)
    ours, theirs = (
        sum(counted_numbers(method, matrix, round) for round in (1, 2))
        for method in (RoLoRA(), FedAvgLoRA())
    )
    evidence.equal(
        f"RoLoRA ÷ FedAvg-LoRA, numbers both ways, {d_in} × {d_out}, rank {rank}, a client that takes "
        f"part in {float(p):.4g} of the rounds",
        (two_round_share() + downlink_share(p)) / 2,
        (ours / theirs + float(enumerated_downlink(matrix, p))) / 2,
        rounding=1e-15,
        why="one rounding of rationals to float64",
    )
    for name, shapes in (
        ("RoBERTa-Large query and value, rank 4", ROBERTA_LARGE),
        ("Llama-2-7B gate and up, rank 8", LLAMA_MLP),
    ):
        evidence.equal(
            f"RoLoRA ÷ FedAvg-LoRA, numbers both ways over two rounds, {name}",
            half,
            _share(shapes, (1, 2)),
        )
    compared = (
        ("RoLoRA ÷ FedAvg-LoRA in one B-round, RoBERTa-Large (square)", half, _share(ROBERTA_LARGE, (1,)),
            0.0, ""),
        (f"RoLoRA ÷ FedAvg-LoRA in one B-round, {d_in} × {d_out}",
            half if every_round else single_round_share(d_in, d_out), _share((matrix,), (1,)),
            1e-15, "d_out/(d_in + d_out): the B-round carries the longer factor"),
        ("formulas, traffic of the methods and entries of the arrays sent: disagreements, "
            "3 methods × 4 rounds × 27 shapes", 0.0, _disagreements(), 0.0, ""),
    )  # fmt: skip
    for quantity, theory, measured, rounding, why in compared:
        evidence.equal(quantity, theory, measured, rounding=rounding, why=why)
    _enumerate_participation(evidence, LLAMA_MLP[0])
    evidence.steps(*derive(every_round))
    evidence.record(
        seed=None,
        added_assumption="counted over two consecutive rounds, or d_in = d_out; downlink: every "
        "client takes part in every round (the uplink is half in any case)",
    )
    evidence.method(
        "SymPy with symbolic sizes; numbers counted on the methods and their arrays; every pattern of "
        "participation enumerated in rationals"
    )
    evidence.note(
        "A client that sat out the last round has missed both factors and is sent both: the "
        "downlink is 1 − p/2 of FedAvg-LoRA's, so up and down together are 3/4 − p/4.",
        "FFA-LoRA's share is d_out/(d_in + d_out) in every round, up and down.",
    )
    evidence.extra_table("numbers per round", _numbers())


def _enumerate_participation(evidence: Evidence, shape: Shape) -> None:
    """The downlink's share at ten participations, by formula and by enumeration."""
    rows = [
        {
            "participation": float(p),
            "downlink": float(enumerated_downlink(shape, p, evidence.pick(WINDOW, 2 * WINDOW))),
            "downlink theory": float(downlink_share(p)),
            "uplink": float(two_round_share()),
        }
        for p in (Fraction(tenths, 10) for tenths in range(1, 11))
    ]
    evidence.equal(
        "partial participation: largest gap of the downlink share to exact enumeration, 10 values of p",
        0.0,
        max(abs(row["downlink theory"] - row["downlink"]) for row in rows),
        rounding=1e-15,
        why="one rounding of rationals to float64",
    )
    evidence.table(rows, PLOT)


PLOT = Plot(
    "participation", (Series("downlink", "downlink, enumerated", Mark.POINTS),
        Series("downlink theory", "downlink, 1 − p/2", Mark.LINE), Series("uplink", "uplink", Mark.DASHED)),
    "share p of rounds a client takes part in", "RoLoRA's numbers ÷ FedAvg-LoRA's",
    "The uplink is always half. The downlink is half only if every client takes part "
    "in every round: one that sat out must be sent the factor it missed as well.",
)  # fmt: skip


def _share(shapes: tuple[Shape, ...], rounds: tuple[int, ...]) -> float:
    ours = sum(RoLoRA().traffic(shapes, round).total for round in rounds)
    theirs = sum(FedAvgLoRA().traffic(shapes, round).total for round in rounds)
    return ours / theirs


def _disagreements() -> int:
    wrong = 0
    for method in METHODS:
        for round, d_in, rank, d_out in product(range(1, 5), (1, 5, 64), (1, 2, 8), (1, 7, 64)):
            shape = Shape(d_in, rank, d_out)
            stated = numbers_each_way(method.name, d_in, d_out, rank, round)
            traffic = method.traffic([shape], round)
            counted = counted_numbers(method, shape, round)
            wrong += not stated == traffic.up == traffic.down == counted
    return wrong


def _numbers() -> list[dict[str, Any]]:
    return [
        {
            "model": name,
            "method": method.name,
            "round": "B-round" if round == 1 else "A-round",
            "up": method.traffic(shapes, round).up,
            "down": method.traffic(shapes, round).down,
        }
        for name, shapes in (("RoBERTa-Large q, v", ROBERTA_LARGE), ("Llama-2-7B", LLAMA_MLP))
        for method in METHODS
        for round in (1, 2)
    ]

"""Averaging is exact in every round of RoLoRA and FFA-LoRA, and in none of FedAvg-LoRA (paper, claim 1).

Exact result: a rule that trains one factor a round averages products that share the other factor, so
`(Σ p_i A_i) B = Σ p_i A_i B`; FedAvg-LoRA errs by the interference of theory.md §11.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import sympy as sp

from federated_lora import (
    BOTH,
    Adapter,
    ClientFactors,
    Factor,
    FedAvgLoRA,
    FFALoRA,
    Method,
    RoLoRA,
    aggregate,
    client_weights,
)
from theory.averaging import interference_identity
from verification.claim import PAPER, claim
from verification.evidence import Evidence, at_least
from verification.finding import Mark, Plot, ProofStep, Series
from verification.names import one_of
from verification.proof.identities import sized_identity
from verification.verdict import Verdict

EXACT = ("rolora", "ffa")
D_IN, D_OUT = 24, 16
SCALE = 4.0
LEARNING_RATE = 0.1
ROUNDING = 1e-13
"""Relative: 10 products of rank 2 in float64, each entry rounded some ten times."""


class _Parity:
    """Takes the place of a round; whatever is asked but that it counts from 1, and its parity, is refused."""

    __class__ = property(lambda _: int)  # what a method may check; a true int could be used as one

    def __init__(self, round: int) -> None:
        self._odd = round % 2

    def __mod__(self, other: int) -> int:
        return self._odd if other == 2 else self._more()

    def __lt__(self, other: int) -> bool:
        return False if other == 1 else self._more()

    def _more(self, *_: object) -> Any:
        raise TypeError("it is used as a number")

    __eq__ = __ne__ = __hash__ = __bool__ = _more


def _shared(shared: Factor) -> tuple[ProofStep, ProofStep]:
    """`Σ p_i A_i B_i = Ā B̄` for any number of clients, weights and sizes, one factor shared."""
    weight = sp.Symbol("p", real=True)
    d_in, rank, d_out = sp.symbols("d_in r d_out", integer=True, positive=True)
    A, sum_A = (sp.MatrixSymbol(name, d_in, rank) for name in ("A", "SA"))
    B, sum_B = (sp.MatrixSymbol(name, rank, d_out) for name in ("B", "SB"))
    rest = sp.Symbol("P", real=True)  # the others' Σp
    if shared is Factor.B:
        grown, before, averages = (
            (sum_A + weight * A) @ B,
            sum_A @ B,
            sum_A @ (rest * B + weight * B),
        )
    else:
        grown, before, averages = (
            A @ (sum_B + weight * B),
            A @ sum_B,
            (rest * A + weight * A) @ sum_B,
        )
    return (
        sized_identity(f"one shared {shared}: a further client adds p A_i B_i to the product of the sums, "
            "which is 0 for none: it is the sum of the products", grown - before, weight * A @ B),
        sized_identity(f"one shared {shared}: its own average is Σp times itself, itself at Σp = 1",
            averages, before, where={rest: 1 - weight}),
    )  # fmt: skip


def derive(exact: tuple[str, ...] = EXACT) -> tuple[ProofStep, ...]:
    """A shared factor makes the average exact; the methods said to be exact share one in every round."""
    steps = [step for factor in Factor for step in _shared(factor)]
    steps += interference_identity.derive()[:2]  # what FedAvg-LoRA misses, for any sizes
    return (*steps, *(_trains_one(_methods()[name]) for name in exact))


def _trains_one(method: Method) -> ProofStep:
    statement = f"{method.name} trains exactly one factor in every round, so the other is shared"
    try:
        trained = [method.trainable(cast("int", _Parity(round))) for round in (1, 2)]
    except TypeError as error:
        return ProofStep(statement, False, f"asks more of a round than its parity: {error}")
    odd, even = ("+".join(sorted(factors)) for factors in trained)
    return ProofStep(
        statement,
        all(len(factors) == 1 for factors in trained),
        f"it asks for the round's parity alone: odd rounds train {odd}, even rounds {even}",
    )


def _methods() -> dict[str, Method]:
    return {method.name: method for method in (RoLoRA(), FFALoRA(), FedAvgLoRA())}


def _federated_rounds(
    method: Method,
    rng: np.random.Generator,
    *,
    clients: int = 10,
    rank: int = 2,
    rounds: int = 12,
    local_steps: int = 10,
) -> list[dict[str, float]]:
    """Rounds of local gradient descent on clients with different targets, averaged by the method.

    Client k fits `s·A·B` to its own dense target W_k in Frobenius norm; sizes are unequal.

    Returns:
        One record a round: `error`, the literal ||s·A·B − Σ p_k s A_k B_k||_F by dense products,
        `theory`, the norm of the interference, and `size`, the norm of the exact mean.
    """
    shared = rng.standard_normal((D_IN, D_OUT))
    targets = shared + rng.standard_normal((clients, D_IN, D_OUT))
    p = client_weights(rng.uniform(1.0, 4.0, clients), clients)
    server = Adapter(
        rng.standard_normal((D_IN, rank)) / np.sqrt(D_IN), np.zeros((rank, D_OUT)), SCALE
    )
    records = []
    for round in range(1, rounds + 1):
        trained = method.trainable(round)
        A = np.repeat(server.A[None], clients, axis=0)
        B = np.repeat(server.B[None], clients, axis=0)
        for _ in range(local_steps):
            residual = SCALE * (A @ B) - targets
            step_A = SCALE * residual @ B.swapaxes(1, 2)
            step_B = SCALE * A.swapaxes(1, 2) @ residual
            A = A - LEARNING_RATE / SCALE**2 * step_A if Factor.A in trained else A
            B = B - LEARNING_RATE / SCALE**2 * step_B if Factor.B in trained else B
        came = ClientFactors(
            A=A if Factor.A in trained else None, B=B if Factor.B in trained else None
        )
        result = aggregate(method, server, came, p, round)
        exact = sum(p[k] * SCALE * (A[k] @ B[k]) for k in range(clients))
        gap = SCALE * interference_identity.interference(list(A), list(B), list(p))
        records.append(
            {
                "error": float(np.linalg.norm(result.adapter.delta() - exact)),
                "logged": float(result.aggregation_error),
                "theory": float(np.linalg.norm(gap)) if trained == BOTH else 0.0,
                "size": float(np.linalg.norm(exact)),
            }
        )
        server = result.adapter
    return records


@claim(
    "alternating-exact",
    "RoLoRA and FFA-LoRA average exactly, FedAvg-LoRA does not",
    statement="In every round of RoLoRA and FFA-LoRA the server's s·A·B equals the weighted mean of "
    "the clients' s·A_k·B_k; FedAvg-LoRA misses it by the interference of its clients.",
    latex=r"s\,\bar A\bar B=\sum_k p_k\,sA_kB_k\ \text{(RoLoRA, FFA)},\qquad "
    r"\sum_k p_k A_kB_k-\bar A\bar B=\sum_k p_k(A_k-\bar A)(B_k-\bar B)\ \text{(FedAvg)}",
    source=f"{PAPER}, section 3",
    assumptions=(
        "client weights sum to one",
        "every client of a round starts from the broadcast adapter",
    ),
    expected=Verdict.PROVED,
    mutant={"exact": (*EXACT, "fedavg")},
    says="the same said of FedAvg-LoRA",
    order=20,
)
def check(
    evidence: Evidence,
    *,
    clients: int = 10,
    rank: int = 2,
    rounds: int = 12,
    local_steps: int = 10,
    exact: tuple[str, ...] = EXACT,
) -> None:
    """Prove the shared-factor identity, then measure the error of every method round by round.

    Args:
        clients, rank, rounds, local_steps: sizes of the literal rounds.
        exact: the methods said to be exact; RoLoRA and FFA-LoRA are.
    """
    at_least(2, clients=clients)
    at_least(1, rank=rank, rounds=rounds, local_steps=local_steps)
    for name in exact:
        one_of("exact", name, _methods())
    sizes = {"clients": clients, "rank": rank, "rounds": rounds, "local_steps": local_steps}
    runs = {
        name: _federated_rounds(method, evidence.rng(), **sizes)
        for name, method in _methods().items()
    }
    rows = [
        {
            "method": name,
            "round": index + 1,
            "error": max(record["error"], 1e-18),
            "theory": record["theory"] if record["theory"] else None,
            "relative": record["error"] / record["size"],
        }
        for name, records in runs.items()
        for index, record in enumerate(records)
    ]
    relative = {name: [r["error"] / r["size"] for r in found] for name, found in runs.items()}
    for name in exact:
        evidence.equal(
            f"{name}: largest ‖s·A·B − Σ p_k s A_k B_k‖ over {rounds} rounds, relative",
            0.0,
            max(relative[name]),
            rounding=ROUNDING,
            why="rounding of dense products in float64",
        )
    evidence.equal(
        "fedavg: error ÷ norm of the interference, round farthest from 1",
        1.0,
        max((r["error"] / r["theory"] for r in runs["fedavg"]), key=lambda ratio: abs(ratio - 1.0)),
        rounding=1e-9,
        why="rounding of a difference of products",
    )
    # Round 1 starts from B = 0 where A has no gradient at first; the error is positive from there on.
    evidence.at_least(
        f"fedavg: smallest relative error of the {rounds} rounds",
        1e-6,
        min(relative["fedavg"]),
        why="above rounding by seven digits: inexact in every round",
    )
    evidence.steps(*derive(exact))
    evidence.method(
        f"SymPy: induction over the clients, any sizes; {rounds} literal rounds of {clients} clients with "
        f"different targets, {local_steps} local steps and unequal weights beside it"
    )
    evidence.note(
        f"FedAvg-LoRA's error in these rounds is {min(relative['fedavg']):.2g} to "
        f"{max(relative['fedavg']):.2g} of the mean update's norm."
    )
    evidence.table(rows, PLOT)


PLOT = Plot(
    "round", (Series("error", "measured ‖s·A·B − Σ p s A B‖", Mark.POINTS),
        Series("theory", "norm of the interference", Mark.DASHED)),
    "round", "aggregation error (Frobenius norm)",
    "RoLoRA and FFA-LoRA average exactly: what is seen of them is the rounding of "
    "float64. FedAvg-LoRA errs in every round by the interference of its clients (dashed), "
    "which stays as long as the clients' targets differ.", group="method", ylog=True,
)  # fmt: skip

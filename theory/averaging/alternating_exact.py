"""Averaging is exact in every round of RoLoRA and FFA-LoRA, and in none of FedAvg-LoRA (paper, claim 1).

Exact result: a rule that trains one factor a round averages products that share the other factor, so
`(Σ p_i A_i) B = Σ p_i A_i B`; FedAvg-LoRA errs by the interference of theory.md §11.
"""

from __future__ import annotations

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
from theory.averaging.interference_identity import mean
from verification.claim import PAPER, claim
from verification.evidence import Evidence, at_least
from verification.finding import Mark, Plot, ProofStep, Series
from verification.names import one_of
from verification.proof.identities import generic_matrix, identity
from verification.verdict import Verdict

EXACT = ("rolora", "ffa")
D_IN, D_OUT = 24, 16
SCALE = 4.0
LEARNING_RATE = 0.1
ROUNDING = 1e-13
"""Relative: 10 products of rank 2 in float64, each entry rounded some ten times."""


def _shared_product_error(shared: Factor) -> sp.Matrix:
    """`Σ p_i A_i B_i − Ā B̄` for three clients, general weights and one shared factor, in symbols."""
    p1, p2 = sp.symbols("p1 p2", real=True)
    weights = (p1, p2, 1 - p1 - p2)
    A = [generic_matrix("A" if shared is Factor.A else f"A{i}", 3, 2) for i in (1, 2, 3)]
    B = [generic_matrix("B" if shared is Factor.B else f"B{i}", 2, 2) for i in (1, 2, 3)]
    products = [a @ b for a, b in zip(A, B, strict=True)]
    return mean(products, weights) - mean(A, weights) @ mean(B, weights)


def derive(exact: tuple[str, ...] = EXACT) -> tuple[ProofStep, ...]:
    """A shared factor makes the average exact; the methods said to be exact share one in every round."""
    steps = [
        identity(
            f"with one shared {factor}, the product of the averages is the average of the products",
            _shared_product_error(factor),
            sp.zeros(3, 2),
        )
        for factor in Factor
    ]
    return (*steps, *(_trains_one(_methods()[name]) for name in exact))


def _trains_one(method: Method) -> ProofStep:
    # The trained factor depends on the parity of the round alone: two rounds are all rounds.
    trained = [method.trainable(round) for round in (1, 2)]
    periodic = all(method.trainable(t) == trained[(t - 1) % 2] for t in range(1, 2001))
    odd, even = ("+".join(sorted(factors)) for factors in trained)
    return ProofStep(
        f"{method.name} trains exactly one factor in every round, so the other is shared",
        periodic and all(len(factors) == 1 for factors in trained),
        f"odd rounds train {odd}, even rounds {even}",
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
        f"SymPy identity for a shared factor; {rounds} literal rounds of {clients} clients with "
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

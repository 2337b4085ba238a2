"""What averaging LoRA factors one by one gets wrong: the interference (theory.md §11).

Problem: clients hold A_i, B_i; the server forms Ā·B̄ where the mean of the products was wanted.
Exact result: `Σ p_i A_i B_i − Ā B̄ = Σ p_i (A_i − Ā)(B_i − B̄)` for any weights summing to one, so the
error is the clients' cross-covariance: zero as soon as one factor is the same on all clients.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import sympy as sp

from federated_lora import Adapter, ClientFactors, FedAvgLoRA, aggregate, client_weights
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, claim
from verification.evidence import at_least
from verification.finding import ProofStep
from verification.proof.identities import generic_matrix, identity, sized_identity

SCALE = 2.0
DRIFTS = np.geomspace(1e-2, 1e2, 9)


def interference(A: Sequence[Any], B: Sequence[Any], weights: Sequence[Any]) -> Any:
    """`Σ p_i (A_i − Ā)(B_i − B̄)`, what FedAvg's product of averages lacks.

    Args:
        A: the clients' down-projections, N arrays (*batch, d_in, r) or SymPy matrices.
        B: the clients' up-projections, N arrays (*batch, r, d_out) or SymPy matrices.
        weights: N numbers summing to one.

    Returns:
        Array (*batch, d_in, d_out) or SymPy matrix. Source: theory.md §11.
    """
    mean_A, mean_B = mean(A, weights), mean(B, weights)
    deviations = [(a - mean_A) @ (b - mean_B) for a, b in zip(A, B, strict=True)]
    return mean(deviations, weights)


def mean(items: Sequence[Any], weights: Sequence[Any]) -> Any:
    """`Σ p_i x_i`, term by term, for arrays and SymPy matrices alike."""
    return reduce(add, (weight * item for weight, item in zip(weights, items, strict=True)))


def derive(total: Any = 1) -> tuple[ProofStep, ...]:
    """The identity for three clients entry by entry, and for any number by induction.

    Args:
        total: what the weights sum to; the identity needs 1.
    """
    p1, p2 = sp.symbols("p1 p2", real=True)
    weights = (p1, p2, total - p1 - p2)
    A = [generic_matrix(f"A{i}", 2, 2) for i in (1, 2, 3)]
    B = [generic_matrix(f"B{i}", 2, 1) for i in (1, 2, 3)]
    products = mean([a @ b for a, b in zip(A, B, strict=True)], weights)
    steps = [
        *_any_number_of_clients(total),
        identity("three clients, generic 2×2 and 2×1 factors, any weights summing to one: "
            "mean(A_i B_i) − Ā B̄ = mean((A_i − Ā)(B_i − B̄))",
            products - mean(A, weights) @ mean(B, weights), interference(A, B, weights)),
        identity("a shared A leaves no interference", interference([A[0]] * 3, B, weights), sp.zeros(2, 1)),
        identity("a shared B leaves no interference", interference(A, [B[0]] * 3, weights), sp.zeros(2, 1)),
    ]  # fmt: skip
    return tuple(steps)


def _any_number_of_clients(total: Any) -> tuple[ProofStep, ProofStep]:
    """Any N, d_in, r and d_out: by induction over the clients, for sums against any fixed Ā and B̄."""
    weight, weights = sp.symbols("p P", real=True)
    d_in, rank, d_out = sp.symbols("d_in r d_out", integer=True, positive=True)
    A, sum_A, mean_A = (sp.MatrixSymbol(name, d_in, rank) for name in ("A", "SA", "Ā"))
    B, sum_B, mean_B = (sp.MatrixSymbol(name, rank, d_out) for name in ("B", "SB", "B̄"))
    products = sp.MatrixSymbol("SAB", d_in, d_out)

    def expanded(products: Any, sum_A: Any, sum_B: Any, weights: Any) -> Any:
        return products - sum_A @ mean_B - mean_A @ sum_B + weights * mean_A @ mean_B

    grown = expanded(
        products + weight * A @ B, sum_A + weight * A, sum_B + weight * B, weights + weight
    )
    return (
        sized_identity("any number of clients and any shapes: one more adds p(A − Ā)(B − B̄) to "
            "Σp AB − (Σp A)B̄ − Ā(Σp B) + (Σp)ĀB̄, which is 0 for none",
            grown - expanded(products, sum_A, sum_B, weights), weight * (A - mean_A) @ (B - mean_B)),
        sized_identity("with Σp A = Ā, Σp B = B̄ and Σp = 1 that is Σp AB − ĀB̄",
            expanded(products, sum_A, sum_B, weights), products - mean_A @ mean_B,
            where={sum_A: mean_A, sum_B: mean_B, weights: total}),
    )  # fmt: skip


@claim(
    "interference-identity",
    "Averaging A and B separately leaves their cross-covariance out",
    statement="mean(A_i B_i) − Ā B̄ = mean((A_i − Ā)(B_i − B̄)) for any weights summing to one; "
    "zero whenever one factor is the same on all clients.",
    latex=r"\sum_i p_iA_iB_i-\bar A\bar B=\sum_i p_i(A_i-\bar A)(B_i-\bar B)",
    source=OURS,
    assumptions=("client weights sum to one",),
    expected=Verdict.PROVED,
    mutant={"total": sp.Rational(49, 50)},
    says="the identity for weights that sum to 0.98",
    order=10,
)
def check(
    evidence: Evidence,
    *,
    clients: int = 50,
    d_in: int = 9,
    rank: int = 3,
    d_out: int = 6,
    total: sp.Rational = sp.S.One,
) -> None:
    """Prove the identity, then compare it with the error FedAvg's rule really makes.

    Args:
        clients: in the largest of the three federations.
        d_in, rank, d_out: sizes of the factors.
        total: what the weights sum to; 1 for the true statement.
    """
    at_least(2, clients=clients)
    at_least(1, d_in=d_in, rank=rank, d_out=d_out)
    rng = evidence.rng()
    server = Adapter(rng.standard_normal((d_in, rank)), rng.standard_normal((rank, d_out)), SCALE)
    sizes = (2, 5, clients)
    rows = [row for size in sizes for row in _federation(rng, server, size, float(total))]
    largest = rows[-len(DRIFTS) :]
    first, at_one, last = (largest[place] for place in (0, len(DRIFTS) // 2, -1))
    compared = (
        (f"error of FedAvg-LoRA's rule, {clients} clients, drift {at_one['drift']:g}", at_one["theory"],
            at_one["measured"], 1e-12 * at_one["theory"], "rounding"),
        ("largest relative gap between the identity and the error of FedAvg-LoRA's rule, "
            f"{len(rows)} federations of {min(sizes)} to {max(sizes)} clients with unequal weights", 0.0,
            max(row.pop("gap") for row in rows), 1e-9,
            "rounding: at drift 0.01 the error is 1e-4 of the products it is the difference of"),
        (f"exponent of the error in the clients' drift ({clients} clients)", 2.0,
            np.log(last["measured"] / first["measured"]) / np.log(last["drift"] / first["drift"]), 1e-9,
            "both deviations scale with the drift, so their product scales with its square"),
    )  # fmt: skip
    for quantity, theory, measured, rounding, why in compared:
        evidence.equal(quantity, theory, measured, rounding=rounding, why=why)
    evidence.steps(*derive(total))
    evidence.method(
        "SymPy: induction over the clients with symbolic sizes, and generic entries for three; "
        "FedAvg-LoRA's rule in float64 beside it"
    )
    evidence.table(rows, PLOT)


PLOT = Plot(
    "drift", (Series("measured", "error of FedAvg-LoRA's rule", Mark.POINTS),
        Series("theory", "‖mean((A − Ā)(B − B̄))‖", Mark.LINE)),
    "drift of the clients' factors from the broadcast ones (standard deviation)",
    "‖mean(s A B) − s Ā B̄‖ (Frobenius norm)",
    "The error of averaging A and B separately is the cross-covariance of the "
    "clients' factors: points and line coincide because it is an identity. It grows with the "
    "square of the drift. Here A and B drift independently, so more clients average it down; "
    "drifts of A and B that hang together, as training makes them, do not average out.",
    group="clients", xlog=True, ylog=True,
)  # fmt: skip


def _federation(
    rng: np.random.Generator, server: Adapter, clients: int, total: float
) -> list[dict[str, Any]]:
    """One row a drift: the identity beside the error of FedAvg-LoRA's rule, unequal weights."""
    p = client_weights(rng.uniform(0.2, 5.0, clients), clients)
    moves_A = rng.standard_normal((clients, *server.A.shape))
    moves_B = rng.standard_normal((clients, *server.B.shape))
    rows = []
    for drift in DRIFTS:
        A, B = server.A + drift * moves_A, server.B + drift * moves_B
        result = aggregate(FedAvgLoRA(), server, ClientFactors(A=A, B=B), p, 1)
        predicted = SCALE * interference(list(A), list(B), list(total * p))
        # Literally: dense products, one client after the other.
        exact = sum(SCALE * p[k] * (A[k] @ B[k]) for k in range(clients))
        gap = np.linalg.norm(exact - result.adapter.delta() - predicted)
        size, measured = float(np.linalg.norm(predicted)), float(result.aggregation_error)
        rows.append(
            {
                "clients": clients,
                "drift": drift,
                "theory": size,
                "measured": measured,
                "relative": size / float(np.linalg.norm(exact)),
                "gap": max(float(gap) / size, abs(measured / size - 1.0)),
            }
        )
    return rows

"""One round of FlexLoRA, FLoRA or FedEx-LoRA with local optima, and what further rounds do."""

from __future__ import annotations

from typing import Any

import numpy as np

from federated_lora import Adapter
from linear_model.claims.other_methods.literal import models, to_the_optimum
from theory.other_methods import one_shot_averaging as one_shot
from verification.claim import OURS, claim
from verification.evidence import Evidence, between, exactly
from verification.finding import Mark, Plot, Series
from verification.verdict import Verdict

OUTPUTS = 5
MERGING = ("flora", "fedex")
WHY = "rounding of singular values and of least squares iterated until it rests"


@claim(
    "one-shot-averaging",
    "Averaging products of local optima: exact in one round, not in the next",
    statement="With clients that train to their optimum of rank r, one round of FLoRA or FedEx-LoRA ends at "
    "mean P_r(W_i) and one of FlexLoRA at P_r(mean P_r(W_i)): no excess risk if every W_i has rank r at "
    "most. FlexLoRA then rests; FLoRA moves on, along a subgradient of a convex function that need not be "
    "least at W̄.",
    latex=r"\mathrm{excess}=\|\tfrac1N\sum_i\bigl(W_i-P_r(W_i)\bigr)\|^2-\sum_{j>r}\sigma_j(\bar "
    r"W)^2,\quad \mathrm{FlexLoRA:}\ \|P_r\bigl(\tfrac1N\sum_iP_r(W_i)\bigr)-\bar W\|^2-\sum_{j>r}"
    r"\sigma_j(\bar W)^2,\quad \mathrm{FLoRA:}\ X\leftarrow X+\tfrac1N\sum_iP_r(W_i-X)",
    source=OURS,
    assumptions=(
        "population limit m → ∞, isotropic features",
        "clients train to the best product of rank r",
        "FLoRA: everybody starts each round from B = 0 and any A",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    says="a mean tail whose square is 2 % larger",
    exact="for targets of rank r FLoRA and FedEx-LoRA are at W̄ itself after one round, below the best "
    "shared model of rank r by Σ_{j>r} σ_j(W̄)², and leave it in the second unless N = 2 or all W_i − W̄ "
    "have rank r",
    order=211,
)
def check(
    evidence: Evidence, *, clients: int = 4, d: int = 6, rank: int = 2, stretch: float = 1.0
) -> None:
    """Derive the excess; run the methods' own rules on literal clients.

    Args:
        clients: N.
        d: width.
        rank: LoRA rank r, below the five outputs.
        stretch: multiplies the stated ‖mean tail‖²; 1 for the true statement.
    """
    between(3, 20, clients=clients)
    between(OUTPUTS, 30, d=d)
    between(1, OUTPUTS - 1, rank=rank)
    rng = evidence.rng("targets", clients, d)
    targets = _targets(rng, clients, d)
    start = Adapter(np.linalg.qr(rng.standard_normal((d, rank))).Q, np.zeros((rank, OUTPUTS)))
    lost = one_shot.out_of_reach(targets.mean(axis=0), rank)
    stated = stretch * (one_shot.merged_excess(targets, rank) + lost) - lost
    for name in MERGING:
        (model,) = models(name, start, targets, to_the_optimum, 1)
        words = f"{name}'s excess risk after one round, N = {clients}, d = {d}, r = {rank}"
        evidence.equal(words, stated, _excess(model, targets, rank), rounding=1e-10, why=WHY)
    cut = one_shot.truncated_excess(targets, rank)
    for number, model in enumerate(models("flexlora", start, targets, to_the_optimum, 2), 1):
        words = f"flexlora's after round {number}"
        evidence.equal(words, cut, _excess(model, targets, rank), rounding=1e-10, why=WHY)
    _low_rank(evidence, start, one_shot.best_of_rank(targets, rank), rank)
    evidence.steps(*one_shot.derive(exactly(stretch)))
    evidence.argued(
        "clients trained to their optimum hold P_r(W_i)",
        because="with isotropic features client i's risk is ‖A_i B_i − W_i‖², least over products of rank "
        "r at P_r(W_i) (Eckart and Young); the loss has no other local minimum, so descent from almost "
        "every start ends there",
    )
    evidence.method(
        "SymPy: means over any number of clients; beside it clients one by one, each by least squares in A "
        "and in B until both rest, and the methods' own server steps"
    )
    evidence.note(
        "In the rank-r model with one A* shared by all clients every W_i − W̄ has rank r at most, and "
        "FLoRA rests at W̄ too."
    )
    evidence.table(_rows(targets), PLOT)


def _targets(rng: np.random.Generator, clients: int, d: int) -> np.ndarray:
    """W_i = U_i diag(2, 1, ½, …) V_iᵀ with U_i and V_i not far apart; the gaps make least squares rest."""
    draw = rng.standard_normal((clients, d, d)), rng.standard_normal((clients, OUTPUTS, OUTPUTS))
    near = (np.linalg.qr(np.eye(x.shape[-1]) + 0.35 * x).Q for x in draw)
    left, right = near
    sizes = 2.0 * 0.5 ** np.arange(OUTPUTS)
    return np.asarray((left[..., :OUTPUTS] * sizes) @ np.swapaxes(right, 1, 2))


def _excess(model: np.ndarray, targets: np.ndarray, rank: int) -> float:
    """Mean risk over the clients, less that of the best shared model of rank r."""
    best = one_shot.best_of_rank(targets.mean(axis=0), rank)
    risks = [float(np.square(model - W).sum() - np.square(best - W).sum()) for W in targets]
    return float(np.mean(risks))


def _low_rank(evidence: Evidence, start: Adapter, targets: np.ndarray, rank: int) -> None:
    """Targets of rank r: exact after one round, and where FLoRA and FedEx-LoRA go from there."""
    lost = one_shot.out_of_reach(targets.mean(axis=0), rank)
    for name in (*MERGING, "flexlora"):
        first, second = models(name, start, targets, to_the_optimum, 2)
        stated = 0.0 if name == "flexlora" else -lost
        words = f"{name}'s excess risk after one round, W_i of rank {rank}"
        evidence.equal(words, stated, _excess(first, targets, rank), rounding=1e-10, why=WHY)
        if name == "flora":
            later = one_shot.merged_excess_later(targets, rank, 2)
            words = f"{name}'s after round 2"
            evidence.equal(words, later, _excess(second, targets, rank), rounding=1e-10, why=WHY)
        if name != "flexlora":
            away = float(np.square(second - targets.mean(axis=0)).sum())
            evidence.at_least(f"{name} is away from W̄ after round 2, squared", 1e-6, away)
    shared = np.eye(*start.A.shape) @ targets[:, :rank]  # one A* for all
    last = models("flora", start, shared, to_the_optimum, 3)[-1]
    words = "flora's excess risk after round 3 with one A* for all clients"
    evidence.equal(words, 0.0, _excess(last, shared, rank), rounding=1e-10, why=WHY)


def _rows(targets: np.ndarray) -> list[dict[str, Any]]:
    """Excess risk per rank, by the methods' rules and by the formulas."""
    d = targets.shape[1]
    rows = []
    for rank in range(1, OUTPUTS):
        start = Adapter(np.eye(d, rank), np.zeros((rank, OUTPUTS)))
        row: dict[str, Any] = {"rank": rank}
        for name in ("flora", "flexlora"):
            (model,) = models(name, start, targets, to_the_optimum, 1)
            row[name] = _excess(model, targets, rank)
        row["merged"] = one_shot.merged_excess(targets, rank)
        row["truncated"] = one_shot.truncated_excess(targets, rank)
        row["later"] = one_shot.merged_excess_later(targets, rank, 50)
        rows.append(row)
    return rows


PLOT = Plot(
    x="rank",
    series=(
        Series("flora", "FLoRA, one round", Mark.POINTS),
        Series("merged", "the same, stated", Mark.LINE),
        Series("flexlora", "FlexLoRA, one round", Mark.POINTS),
        Series("truncated", "the same, stated", Mark.LINE),
        Series("later", "FLoRA, fifty rounds", Mark.DASHED),
    ),
    xlabel="LoRA rank r",
    ylabel="excess risk over the best shared model of rank r",
    caption="Clients with targets of rank 5, each trained to its best product of rank r. Merged, their "
    "mean may have any rank and can be better than every shared product of rank r: below 0. Truncated it "
    "cannot.",
)

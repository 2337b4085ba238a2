"""LA-LoRA's interference between different clients is proportional to the angle; FedAvg-LoRA's is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from federated_lora import Adapter
from linear_model.claims.other_methods.literal import Pair, server_round, to_the_optimum
from linear_model.methods.algorithm2 import orthonormalised
from theory.other_methods import turns
from verification.claim import OURS, claim
from verification.evidence import Evidence, between, exactly
from verification.finding import Mark, Plot, Series
from verification.verdict import Verdict

OUTPUTS, ROUNDS = 3, 25


@claim(
    "turns-inside-a-round",
    "Turns inside a round: interference proportional to the angle",
    statement="If every client brings b to its optimum and then takes K gradient steps on a, and the server "
    "averages both, the product of means misses the mean product by exactly s‖Cov(μ_i^K, b_i*)‖, μ_i = 1 − "
    "κ_ic², κ_i = 2η‖b_i*‖²; the angle moves by tan θ⁺ = tan θ · μ̄/(1 + (1 − μ̄)tan²θ), μ̄ = mean μ_i^K, "
    "and the excess risk (μ̄s)²‖b̄*‖² goes to 0 for κ_i < 2.",
    latex=r"\|\bar a\bar "
    r"b^\top-\tfrac1N\sum_ia_ib_i^\top\|=s\,\|\operatorname{Cov}(\mu_i^K,b_i^*)\|,\ "
    r"\mu_i=1-2\eta\|b_i^*\|^2c^2;\quad "
    r"\tan\theta^{+}=\frac{\bar\mu\,\tan\theta}{1+(1-\bar\mu)\tan^2\theta},\quad \mathrm{excess}=(\bar\mu "
    r"s)^2\|\bar b^*\|^2",
    source=OURS,
    assumptions=(
        "rank 1, one a* shared by the clients",
        "population limit m → ∞",
        "each client's b at its optimum before its K steps on a; a of length 1 at the start of a round",
        "for the end: 0 < κ_i < 2 for all clients, a start that is not orthogonal to a*",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    says="interference 2 % larger",
    exact="local rate |mean (1 − κ_i)^K|; clients that differ leave no floor, and the mean target may be 0",
    order=213,
)
def check(
    evidence: Evidence,
    *,
    clients: int = 4,
    d: int = 6,
    local_steps: int = 3,
    kappa: float = 0.4,
    angle: float = 0.9,
    stretch: float = 1.0,
) -> None:
    """Derive it; run the method's own rule on literal clients.

    Args:
        clients: N.
        d: width.
        local_steps: K, of each client's a.
        kappa: largest κ_i.
        angle: angle distance of the start.
        stretch: multiplies the stated interference; 1 for the true statement.
    """
    between(2, 50, clients=clients)
    between(2, 50, d=d)
    between(1, 50, local_steps=local_steps)
    between(0.05, 1.9, kappa=kappa)
    between(0.01, 0.99, angle=angle)
    targets = evidence.rng("targets", clients).standard_normal((clients, OUTPUTS))
    targets *= (np.linspace(0.6, 1.5, clients) / np.linalg.norm(targets, axis=1))[:, None]
    rows = literal_rounds(targets, d, local_steps, kappa, angle)
    first = rows[0]
    setting = f"N = {clients}, d = {d}, K = {local_steps}, κ_i up to {kappa:g}, s = {angle:g}"
    words = f"interference of round 1, {setting}"
    why = "rounding"
    evidence.equal(
        words, stretch * first["interference"], first["measured"], rounding=1e-12, why=why
    )
    seen = [row for row in rows if row["s"] > 1e-9]
    for words, key, stated, scale in (
        ("interference over s", "measured", "interference", "s"),
        ("tan θ after the round over that before", "next", "stated next", "t"),
        ("root of the excess risk after the round over s", "root", "stated root", "s"),
    ):
        factor = stretch if key == "measured" else 1.0
        gap = max(abs(row[key] - factor * row[stated]) / row[scale] for row in seen)
        evidence.equal(f"largest gap of {words}, {len(seen)} rounds", 0.0, gap, rounding=1e-10,
            why="rounding of angles down to 1e-9, relative to themselves")  # fmt: skip
    _fedavg(evidence, targets, d)
    evidence.steps(*turns.derive(exactly(stretch)))
    evidence.argued(
        "the angle goes to 0 geometrically",
        because="a round multiplies tan θ by μ̄/(1 + (1 − μ̄)tan²θ), of size below |μ̄| < 1 near 0; where "
        "c is small, (1 − μ̄)tan²θ is near K·mean κ_i > 0, so the factor stays away from 1 at every angle "
        "between, too",
    )
    evidence.method(
        "SymPy: matrix symbols, induction over K, means over any number of clients; beside it clients one "
        "by one and LA-LoRA's own server step, a scaled to length 1 after it"
    )
    evidence.note(
        "LA-LoRA alternates after every local step; here the b-steps of a round come first and reach their "
        "optimum. With b-steps that do not, clients disagree on a's length even at the right angle: claim "
        "method-floors measures what is left."
    )
    evidence.table([row for row in rows if row["s"] > 1e-12], _plot(clients))


def literal_rounds(
    targets: np.ndarray, d: int, steps: int, kappa: float, angle: float
) -> list[dict[str, Any]]:
    """A row per round: what was measured of it, and what is stated; a* is the first unit vector."""
    lengths = np.linalg.norm(targets, axis=1)
    eta = kappa / (2.0 * float(np.square(lengths).max()))
    goals = np.eye(d, 1) * targets[:, None, :]

    def train(A: np.ndarray, _: np.ndarray, W: np.ndarray) -> Pair:
        B = np.linalg.lstsq(A, W, rcond=None)[0]
        for _step in range(steps):
            A = A - 2.0 * eta * (A @ B - W) @ B.T
        return A, B

    A = np.zeros((d, 1))
    A[:2, 0] = np.sqrt(1.0 - angle**2), angle
    centre = targets.mean(axis=0)
    rows = []
    for number in range(1, ROUNDS + 1):
        c, s = float(A[0, 0]), float(np.linalg.norm(A[1:]))
        made = server_round("la-lora", Adapter(A, np.zeros((1, OUTPUTS))), goals, train)
        product = made.adapter.delta()
        kept = turns.kept_share(2.0 * eta * lengths**2, c, steps)
        after = made.adapter.A
        rows.append({
            "round": number, "s": s, "t": s / c,
            "measured": float(made.aggregation_error),
            "interference": float(turns.interference(s, kept, targets)),
            "next": float(np.linalg.norm(after[1:]) / after[0, 0]),
            "stated next": abs(float(turns.next_tangent(s / c, kept.mean()))),
            "root": float(np.linalg.norm(product - np.eye(d, 1) * centre)),
            "stated root": float(np.sqrt(turns.excess(s, kept.mean(), np.linalg.norm(centre)))),
        })  # fmt: skip
        A = orthonormalised(after)
    return rows


def _fedavg(evidence: Evidence, targets: np.ndarray, d: int) -> None:
    """At the right angle FedAvg-LoRA's clients, at their optima, still interfere; LA-LoRA's do not."""
    goals, server = (
        np.eye(d, 1) * targets[:, None, :],
        Adapter(np.eye(d, 1), np.zeros((1, OUTPUTS))),
    )

    def flow(A: np.ndarray, B: np.ndarray, W: np.ndarray) -> Pair:
        """The end of gradient flow from a = a*, b = 0, which conserves ‖a‖² − ‖b‖² = 1."""
        a, b = to_the_optimum(A, B, W)
        length = float(np.linalg.norm(a) * np.linalg.norm(b))
        scale = np.sqrt((1.0 + np.sqrt(1.0 + 4.0 * length**2)) / 2.0) / np.linalg.norm(a)
        return a * scale, b / scale

    left = float(server_round("fedavg", server, goals, flow).aggregation_error)
    evidence.at_least("FedAvg-LoRA's interference at s = 0, local optima", 1e-3, left)


def _plot(clients: int) -> Plot:
    return Plot(
        x="s",
        series=(
            Series("measured", "LA-LoRA's server step", Mark.POINTS),
            Series("interference", "s‖Cov(μ_i^K, b_i*)‖", Mark.LINE),
            Series("root", "root of its excess risk", Mark.DASHED),
        ),
        xlabel="angle distance s before the round",
        ylabel="distance between product of means and mean product",
        caption=f"Interference of {clients} clients with different b_i* over {ROUNDS} rounds of turns within "
        "a round. It falls with the angle, at small angles in proportion.",
        xlog=True,
        ylog=True,
    )

"""FedAvg-LoRA against RoLoRA: rates near the solution, and the round in which the lead changes.

Problem: the mean target W̄ has rank r < max(d, p) and singular values σ_1 ≥ … ≥ σ_r > 0, c = σ_1/σ_r;
infinitely many samples. One local gradient step of length η a round: every method then steps along the
mean target's gradient, whatever the clients' W_i. Factors near a balanced solution, AᵀA = BBᵀ.
Exact result: FedAvg-LoRA's round multiplies its modes by 1 − 2ησ_k and 1 − 2η(σ_j + σ_k), two rounds of
RoLoRA by 1 − 2ησ_k and (1 − 2ησ_j)(1 − 2ησ_k). So for η ≤ 1/(2σ_1 + σ_r) FedAvg-LoRA is exactly twice as fast
a round, and equally fast per number sent; at best a round gives (2c − 1)/(2c + 1), and RoLoRA's two rounds
(c − 1)/(c + 1), which is less than FedAvg-LoRA's two by 2/((c + 1)(2c + 1)²). Algorithm 2, whose A is
orthonormal, has at best (c² − 1)/(c² + 1): more than FedAvg-LoRA's two rounds where 4c³ − 4c² − 1 > 0.
Clients that train to their optimum, rank 1, lengths ‖b_i*‖ that differ: FedAvg-LoRA's excess risk tends to
C/t², Algorithm 2's to g²|1 − κ|^{2t}. They cross at `t = −W₋₁(−λ√C/g)/λ`, λ = −log|1 − κ|; from there on
RoLoRA leads. Clients of equal length leave FedAvg-LoRA no excess after one round: it leads throughout.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float
from scipy.special import lambertw

from theory.clients_differ import fedavg_flow, heterogeneity
from theory.population import population_map
from verification.finding import ProofStep
from verification.proof.identities import (
    identity,
    nonnegative_on_box,
    positive,
    rational_identity,
    sized_identity,
)


def fedavg_ends(eta: Any, largest: Any, smallest: Any) -> tuple[Any, Any]:
    """The extreme factors of FedAvg-LoRA's round, 1 − 2ησ_r and 1 − 4ησ_1; r < max(d, p). Ours."""
    return 1 - 2 * eta * smallest, 1 - 4 * eta * largest


def rolora_ends(eta: Any, largest: Any, smallest: Any) -> tuple[Any, Any]:
    """The extreme factors of two of RoLoRA's rounds, 1 − 2ησ_r and 1 − 2ησ_1; r < max(d, p). Ours."""
    return 1 - 2 * eta * smallest, 1 - 2 * eta * largest


def fedavg_best_step(largest: Any, smallest: Any) -> Any:
    """The η of FedAvg-LoRA's best rate, 1/(2σ_1 + σ_r)."""
    return 1 / (2 * largest + smallest)


def rolora_best_step(largest: Any, smallest: Any) -> Any:
    """The η of RoLoRA's best rate, 1/(σ_1 + σ_r)."""
    return 1 / (largest + smallest)


def fedavg_best_rate(condition: Any) -> Any:
    """FedAvg-LoRA's best factor a round, (2c − 1)/(2c + 1)."""
    return (2 * condition - 1) / (2 * condition + 1)


def rolora_best_rate(condition: Any) -> Any:
    """RoLoRA's best factor in two rounds, (c − 1)/(c + 1)."""
    return (condition - 1) / (condition + 1)


def algorithm2_best_rate(condition: Any) -> Any:
    """Algorithm 2's best factor a round, two of RoLoRA's: (c² − 1)/(c² + 1). Source: theory.md §12."""
    return (condition**2 - 1) / (condition**2 + 1)


def rolora_lead(condition: Any) -> Any:
    """FedAvg-LoRA's best factor in two rounds less RoLoRA's, 2/((c + 1)(2c + 1)²) > 0. Ours."""
    return 2 / ((condition + 1) * (2 * condition + 1) ** 2)


def algorithm2_balance(condition: Any) -> Any:
    """Algorithm 2 is slower than FedAvg-LoRA, both at best, iff 4c³ − 4c² − 1 > 0: c > 1.1797. Ours."""
    return 4 * condition**3 - 4 * condition**2 - 1


def prefactor(tangent: float, kappa: float) -> float:
    """`lim tan θ_t/|1 − κ|^t` of the population map from tan θ = `tangent`. Ours.

    Raises:
        ValueError: unless 0 < κ < 2 and κ ≠ 1, where the angle falls like no power.
    """
    if not 0.0 < kappa < 2.0 or kappa == 1.0:
        raise ValueError(f"kappa must lie between 0 and 2 and not be 1, got {kappa}")
    t, scale = float(tangent), 1.0
    while t > 1e-9:
        t, scale = float(population_map.next_tangent(t, kappa)), scale / abs(1.0 - kappa)
    return t * scale


def crossing_round(decay: float, start: float, kappa: float) -> float:
    """Where C/t² and g²|1 − κ|^{2t} meet for the last time; 0 if the second is below throughout. Ours.

    Args:
        decay: C, `fedavg_flow.decay_constant` of the b_i*.
        start: g, ‖b̄*‖ times `prefactor`.
        kappa: Algorithm 2's step, between 0 and 2, not 1.
    """
    rate = -np.log(abs(1.0 - kappa))
    argument = -rate * np.sqrt(decay) / start
    if argument < -np.exp(-1.0):
        return 0.0
    return float(-lambertw(argument, -1).real / rate)


def excesses(
    targets: Float[np.ndarray, "N p"], tangent: float, kappa: float, rounds: int
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Excess risks after each round, exactly: FedAvg-LoRA's with local optima, and Algorithm 2's."""
    fedavg, _ = fedavg_flow.trajectory(targets, rounds)
    size, sines, t = float(np.linalg.norm(targets.mean(axis=0))), np.empty(rounds), float(tangent)
    for number in range(rounds):
        t = float(population_map.next_tangent(t, kappa))
        sines[number] = t / np.hypot(1.0, t)
    return fedavg, np.asarray(heterogeneity.excess(sines, size))


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """Linearised rounds for every size; best steps; what follows for the lead; the crossing.

    Args:
        stretch: multiplies FedAvg-LoRA's stated best rate; 1 for the true statement.
    """
    return (*_derive_blocks(), *_derive_modes(), *_derive_best(stretch), *_derive_crossing())


def _derive_blocks() -> list[ProofStep]:
    """Blocks of A = (S + εE; εF), B = (Sᵀ + εH, εG), W̄ = (SSᵀ, 0; 0, 0): AᵀA = SᵀS = BBᵀ at ε = 0."""
    r, j, k = sp.symbols("r j k", integer=True, positive=True)
    S, E, H = (sp.MatrixSymbol(name, r, r) for name in "SEH")
    F, G = sp.MatrixSymbol("F", j, r), sp.MatrixSymbol("G", r, k)
    e = sp.Symbol("epsilon", real=True)
    A, B = S + e * E, S.T + e * H
    d, p = sp.symbols("d p", integer=True, positive=True)
    wide, tall = sp.MatrixSymbol("A", d, r), sp.MatrixSymbol("B", r, p)
    V, W = sp.MatrixSymbol("V", d, p), sp.MatrixSymbol("W", d, p)
    share = sp.Symbol("share", real=True)
    return [
        sized_identity("any W_i and weights: gradients are affine in W_i, so the mean one is the mean "
            "target's; in A …", share * (wide * tall - V) * tall.T + (1 - share) * (wide * tall - W) * tall.T,
            (wide * tall - (share * V + (1 - share) * W)) * tall.T),
        sized_identity("… and in "
            "B", share * wide.T * (wide * tall - V) + (1 - share) * wide.T * (wide * tall - W),
            wide.T * (wide * tall - (share * V + (1 - share) * W))),
        sized_identity("every size: the residual within W̄'s spaces is ε(SH + ESᵀ) + O(ε²)",
            A * B - S * S.T, e * (S * H + E * S.T) + e**2 * E * H),
        sized_identity("the gradient of A's part outside is ε F SᵀS + O(ε²): F moves alone …",
            (e * F * B) * B.T + (e**2 * F * G) * (e * G).T,
            e * F * S.T * S + e**2 * (F * H * S + F * S.T * H.T) + e**3 * (F * H * H.T + F * G * G.T)),
        sized_identity("… and so does G: ε SᵀS G + O(ε²)",
            A.T * (e * A * G) + (e * F).T * (e**2 * F * G),
            e * S.T * S * G + e**2 * (E.T * S * G + S.T * E * G) + e**3 * (E.T * E * G + F.T * F * G)),
    ]  # fmt: skip


def _derive_modes() -> list[ProofStep]:
    """Entry by entry, SᵀS = SSᵀ = diag(σ): x of F or G, and R = √σ_j H + √σ_k E."""
    eta, own, other = sp.symbols("eta sigma_k sigma_j", positive=True)
    x, E, H, moved = sp.symbols("x E H moved", real=True)
    residual = sp.sqrt(other) * H + E * sp.sqrt(own)
    of_E, of_H = 2 * eta * residual * sp.sqrt(own), 2 * eta * residual * sp.sqrt(other)
    both = residual.subs({E: E - of_E, H: H - of_H}, simultaneous=True)
    first = residual.subs(H, moved)
    second = first.subs(E, E - 2 * eta * first * sp.sqrt(own))
    low, width, y, z = sp.symbols("low width y z", nonnegative=True)
    top, sigmas = low + width, 2 * low + width * (y + z)  # σ_1, and σ_j + σ_k
    slow, fast = fedavg_ends(eta, top, low)
    box = {low: (0, sp.oo), width: (0, sp.oo), y: (0, 1), z: (0, 1), eta: (0, sp.oo)}
    return [
        identity("an entry of F or G: a step multiplies it by 1 − 2ησ_k, in RoLoRA only in its factor's "
            "rounds",
            x - 2 * eta * x * own, (1 - 2 * eta * own) * x),
        identity("both factors at once: R is multiplied by 1 − 2η(σ_j + σ_k)",
            both, (1 - 2 * eta * (other + own)) * residual),
        identity("B, then A: R is multiplied by (1 − 2ησ_j)(1 − 2ησ_k)",
            second, (1 - 2 * eta * other) * (1 - 2 * eta * own) * residual, where={moved: H - of_H}),
        nonnegative_on_box("FedAvg-LoRA's factors lie between 1 − 4ησ_1 and 1 − 2ησ_r: from above …",
            slow - (1 - 2 * eta * sigmas), box),
        nonnegative_on_box("… and from below", (1 - 2 * eta * sigmas) - fast, box),
    ]  # fmt: skip


def _derive_best(stretch: Any) -> list[ProofStep]:
    eta, low, c = sp.symbols("eta sigma_r c", positive=True)
    top, above, kept = c * low, sp.Symbol("above", nonnegative=True), sp.Symbol("kept")
    less = sp.Symbol("less", positive=True)
    slow, fast = fedavg_ends(eta, top, low)
    first, last = rolora_ends(eta, top, low)
    at, there = {eta: fedavg_best_step(top, low)}, {eta: rolora_best_step(top, low)}
    best, other = stretch * fedavg_best_rate(c), rolora_best_rate(c)
    ratio = algorithm2_best_rate(c) - fedavg_best_rate(c) ** 2
    return [
        rational_identity("FedAvg-LoRA at η = 1/(2σ_1 + σ_r): its slowest factor is (2c − 1)/(2c + 1) …",
            slow, best, where=at),
        rational_identity("… and its fastest minus that", fast, -fedavg_best_rate(c), where=at),
        rational_identity("no η does better: for every η a weighted mean of 1 − 2ησ_r and 4ησ_1 − 1 is "
            "that rate",
            (2 * c * slow - fast) / (2 * c + 1), fedavg_best_rate(c)),
        rational_identity("RoLoRA at η = 1/(σ_1 + σ_r): (c − 1)/(c + 1) in two rounds "
            "…", first, other, where=there),
        rational_identity("… and minus that", last, -other, where=there),
        rational_identity("no η does better", (c * first - last) / (c + 1), other),
        rational_identity("two of FedAvg-LoRA's rounds keep the square of what two of RoLoRA's keep, 1 − "
            "2ησ_r: twice as fast a round, and as fast per number sent …", kept**2 / first, 1 - 2 * eta * low,
            where={kept: slow}),
        positive("… for every η < 1/(2σ_1 + σ_r): there the slowest factors decide, in FedAvg-LoRA and in "
            "RoLoRA",
            *(sum(ends).subs(eta, fedavg_best_step(top, low) / (1 + less))
              for ends in ((slow, fast), (first, last)))),
        rational_identity("both at best, in two rounds: FedAvg-LoRA's factor is larger by 2/((c + 1)(2c + "
            "1)²)",
            fedavg_best_rate(c) ** 2 - other, rolora_lead(c)),
        rational_identity("Algorithm 2's exceeds FedAvg-LoRA's two rounds by 2(4c³ − 4c² − 1)/((c² + 1)(2c "
            "+ 1)²)",
            ratio, 2 * algorithm2_balance(c) / ((c**2 + 1) * (2 * c + 1) ** 2)),
        positive("which is positive for c ≥ 1.18 …", algorithm2_balance(sp.Rational(118, 100) + above)),
        positive("… and negative for 1 ≤ c ≤ "
            "1.179", -algorithm2_balance(1 + sp.Rational(179, 1000) / (1 + above))),
    ]  # fmt: skip


def _derive_crossing() -> list[ProofStep]:
    lam, t, root, start = sp.symbols("lambda t root start", positive=True)
    w, x = sp.symbols("w x", negative=True)
    gap = sp.log(t) - lam * t  # half the logarithm of t²|1 − κ|^{2t}
    beyond = sp.Symbol("beyond", positive=True)
    return [
        identity("with w e^w = −λ√C/g, t = −w/λ: g t|1 − κ|^t = √C, so the two excesses meet there",
            start * t * sp.exp(-lam * t), -start * w * sp.exp(w) / lam, where={t: -w / lam}),
        identity("… at w = W(−λ√C/g)", -start * x / lam, root, where={x: -lam * root / start}),
        identity("log(t|1 − κ|^t) falls where t > 1/λ, which is w < −1, the branch W₋₁: slope 1/t − λ",
            sp.Derivative(gap, t), 1 / t - lam),
        positive("so RoLoRA's excess over FedAvg-LoRA's falls for ever from "
            "there", lam - 1 / (1 / lam + beyond)),
    ]  # fmt: skip

"""FedAvg-LoRA against RoLoRA: who is faster with one local step, who leads until when with local optima."""

from __future__ import annotations

from math import ceil, log
from typing import Any

import numpy as np

from federated_lora import Adapter, Factor, Shape, method_named
from linear_model.claims.other_methods.literal import Pair, server_round, to_the_optimum
from linear_model.methods.algorithm2 import orthonormalised
from theory.clients_differ import fedavg_flow
from theory.other_methods import who_wins
from verification.claim import OURS, claim
from verification.evidence import Evidence, between, exactly
from verification.finding import Mark, Plot, Series
from verification.verdict import Verdict

WIDTH, OUTPUTS, CLIENTS = 5, 4, 3
SMALL, ROUNDS, WINDOW = 1e-4, 60, 20
STEPS = (0.02, 0.002)
"""Small κ, where the crossing comes late and its corrections are small."""
START = 1.0
"""tan θ of the start."""


@claim(
    "fedavg-against-rolora",
    "FedAvg-LoRA against RoLoRA: rates, and the round of the last crossing",
    statement="One local step, balanced factors, c = σ_1/σ_r of the mean target: at equal η ≤ 1/(2σ_1 + σ_r) "
    "FedAvg-LoRA is exactly twice as fast a round and as fast per number sent; each at its best step, two "
    "rounds leave ((2c − 1)/(2c + 1))² and RoLoRA (c − 1)/(c + 1), less by 2/((c + 1)(2c + 1)²). Algorithm "
    "2 leaves (c² − 1)/(c² + 1), more than FedAvg-LoRA iff 4c³ − 4c² − 1 > 0. With local optima and ‖b_i*‖ "
    "that differ RoLoRA leads for ever from round −W₋₁(−λ√C/g)/λ on, up to a share that vanishes as the "
    "crossing comes late.",
    latex=r"\Bigl(\frac{2c-1}{2c+1}\Bigr)^2-\frac{c-1}{c+1}=\frac{2}{(c+1)(2c+1)^2};\quad "
    r"t_\times=-\frac1\lambda W_{-1}\Bigl(-\frac{\lambda\sqrt C}{g}\Bigr),\ \lambda=-\log|1-\kappa|",
    source=OURS,
    assumptions=(
        "population limit m → ∞, isotropic features",
        "rates: a mean target of rank r < max(d, p), AᵀA = BBᵀ at the solution, one local step",
        "crossing: rank 1, one a* for all clients, local optima by gradient flow from a unit a and b = 0, "
        "Cov(‖b_i*‖², b_i*) ≠ 0, κ < 2 and κ ≠ 1",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    control_at={"alone": True},
    says="a best rate of FedAvg-LoRA that is 2 % larger",
    exact="C = lim t²·excess of claim fedavg-heterogeneity, g = ‖b̄*‖ lim tan θ_t/|1 − κ|^t; the "
    "corrections are of relative order log t/t; below λ√C/g = 1/e there are two crossings, above it RoLoRA "
    "leads throughout",
    order=214,
)
def check(
    evidence: Evidence,
    *,
    condition: float = 2.0,
    kappa: float = 0.05,
    alone: bool = False,
    stretch: float = 1.0,
) -> None:
    """Derive rates and crossing; run the methods' own rules on literal clients.

    Args:
        condition: c = σ_1/σ_2 of the mean target.
        kappa: Algorithm 2's step where the crossing is looked for.
        alone: whether to leave out late crossings and the picture.
        stretch: multiplies FedAvg-LoRA's stated best rate; 1 for the true statement.
    """
    between(1.3, 4.0, condition=condition)
    between(0.02, 0.15, kappa=kappa)
    _rates(evidence, condition, stretch)
    targets = crossing_targets(evidence)
    _literal_crossing(evidence, targets, kappa)
    if not alone:
        _late_crossings(evidence, targets)
    evidence.steps(*who_wins.derive(exactly(stretch)))
    evidence.argued(
        "near the solution the rounds are as fast as their linear parts",
        because="a round is a smooth map; where its linear part shrinks every direction but those that "
        "leave the product as it is, the product's error falls at the linear part's rate (Ostrowski)",
    )
    evidence.argued(
        "the excesses tend to C/t² and g²|1 − κ|^{2t}",
        because="claims fedavg-heterogeneity and population-map: the factor of tan θ differs from |1 − κ| "
        "by a term of order tan²θ, whose product over the rounds converges",
    )
    evidence.method(
        "SymPy: linearised rounds in matrix symbols of any size; beside it clients one by one through the "
        "methods' own server steps, and two exact recursions to late rounds"
    )
    evidence.table([] if alone else _rows(targets, kappa), _plot(kappa))


def _rates(evidence: Evidence, condition: float, stretch: float) -> None:
    largest, smallest = condition, 1.0
    best = (
        who_wins.fedavg_best_step(largest, smallest),
        who_wins.rolora_best_step(largest, smallest),
    )
    small = 0.3 * best[0]
    slow, _ = who_wins.fedavg_ends(small, largest, smallest)
    _, fast = who_wins.fedavg_ends(1.1 * best[0], largest, smallest)
    other, _ = who_wins.rolora_ends(small, largest, smallest)
    fedavg, rolora = who_wins.fedavg_best_rate(condition), who_wins.rolora_best_rate(condition)
    why = "what is of second order in a start 1e-4 off the solution"
    for words, name, eta, stated in (
        (f"FedAvg-LoRA's factor in two rounds at its best step, c = {condition:g}", "fedavg", best[0],
            (stretch * fedavg) ** 2),
        ("RoLoRA's at its own best step", "rolora", best[1], rolora),
        ("FedAvg-LoRA's at three tenths of its best step", "fedavg", small, slow**2),
        ("RoLoRA's at the same step", "rolora", small, other),
        ("FedAvg-LoRA's at 1.1 of its best step", "fedavg", 1.1 * best[0], fast**2),
    ):  # fmt: skip
        seen = _factor(evidence, name, eta, condition)
        evidence.equal(words, stated, seen, rounding=1e-5, why=why)
        if eta == best[1]:
            lead = who_wins.fedavg_best_rate(condition) ** 2 - seen
            words = "FedAvg-LoRA's best factor in two rounds less RoLoRA's as measured"
            evidence.equal(words, who_wins.rolora_lead(condition), lead, rounding=1e-5, why=why)
    orthonormal = _factor(evidence, "algorithm2", 1.0 / (largest**2 + smallest**2), condition)
    words = "Algorithm 2's factor a round, which is two of RoLoRA's, at its best step"
    stated = who_wins.algorithm2_best_rate(condition)
    evidence.equal(words, stated, orthonormal, rounding=1e-5, why=why)
    shape = [Shape(WIDTH, 2, OUTPUTS)]
    two = [method_named("rolora").traffic(shape, t).total for t in (1, 2)]
    one = method_named("fedavg").traffic(shape, 1).total
    evidence.equal(
        "numbers sent: two of RoLoRA's rounds over one of FedAvg-LoRA's", 1.0, sum(two) / one
    )


def _factor(evidence: Evidence, name: str, eta: float, condition: float) -> float:
    """Factor of the product's error in two rounds, one of Algorithm 2, near the solution; literal clients."""
    rng = evidence.rng("targets")
    roots = np.sqrt([condition, 1.0])
    mean = np.zeros((WIDTH, OUTPUTS))
    mean[:2, :2] = np.diag(roots**2)
    apart = rng.standard_normal((CLIENTS, WIDTH, OUTPUTS))
    targets = mean + apart - apart.mean(axis=0)
    A, B = np.eye(WIDTH, 2) * roots, np.eye(2, OUTPUTS) * roots[:, None]
    # The slowest modes, and FedAvg-LoRA's fastest; none that changes the balance of the factors.
    A[2:, 1], B[1, 2:] = SMALL, SMALL
    if name == "fedavg":
        A[0, 0], B[0, 0] = roots[0] + SMALL, roots[0] + SMALL
    if name == "algorithm2":
        A = orthonormalised(A)
    errors = []

    def train(a: np.ndarray, b: np.ndarray, W: np.ndarray) -> Pair:
        gap = a @ b - W
        return a - 2.0 * eta * gap @ b.T, b - 2.0 * eta * a.T @ gap

    def fit(a: np.ndarray, b: np.ndarray, W: np.ndarray) -> Pair:
        return a - 2.0 * eta * (a @ b - W) @ b.T, np.linalg.lstsq(a, W, rcond=None)[0]

    for number in range(1, ROUNDS + 1):
        rule, local = ("rolora", fit) if name == "algorithm2" else (name, train)
        made = server_round(rule, Adapter(A, B), targets, local, number).adapter
        A, B = made.A, made.B
        if name == "algorithm2" and number % 2 == 0:
            A = orthonormalised(A)
            fitted = server_round(rule, Adapter(A, B), targets, local, 1).adapter
            errors.append(float(np.linalg.norm(A @ fitted.B - mean)))
        elif number % 2 == 0:
            errors.append(float(np.linalg.norm(A @ B - mean)))
    last = max(i for i, error in enumerate(errors) if error > 1e-10)
    first = last - min(WINDOW // 2, last // 2)
    return (errors[last] / errors[first]) ** (1.0 / (last - first))


def crossing_targets(evidence: Evidence) -> np.ndarray:
    """b_i* of lengths from 0.8 to 1.8, shape (N, 2)."""
    angles = evidence.rng("directions").uniform(-0.5, 0.5, CLIENTS)
    lengths = np.linspace(0.8, 1.8, CLIENTS)
    return np.asarray(lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _literal_crossing(evidence: Evidence, targets: np.ndarray, kappa: float) -> None:
    """Both methods by literal rounds, against the two recursions, up to twice the stated crossing."""
    stated = _stated_crossing(targets, kappa)
    rounds = ceil(1.6 * stated) + 8
    found = who_wins.excesses(targets, START, kappa, rounds)
    seen = literal_excesses(targets, kappa, rounds)
    for name, recursion, literal in zip(("FedAvg-LoRA", "Algorithm 2"), found, seen, strict=True):
        gap = float(np.max(np.abs(np.sqrt(literal) - np.sqrt(recursion))))
        evidence.equal(f"largest gap of the root of {name}'s excess risk to its recursion, {rounds} "
            f"rounds", 0.0,
            gap, rounding=1e-10, why="rounding")  # fmt: skip
    crossed = [_crossing(*both) for both in (found, seen)]
    evidence.equal(f"round from which RoLoRA leads, κ = {kappa:g}: literal rounds, and the recursions",
        crossed[0], crossed[1])  # fmt: skip
    size = who_wins.prefactor(START, kappa) * float(np.linalg.norm(targets.mean(axis=0)))
    last = seen[1][-1] / (size**2 * abs(1.0 - kappa) ** (2 * rounds))
    evidence.equal(f"Algorithm 2's excess risk over g²|1 − κ|^(2t), t = {rounds}", 1.0, last, rounding=1e-5,
        why="corrections of the order of tan²θ")  # fmt: skip
    root = size * stated * abs(1.0 - kappa) ** stated / np.sqrt(fedavg_flow.decay_constant(targets))
    evidence.equal(f"g t|1 − κ|^t/√C at the stated crossing, κ = {kappa:g}", 1.0, root, rounding=1e-10,
        why="rounding of W₋₁")  # fmt: skip


def _late_crossings(evidence: Evidence, targets: np.ndarray) -> None:
    """Actual and stated crossing: as far apart as the excesses are off their limits there, and no farther."""
    off = []
    for kappa in STEPS:
        stated = _stated_crossing(targets, kappa)
        found = who_wins.excesses(targets, START, kappa, ceil(1.3 * stated))
        actual, rate = _crossing(*found), -log(abs(1.0 - kappa))
        off.append(max(abs(_off_limits(targets, kappa, t, *found)) for t in (actual - 1, actual)))
        slope = rate - 1.0 / min(stated, actual - 1.0)
        evidence.equal(
            f"round from which RoLoRA leads, κ = {kappa:g}", stated, actual, rounding=1.0 + off[-1] / slope,
            why="whole rounds, and how far the two excesses are off their limits there, over the least slope "
            "λ − 1/t of the limits' ratio (mean value theorem)",
        )  # fmt: skip
    words = "how far the excesses are off their limits at the later crossing, over the same at the earlier"
    evidence.at_most(
        words, 0.25, off[1] / off[0], why="of order log t/t, which falls to a ninth or so"
    )


def _off_limits(
    targets: np.ndarray, kappa: float, t: int, fedavg: np.ndarray, rolora: np.ndarray
) -> float:
    """Log of FedAvg-LoRA's root excess over √C/t, less that of Algorithm 2's over g|1 − κ|^t."""
    size = float(np.linalg.norm(targets.mean(axis=0))) * who_wins.prefactor(START, kappa)
    limits = fedavg_flow.decay_constant(targets) / t**2, size**2 * abs(1.0 - kappa) ** (2 * t)
    return 0.5 * (log(fedavg[t - 1] / limits[0]) - log(rolora[t - 1] / limits[1]))


def _stated_crossing(targets: np.ndarray, kappa: float) -> float:
    size = float(np.linalg.norm(targets.mean(axis=0))) * who_wins.prefactor(START, kappa)
    return who_wins.crossing_round(fedavg_flow.decay_constant(targets), size, kappa)


def _crossing(fedavg: np.ndarray, rolora: np.ndarray) -> int:
    """First round of those at the end in which RoLoRA's excess is the smaller."""
    behind = np.flatnonzero(fedavg <= rolora)
    return int(behind[-1]) + 2 if behind.size else 1


def literal_excesses(
    targets: np.ndarray, kappa: float, rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Excess risk after each round of literal clients: FedAvg-LoRA with local optima, and Algorithm 2."""
    centre, truth = targets.mean(axis=0), np.eye(3, 1)
    goals, best = truth * targets[:, None, :], truth * centre
    eta = kappa / (2.0 * float(centre @ centre))
    begun = np.array([[1.0], [START], [0.0]]) / np.hypot(1.0, START)

    def flow(a: np.ndarray, b: np.ndarray, W: np.ndarray) -> Pair:
        """The end of gradient flow, which conserves ‖a‖² − ‖b‖²."""
        kept = float(np.sum(a**2) - np.sum(b**2))
        a, b = to_the_optimum(a, b, W)
        length = float(np.linalg.norm(a) * np.linalg.norm(b))
        scale = np.sqrt((kept + np.sqrt(kept**2 + 4.0 * length**2)) / 2.0) / np.linalg.norm(a)
        return a * scale, b / scale

    def step(a: np.ndarray, b: np.ndarray, W: np.ndarray) -> Pair:
        return a - 2.0 * eta * (a @ b - W) @ b.T, np.linalg.lstsq(a, W, rcond=None)[0]

    fedavg, rolora = [], []
    both, held = Adapter(begun, np.zeros((1, 2))), Adapter(begun, np.zeros((1, 2)))
    held = server_round("rolora", held, goals, step, 1).adapter
    for _ in range(rounds):
        both = server_round("fedavg", both, goals, flow).adapter
        fedavg.append(float(np.square(both.delta() - best).sum()))
        moved = server_round("rolora", held, goals, step, 2).adapter
        moved = moved.with_factor(Factor.A, orthonormalised(moved.A))
        held = server_round("rolora", moved, goals, step, 3).adapter
        rolora.append(float(np.square(held.delta() - best).sum()))
    return np.array(fedavg), np.array(rolora)


def _rows(targets: np.ndarray, kappa: float) -> list[dict[str, Any]]:
    stated = _stated_crossing(targets, kappa)
    fedavg, rolora = who_wins.excesses(targets, START, kappa, ceil(1.6 * stated))
    constant = fedavg_flow.decay_constant(targets)
    size = float(np.linalg.norm(targets.mean(axis=0))) * who_wins.prefactor(START, kappa)
    return [
        {
            "round": t, "fedavg": float(fedavg[t - 1]), "rolora": float(rolora[t - 1]),
            "fedavg limit": constant / t**2, "rolora limit": size**2 * abs(1.0 - kappa) ** (2 * t),
            "crossing": stated,
        }
        for t in sorted({round(x) for x in np.geomspace(1, fedavg.size, 60)})
    ]  # fmt: skip


def _plot(kappa: float) -> Plot:
    return Plot(
        x="round",
        series=(
            Series("fedavg", "FedAvg-LoRA, local optima", Mark.POINTS),
            Series("fedavg limit", "C/t²", Mark.DASHED),
            Series("rolora", "RoLoRA", Mark.POINTS),
            Series("rolora limit", "g²|1 − κ|^{2t}", Mark.LINE),
        ),
        xlabel="round t, RoLoRA's of both factors",
        ylabel="excess risk over the best shared model",
        caption=f"Three clients with different b_i*, κ = {kappa:g}. FedAvg-LoRA leads at first, and its "
        f"excess falls like 1/t²; RoLoRA's falls geometrically and is the smaller from the crossing of the "
        f"two lines on.",
        xlog=True,
        ylog=True,
    )

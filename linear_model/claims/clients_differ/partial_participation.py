"""Only n of N clients a round: the angle goes to 0 all the same, b̄ keeps a floor (theory.md §10)."""

from __future__ import annotations

from itertools import combinations
from math import ceil, comb, log

import numpy as np

from linear_model.claims.literal import Literal, in_blocks, near, tangents
from theory.clients_differ import heterogeneity_floor
from theory.clients_differ import partial_participation as theory
from theory.population import population_map
from theory.samples import mean_square_rate as rate
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly

LENGTH = 1.5
"""‖b̄*‖."""
SMALL = 1e-6
"""tan θ at the start of the runs without sampling: corrections are of its square."""
ROUNDS = 40
DRAWN = (6, 10, 0.8)
"""(d, m, κ) of the runs on drawn samples."""
SPREAD = 1e-3
"""Spread of the b_i* there over B."""
AVERAGED = 12


def targets_of(evidence: Evidence, clients: int, spread: float) -> np.ndarray:
    """The b_i* (N, 3) about a mean of length `LENGTH`."""
    shifts = evidence.rng("targets", clients).uniform(-1.0, 1.0, (clients, 3))
    shifts -= shifts.mean(axis=0)
    shifts *= spread / np.sqrt(np.square(shifts).sum(axis=1).mean())
    return np.asarray(LENGTH * (np.array([0.6, 0.8, 0.0]) + shifts))


def drawn_sets(rng: np.random.Generator, trials: int, clients: int, taking_part: int) -> np.ndarray:
    """Who takes part, without replacement: (trials, n)."""
    return np.argsort(rng.random((trials, clients)), axis=1)[:, :taking_part]


def population_round(
    a: np.ndarray, b: np.ndarray, who: np.ndarray, eta: float
) -> tuple[np.ndarray, np.ndarray]:
    """One round without sampling noise, participant by participant: a (T, d) normalised, and b̄ (T, p)."""
    n = who.shape[1]
    fits = np.mean([a[:, :1] * b[who[:, k]] for k in range(n)], axis=0)
    gradient = np.zeros_like(a)
    for k in range(n):
        gradient += 2.0 * a * np.square(fits).sum(axis=1, keepdims=True) / n
        gradient[:, 0] -= 2.0 * (b[who[:, k]] * fits).sum(axis=1) / n
    moved = a - eta * gradient
    return moved / np.linalg.norm(moved, axis=1, keepdims=True), fits


@claim(
    "partial-participation",
    "Some of the clients a round: no floor of the angle, one of b̄",
    statement="With n of N clients a round, drawn without replacement, and one a*, RoLoRA's angle goes to 0: "
    "almost surely by exp E log|1 − κ_S| a round, in mean square by E(1 − κ_S)², κ_S = 2η‖b̄_S‖² of the set "
    "S. The last b̄ alone keeps an excess risk of (N − n)/(n(N − 1)) V, V = mean‖b_i* − b̄*‖².",
    latex=r"\kappa_S=2\eta\|\bar b_S\|^2,\quad \tfrac1t\log\tan\theta_t\to\mathbb E\log|1-\kappa_S|,\quad "
    r"\mathbb E\,\|\bar b_S-\bar b^*\|^2=\frac{N-n}{n(N-1)}\,V",
    source=OURS,
    assumptions=(
        "rank 1, one a* shared by the clients",
        "no label noise",
        "the same participants in both half-steps of a round, drawn without replacement",
        "population limit m → ∞; for the floor at finite m fresh samples, m > 2 and small spread",
        "0 < κ_S < 2 for every set, or a rate below 1 and a small angle; a small angle for the mean square",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    control_at={"alone": True},
    says="a share (N − n)/(n(N − 1)) 2 % larger",
    exact="E κ_S = κ + 2η(N − n)/(n(N − 1))V; with m samples the floor of claim heterogeneous-samples with n "
    "clients and N(n − 1)/(n(N − 1)) of τ²: none at n = 1",
    order=195,
)
def check(
    evidence: Evidence,
    *,
    clients: int = 6,
    taking_part: int = 2,
    spread: float = 0.6,
    kappa: float = 0.6,
    alone: bool = False,
    stretch: float = 1.0,
) -> None:
    """Derive the shares; measure rates and excess without sampling noise, and the floor on drawn samples.

    Args:
        clients: N.
        taking_part: n.
        spread: root mean square of ‖b_i* − b̄*‖ over ‖b̄*‖.
        kappa: step 2η‖b̄*‖².
        alone: whether to leave out the runs on drawn samples.
        stretch: multiplies the share of spread that b̄ keeps; 1 for the true statement.
    """
    between(2, 20, clients=clients)
    between(1, clients - 1, taking_part=taking_part)
    between(0.1, 1.0, spread=spread)
    between(0.1, 0.9, kappa=kappa)
    b, eta = targets_of(evidence, clients, spread), kappa / (2.0 * LENGTH**2)
    words = f"N = {clients}, n = {taking_part}, κ = {kappa:g}, spread {spread:g}"
    trials = evidence.pick(12_000, 24_000)
    logs, steps, excess, curve = _runs(evidence, b, taking_part, eta, trials)
    V = float(np.square(b - b.mean(axis=0)).sum(axis=1).mean())
    share = stretch * theory.missing_share(clients, taking_part)
    evidence.mean(f"excess risk of late rounds over V, {words}", excess / V, equals=share)
    log_rate = theory.log_rate(b, taking_part, eta)
    evidence.mean(f"log of the angle's change a round, {words}", logs, equals=log_rate)
    first = theory.mean_step(kappa, V, LENGTH, clients, taking_part)
    evidence.mean(f"E κ_S, {words}", steps[:, 0], equals=first)
    square = theory.mean_square_rate(b, taking_part, eta)
    words_square = f"E(tan θ⁺/tan θ)² of a round, {words}"
    evidence.mean(words_square, steps[:, 1], equals=square)
    evidence.equal(
        f"the same by the {comb(clients, taking_part)} sets one by one",
        square,
        _one_by_one(b, taking_part, eta),
        rounding=1e-12,
        why="rounding",
    )
    if not alone:
        _floor(evidence, clients, taking_part, evidence.pick(18_000, 60_000))
    evidence.precise()
    evidence.steps(*theory.derive(exactly(stretch)))
    for statement, because in theory.ARGUED:
        evidence.argued(statement, because=because)
    evidence.method(
        "SymPy: sums over sets of participants for any N and n; beside it literal rounds, participant by "
        f"participant, {trials:,} runs of {ROUNDS} rounds without sampling noise, and runs on drawn samples"
    )
    rows = [
        {
            "round": t,
            "angle": tangent,
            "theory": SMALL * float(np.exp(log_rate * t)),
            "square": root,
        }
        | {"mean square": SMALL * square ** (t / 2)}
        for t, (tangent, root) in enumerate(curve)
    ]
    evidence.table(rows, PLOT)


PLOT = Plot(
    x="round",
    series=(
        Series("angle", "geometric mean over runs", Mark.POINTS),
        Series("theory", "exp(t E log|1 − κ_S|)", Mark.LINE),
        Series("square", "root mean square over runs", Mark.POINTS),
        Series("mean square", "(E(1 − κ_S)²)^(t/2)", Mark.DASHED),
    ),
    xlabel="round",
    ylabel="tan θ",
    caption="Some of the clients in each round, without sampling noise. The angle falls to zero; a typical "
    "run faster than the mean square, which the rare runs of short steps carry, so that after many rounds "
    "the points of finitely many runs lie below its line.",
    ylog=True,
)


def _runs(
    evidence: Evidence, b: np.ndarray, taking_part: int, eta: float, trials: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[float, float]]]:
    """Per run: mean log change; mean κ_S and squared change; mean excess of the later half; a curve."""
    rng, d, centre = evidence.rng("population"), 5, b.mean(axis=0)
    T = rng.standard_normal((trials, d - 1, 1))
    a = near(SMALL * T / np.linalg.norm(T, axis=1, keepdims=True))[..., 0]
    excess, steps = np.zeros(trials), np.zeros((trials, 2))
    curve = [(SMALL, SMALL)]
    tangent = np.full(trials, SMALL)
    for number in range(ROUNDS):
        before = a
        a, fits = population_round(a, b, drawn_sets(rng, trials, len(b), taking_part), eta)
        steps[:, 0] += 2.0 * eta * np.square(fits).sum(axis=1) / ROUNDS
        if number >= ROUNDS // 2:
            gap = before[:, :, None] * fits[:, None, :]
            gap[:, 0] -= centre
            excess += np.square(gap).sum(axis=(1, 2)) / (ROUNDS - ROUNDS // 2)
        after = np.linalg.norm(a[:, 1:], axis=1) / np.abs(a[:, 0])
        steps[:, 1] += np.square(after / tangent) / ROUNDS
        tangent = after
        root = float(np.sqrt(np.mean(np.square(tangent))))
        curve.append((float(np.exp(np.mean(np.log(tangent)))), root))
    return np.log(tangent / SMALL) / ROUNDS, steps, excess, curve


def _one_by_one(b: np.ndarray, taking_part: int, eta: float) -> float:
    """E (tan θ⁺/tan θ)² at θ → 0 by the map of every set."""
    sets = np.array(list(combinations(range(len(b)), taking_part)))
    kappas = 2.0 * eta * np.square(b[sets].mean(axis=1)).sum(axis=1)
    small = 1e-9
    return float(np.mean(np.square(population_map.next_tangent(small, kappas) / small)))


def _floor(evidence: Evidence, clients: int, taking_part: int, trials: int) -> None:
    """Stationary E s² on drawn samples at small spread, with at least two clients a round."""
    n, (d, samples, kappa) = max(taking_part, 2), DRAWN
    b, eta = targets_of(evidence, clients, SPREAD), kappa / (2.0 * LENGTH**2)
    W = np.eye(d)[None, :, :1] * b[:, None, :]
    along, _, _ = heterogeneity_floor.spreads(W)
    stated = theory.floor(kappa, along, d, clients, samples, n)
    kept = float(rate.rate_squared(kappa, rate.noise_ratio(d, n, samples)))
    burn_in = max(4, ceil(log(1e-4) / log(kept)))

    def run(count: int, rng: np.random.Generator) -> np.ndarray:
        A = near(np.sqrt(stated / (d - 1)) * rng.standard_normal((count, d - 1, 1)))
        seen = np.zeros(count)
        for number in range(burn_in + AVERAGED):
            who = drawn_sets(rng, count, clients, n)
            A, _ = Literal([W[who[:, k]] for k in range(n)], samples).round(A, eta, rng)
            if number >= burn_in:
                seen += np.square(tangents(A)).sum(axis=(1, 2)) / AVERAGED
        return seen

    squares = in_blocks(evidence, trials, run, "floor") / SPREAD**2
    words = f"E s²_∞ over the squared spread on drawn samples, N = {clients}, n = {n}, d = {d}, m = {samples}"
    evidence.mean(words, squares, equals=stated / SPREAD**2)

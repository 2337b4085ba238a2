"""With fixed data the local rate is the spectral radius of one matrix (theory.md §7)."""

from typing import Any

import numpy as np

from linear_model.claims.samples.given_data import GivenData, SameEveryRound
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.methods.base import State
from linear_model.problem import Data, Problem
from linear_model.simulation import simulate
from theory.samples import fixed_data
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import exactly

START = 1e-2
END = 1e-11
"""Angles are good to 1e-16, so a ratio taken here is good to 1e-5 and its tenth root better."""
WINDOW = 0.2
"""Last part of the rounds over which the rate is measured."""
CONTAMINATION = 1e-6
"""Instances whose second eigenvalue would still show more than this are left out."""
CURVED = 1e-5
"""A window begins at an angle below this share of the rate: the squares of angles weigh no more."""
MOST_ROUNDS = 500
AGREEMENT = 1e-4
SETTINGS = (
    (Problem(d=8, clients=5, samples=12, B_star=np.array([2.0]), data=Data.FIXED), 1.2),
    (Problem(d=4, clients=1, samples=40, B_star=np.array([0.5, 0.2, 1.0]), data=Data.FIXED), 0.8),
)
"""Problems and steps κ beside the user's own."""

Rows = list[dict[str, Any]]


@claim(
    "fixed-data-rate",
    "Fixed data: the rate is a spectral radius",
    statement="On fixed data, a round multiplies a small tangent vector by J = P(I − κḠ(I − a*gᵀ))P, "
    "g = mean_i G_i a*/(a*ᵀG_i a*): in the long run small angles shrink by its spectral radius per round.",
    latex=r"J=P\bigl(I-\kappa\bar G(I-a^{*}g^{\top})\bigr)P,\quad g=\frac1N\sum_i"
    r"\frac{G_ia^*}{a^{*\top}G_ia^*},\quad \text{rate}=\rho(J)",
    source=OURS,
    assumptions=(
        "rank 1",
        "the same samples in every round and both half-steps",
        "homogeneous clients",
        "no label noise",
        "small angles",
    ),
    expected=Verdict.DERIVED,
    mutant={"answered": 0.95},
    says="J with 95 % of a*gᵀ, as if the b-step answered a change of the angle 5 % too weakly",
    order=150,
)
def check(
    evidence: Evidence,
    *,
    d: int = 5,
    clients: int = 3,
    samples: int = 20,
    kappa: float = 0.8,
    answered: float = 1.0,
) -> None:
    """Derive J, then compare it with the simulator's own Jacobian and with long runs.

    Args:
        d: width.
        clients: N.
        samples: m, at least 10.
        kappa: step size.
        answered: share of the b-step's answer a*gᵀ that J has; 1 for the true statement.
    """
    between(2, 50, d=d)
    between(1, 100, clients=clients)
    between(10, 1_000, samples=samples)
    between(0.1, 2.0, kappa=kappa)
    target = np.array([1.0, -1.0])
    own = Problem(d=d, clients=clients, samples=samples, B_star=target, data=Data.FIXED)
    rows: Rows = []
    curves: Rows = []
    for place, (problem, step) in enumerate(((own, kappa), *SETTINGS)):
        _compare(evidence, place, problem, step, answered, rows, curves)
    evidence.steps(*fixed_data.derive(exactly(answered)))
    evidence.argued(
        "in the long run the angle falls by the spectral radius of J per round, if that is below 1",
        because="the round is differentiable at a* with derivative J, and the norm of a power J^t grows like "
        "the t-th power of the spectral radius (Gelfand); a start without a part along the leading "
        "eigenvectors, a set of measure zero to first order, falls faster",
    )
    evidence.record(trials=len(rows))
    evidence.method(
        "SymPy: J is the derivative of the literal round; beside it the Jacobian of the simulator by "
        f"differences and the asymptotic rate of {len(rows)} runs on the same data"
    )
    evidence.note(
        "Runs are measured where the angle is small and the share of the second eigenvalue has fallen below "
        f"{CONTAMINATION:g} before the measuring window, and above {END:g}, where its rounding would show;"
        " the Jacobian is compared on every data set."
    )
    evidence.table(curves, PLOT)
    evidence.extra_table("rates", rows)


PLOT = Plot(
    x="round",
    series=(
        Series("measured", "RoLoRA on fixed data", Mark.POINTS),
        Series("theory", "slope: spectral radius of J", Mark.LINE),
    ),
    xlabel="round",
    ylabel="angle distance sin θ",
    caption="One data set per setting, the same samples in every round. The line has the stated "
    "slope and passes through the last point. Early points lie off it: the angle is not yet "
    "small and the faster eigenvalues of J are still there.",
    group="cell",
    ylog=True,
)


def _compare(
    evidence: Evidence,
    place: int,
    problem: Problem,
    kappa: float,
    answered: float,
    rows: Rows,
    curves: Rows,
) -> None:
    """One setting's data sets: the rate of long runs where they show it, and every Jacobian."""
    instances = evidence.pick(24, 120)
    label = f"d = {problem.d}, N = {problem.clients}, m = {problem.samples}, κ = {kappa}"
    shape = (instances, problem.clients, problem.samples, problem.d)
    X = evidence.rng(place).standard_normal(shape)
    grams = np.swapaxes(X, -1, -2) @ X / problem.samples
    a_star = problem.A_star[:, 0]
    stated = np.array([fixed_data.local_rate(g, a_star, kappa, answered) for g in grams])
    gap = max(
        float(np.max(np.abs(fixed_data.round_jacobian(g, a_star, kappa, answered) - measured)))
        for g, measured in zip(grams, simulated_jacobians(problem, X, kappa), strict=True)
    )
    rounds = np.array([_rounds(rate) for rate in stated])
    second = np.array([_contamination(g, a_star, kappa) for g in grams])
    usable = second ** ((1 - WINDOW) * rounds) < CONTAMINATION
    usable &= (stated < 1.0) & (rounds <= MOST_ROUNDS)
    if usable.any():
        run = simulate(
            problem,
            Algorithm2(kappa=kappa),
            simulator=GivenData(X[usable]),
            rounds=int(rounds[usable].max()),
            trials=int(usable.sum()),
            start=START,
            **evidence.stream(place),
        )
        ends = _ends(run.angle, rounds[usable])
        late = _late(run.angle, ends, stated[usable], second[usable])
        usable[usable] = late
        theory, ends, angle = stated[usable], ends[late], run.angle[late]
    if usable.any():
        measured = _measured_rates(angle, ends)
        worst = int(np.argmax(np.abs(measured / theory - 1.0)))
        words = f"asymptotic rate, worst of {usable.sum()} data sets, {label}"
        why = "the angle's rounding and what is left of the second eigenvalue"
        rounding = AGREEMENT * float(theory[worst])
        evidence.equal(words, theory[worst], measured[worst], rounding=rounding, why=why)
        rows += [
            {"cell": label, "theory": float(t), "measured": float(m)}
            for t, m in zip(theory, measured, strict=True)
        ]
        curves += _trajectory(label, angle[0], int(ends[0]), float(theory[0]))
    words = (
        f"largest gap between J and the simulator's own Jacobian, {instances} data sets, {label}"
    )
    why = "central differences with steps of 1e-5: h² times third derivatives"
    evidence.equal(words, 0.0, gap, rounding=1e-7, why=why)


def _trajectory(label: str, angle: np.ndarray, rounds: int, rate: float) -> Rows:
    """A run beside the line of the stated slope through its last point."""
    anchor = angle[rounds] / rate**rounds
    return [
        {"cell": label, "round": t, "measured": float(angle[t]), "theory": float(anchor * rate**t)}
        for t in range(rounds + 1)
    ]


def simulated_jacobians(
    problem: Problem, X: np.ndarray, kappa: float, step: float = 1e-5
) -> np.ndarray:
    """Jacobian of one round of the simulator at a*, by central differences of the tangent vector.

    On samples X (T, N, m, d), rank 1: (T, d, d), acting on the complement of a*.
    """
    trials, d = X.shape[0], problem.d
    a_star = problem.A_star[:, 0]
    project = np.eye(d) - np.outer(a_star, a_star)
    method = Algorithm2(kappa=kappa)
    samples = SameEveryRound(problem, X)
    columns = []
    for direction in project:
        ends = []
        for sign in (1.0, -1.0):
            a = a_star + sign * step * direction
            A = np.broadcast_to((a / np.linalg.norm(a))[:, None], (trials, d, 1))
            state = State(A, np.zeros((trials, 1, problem.outputs)), np.zeros(trials))
            moved = method.round(state, samples, 1, method.step(problem)).A[..., 0]
            ends.append(moved @ project / (moved @ a_star)[:, None])
        columns.append((ends[0] - ends[1]) / (2.0 * step))
    return np.stack(columns, axis=-1)


def _contamination(grams: np.ndarray, a_star: np.ndarray, kappa: float) -> float:
    """|λ_2/λ_1| of J; 1 for a complex leading pair."""
    sizes = np.sort(np.abs(np.linalg.eigvals(fixed_data.round_jacobian(grams, a_star, kappa))))
    return float(sizes[-2] / sizes[-1])


def _rounds(rate: float) -> int:
    """Rounds from START to END at this rate."""
    if not 0.0 < rate < 1.0:
        return MOST_ROUNDS + 1
    return int(np.log(END / START) / np.log(rate))


def _ends(angle: np.ndarray, rounds: np.ndarray) -> np.ndarray:
    """Each trial's last round, at most `rounds`, whose angle is not below END, where rounding shows."""
    small = np.append(angle, np.zeros((len(angle), 1)), axis=1) < END
    return np.minimum(rounds, small.argmax(axis=1) - 1)


def _late(angle: np.ndarray, ends: np.ndarray, rate: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether a trial is linear, and free of the second eigenvalue, when its measuring window begins."""
    trial, window = np.arange(ends.size), _windows(ends)
    begin = np.maximum(ends - window, 0)
    # A start with little along the leading eigenvector is the later free of the others.
    leading = angle[trial, ends] / (START * rate**ends)
    return np.asarray(
        (ends > window)
        & (second**begin < CONTAMINATION * leading)
        & (angle[trial, begin] < CURVED * rate)
    )


def _windows(ends: np.ndarray) -> np.ndarray:
    return np.maximum((WINDOW * ends).astype(int), 1)


def _measured_rates(angle: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Geometric mean factor per round over the last part of each trial's own rounds."""
    trial, window = np.arange(angle.shape[0]), _windows(ends)
    return np.asarray((angle[trial, ends] / angle[trial, ends - window]) ** (1.0 / window))

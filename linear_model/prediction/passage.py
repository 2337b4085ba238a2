"""How many rounds until the error is at most ε: the first such round of many runs of the chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf, isfinite, log, log1p, sqrt

import numpy as np

from linear_model.prediction.chain import step
from linear_model.prediction.law import Law, Sums, Supply
from linear_model.prediction.setting import Setting
from verification.streams import generator

LONGEST, LONGEST_ASTRAY = 4_000, 500
"""Rounds that are simulated at most, and where nothing says that runs get there."""
ASTRAY_WORK = 10_000
"""Rounds of one trial there, times their work, but for the first 60."""
WORK = 300_000
"""Trial-rounds of one chain, about: a quarter of a second."""
MOST_TRIALS, FEWEST_TRIALS = 2_001, 101
QUANTILES = {"median": 0.5, "low": 0.05, "high": 0.95}


@dataclass(frozen=True, slots=True)
class Rounds:
    """Quantiles over runs of the first round with an error of at most ε; None where not within `horizon`."""

    median: int | None
    low: int | None
    high: int | None
    horizon: int
    reached: float
    """Share of the runs that got there within the horizon."""
    never: bool = False
    """Whether most runs never get there, however many rounds are made."""


@dataclass(frozen=True, eq=False)
class Passage:
    """First rounds of T runs with the angle, and the model's relative error, at most ε; inf for none."""

    angle: np.ndarray
    model: np.ndarray
    horizon: int
    bank: int | None
    left: float | None
    """Median over runs of the model's error after the horizon, or where the run ended; None: diverged."""
    lost: float = 0.0
    """Share of the runs whose factors grew beyond all numbers."""
    never: bool = False

    def angle_rounds(self) -> Rounds:
        """Of the angle distance."""
        return quantiles(self.angle, self.horizon, self.never)

    def model_rounds(self) -> Rounds:
        """Of √excess/‖b̄*‖."""
        return quantiles(self.model, self.horizon, self.never)


def quantiles(first: np.ndarray, horizon: int, never: bool = False) -> Rounds:
    """Smallest rounds by which the shares of `QUANTILES` have got there.

    Args:
        never: whether a run that has not got there never does.
    """
    ranked = np.sort(first)
    at = {name: ranked[ceil(q * ranked.size) - 1] for name, q in QUANTILES.items()}
    whole = {name: int(value) if isfinite(value) else None for name, value in at.items()}
    reached = float(np.isfinite(first).mean())
    never = never and whole["median"] is None
    return Rounds(**whole, horizon=horizon, reached=reached, never=never)


def rough_rounds(delta0: float, eps: float, kappa: float, kept: float) -> float:
    """About how many rounds: escape at 1 + κ, then decay at the slower of |1 − κ| and the mean-square rate.

    Only sizes the simulation. `kept` is the mean-square rate at small angles; inf where there is none.
    """
    rate = abs(1.0 - kappa) if kappa < 2.0 else 0.98
    rate = max(rate, sqrt(kept) if kept < 1.0 else 0.98, 1e-3)
    tangent = delta0 / sqrt(1.0 - delta0**2) if delta0 < 1.0 else inf
    climb = log(max(tangent, 1.0)) / log1p(kappa)
    return climb + log(max(min(delta0, 1.0) / eps, 1.0)) / -log(min(rate, 0.999)) + 1.0


def first_passage(setting: Setting, law: Law, kept: float, name: str, floor: float) -> Passage:
    """Run the chain until every run has got there, or the horizon.

    Args:
        kept: mean-square rate at small angles, inf if there is none.
        floor: where the angle settles, inf if nobody knows.
    """
    rough = rough_rounds(setting.delta0, setting.eps, setting.kappa, kept)
    astray = kept >= 1.0 or setting.kappa >= 2.0 or floor >= setting.eps
    longest = max(min(LONGEST_ASTRAY, ASTRAY_WORK // law.steps_weight), 60) if astray else LONGEST
    horizon = min(int(3.0 * rough) + 60, longest)
    never = law.frozen and setting.delta0 > setting.eps
    horizon = 1 if never else horizon
    expected = min(horizon if astray else rough, horizon)
    trials = int(WORK / (expected * law.steps_weight))
    trials = setting.trials or min(
        max(trials, FEWEST_TRIALS), MOST_TRIALS // (4 if law.frozen else 1)
    )
    rng = generator(setting.seed, "prediction", name)
    supply = Supply(rng, law, int(1.5 * expected) * trials)
    begun = start(rng, setting, trials)
    angle, model = np.full((2, trials), inf)
    last = run(rng, law, supply, begun, setting.eps, (angle, model), horizon)
    left = float(np.median(last))
    lost = float(np.isinf(last).mean())
    found = left if isfinite(left) else None
    return Passage(angle, model, horizon, supply.size, found, lost, never)


def run(
    rng: np.random.Generator,
    law: Law,
    supply: Callable[[int], Sums],
    begun: tuple[np.ndarray, np.ndarray],
    eps: float,
    first: tuple[np.ndarray, np.ndarray],
    horizon: int,
) -> np.ndarray:
    """Fill in the first rounds, in place, of runs begun at (cos θ, sin θ).

    Returns:
        The model's error in each run's last round; inf of those that diverged.
    """
    (c, s), (angle, model) = begun, first
    last = np.full(c.size, inf)
    angle[s <= eps] = 0.0
    who = np.arange(c.size)
    for number in range(1, horizon + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            c, s, excess = step(rng, law, c, s, supply(who.size))
            whole = np.isfinite(c) & np.isfinite(s) & np.isfinite(excess)
        last[who] = np.sqrt(np.where(whole, excess, inf))
        for times, error in ((angle, s), (model, last[who])):
            new = who[(error <= eps) & ~np.isfinite(times[who])]
            times[new] = number
        going = whole & ~(np.isfinite(angle[who]) & np.isfinite(model[who]))
        if not going.all():
            who, c, s = who[going], c[going], s[going]
            if not who.size:
                break
    return last


def start(rng: np.random.Generator, setting: Setting, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of the starts."""
    if setting.start != "random":
        s = float(setting.start)
        return np.full(trials, sqrt((1.0 - s) * (1.0 + s))), np.full(trials, s)
    inside = rng.standard_normal(trials)
    outside = np.sqrt(2.0 * rng.standard_gamma(0.5 * (setting.d - 1), trials))
    length = np.hypot(inside, outside)
    return inside / length, outside / length

"""Where errors settle: the formulas, a contribution an entry, and the chain itself at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from linear_model.prediction.chain import step
from linear_model.prediction.law import Law, Supply
from theory.clients_differ import heterogeneous_samples, partial_participation
from theory.frozen_factor import ffa_floor
from theory.local_steps import limits_of_pooling
from theory.other_methods import second_moment
from theory.privacy import privacy_floor
from theory.samples import mean_square_rate, noise
from verification.streams import generator

SETTLING, MEASURED, CHAINS, FEWEST_CHAINS = 60, 120, 64, 12
MOST_WORK = 200_000
"""Rounds of chains that a rest is worth, times their work: a tenth of a second."""
DRIFT = 5.0
"""Standard errors by which halves of the rounds may differ where a chain counts as at rest."""
FORGOTTEN = 1e-4
"""What may be left of the start in a mean square that is measured at rest."""


@dataclass(frozen=True, eq=False)
class Spread:
    """How the targets differ, in units of ‖b̄*‖: mean squares over clients.

    Attributes:
        along: of (b_i* − b̄*)·b̄*, which pulls a away from a*.
        whole: of ‖b_i* − b̄*‖.
        chosen: variance of the mean target that a round's fit shows of its participants.
    """

    along: float
    whole: float
    chosen: float

    @classmethod
    def of(cls, law: Law) -> Spread:
        """Of a law's targets."""
        if law.targets is None:
            return cls(0.0, 0.0, 0.0)
        N, n = law.clients, law.active
        centre = law.targets.mean(axis=0)
        along = heterogeneous_samples.spread_along_mean(law.targets) ** 2
        whole = float(np.square(law.targets - centre).sum(axis=1).mean())
        kept = float(partial_participation.present_share(N, n))
        return cls(along * kept, whole, whole * (1.0 - kept * (1.0 - _share_variance(law))))


def fit_variance(law: Law) -> float:
    """v: the b-step's noise per unit of label noise, squared; inf where it has no mean."""
    clients, samples = (1, law.everything) if law.pooled else (law.active, law.samples)
    return 1.0 / (clients * (samples - 2)) if samples > 2 else inf


def noise_ratio(law: Law) -> float:
    """The q of theory.md §6; a pooled b-step's is one client's with all samples; of own b that of §17."""
    M = law.everything
    if fit_variance(law) == inf:
        return inf
    if law.pooled:
        return (law.d + (law.d - 1) * fit_variance(law)) / M
    if law.own:
        lengths = np.ones(1) if law.targets is None else np.linalg.norm(law.targets, axis=1)
        sizes = law.d, law.active, law.samples
        return float(second_moment.noise_ratio(second_moment.concentration(lengths), *sizes))
    return float(mean_square_rate.noise_ratio(law.d, law.active, law.samples))


def kept(law: Law) -> float:
    """The factor of E s² a round at small angles; inf where there is none.

    Of several local steps that of the clients' own b-steps; beyond `MOST_STEPS` that of one step, as a guess.
    """
    q, K, kappa = noise_ratio(law), law.local_steps, step_size(law)
    if q == inf:
        return inf
    if 1 < K <= limits_of_pooling.MOST_STEPS and law.samples > 2:
        return _finite(limits_of_pooling.mean_square(kappa, law.d, law.active, law.samples, K))
    return float(mean_square_rate.rate_squared(kappa, q))


def step_size(law: Law) -> float:
    """κ; of clients that step with their own b, `2η mean ‖b_i*‖²`."""
    if not law.own or law.targets is None:
        return law.kappa
    square = float(np.square(law.targets).sum(axis=1).mean())
    return float(second_moment.effective_kappa(law.kappa / 2.0, square))


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else inf


@dataclass(frozen=True, slots=True)
class Contribution:
    """Something that keeps the angle from 0: what it adds to E s² in a round, and who says so."""

    what: str
    source: str
    added: Callable[[Law, Spread], float]


def _label_noise(law: Law, _: Spread) -> float:
    clients, samples = (1, law.everything) if law.pooled else (law.active, law.samples)
    return float(noise.round_noise(law.kappa, law.noise, 1.0, law.d, clients, samples))


def _unlike(law: Law, spread: Spread) -> float:
    tau, M = sqrt(spread.along * (1.0 + _share_variance(law))), law.everything
    return float(heterogeneous_samples.round_spread(law.kappa, tau, 1.0, law.d, M))


def _share_variance(law: Law) -> float:
    """What a pooled fit shows of the clients' variance: their shares |X_i a|²/Σ|X_i a|² are Dirichlet."""
    return 2.0 / (law.everything + 2.0) if law.pooled else 0.0


def _privacy(law: Law, _: Spread) -> float:
    blur = sqrt(privacy_floor.averaged_variance(law.privacy, law.active))
    sizes = law.d, law.active, law.samples
    return float(privacy_floor.round_noise(law.kappa, blur, blur, 1.0, *sizes))


CONTRIBUTIONS = (
    Contribution("label noise", "theory.samples.noise.round_noise, theory.md §9", _label_noise),
    Contribution(
        "unlike targets",
        "theory.clients_differ.heterogeneous_samples.round_spread, theory.md §10",
        _unlike,
    ),
    Contribution(
        "privacy noise", "theory.privacy.privacy_floor.round_noise, theory.md §9", _privacy
    ),
)


def contributions(law: Law) -> dict[Contribution, float]:
    """What adds how much to E s² in a round, where there is anything. For m > 2 and one local step."""
    spread = Spread.of(law)
    if law.own:  # unlike targets do not pull: every client's gradient is proportional to the angle
        spread = Spread(0.0, spread.whole, spread.chosen)
    found = {one: one.added(law, spread) for one in CONTRIBUTIONS}
    return {one: added for one, added in found.items() if added > 0.0}


def square_angle(law: Law) -> float:
    """E s² at rest to first order, of a law with a mean-square rate below 1. 0.0 if nothing adds to it."""
    return sum(contributions(law).values()) / (1.0 - kept(law))


def fit_excess(law: Law, square: float) -> float:
    """E ‖b̄ − c b̄*‖², m > 2, where E s² = `square`: what b̄ itself adds to the excess risk."""
    spread, v = Spread.of(law), fit_variance(law)
    if law.own == "kept":
        spread = Spread(0.0, 0.0, 0.0)
    own = square * v * (1.0 + spread.whole) + (1.0 - square) * spread.chosen
    return own + law.outputs * (law.noise**2 * v + law.privacy**2 / law.active)


def frozen_excess(law: Law, square: float) -> float:
    """FFA-LoRA's E excess with E (δ⁰)² = `square`: `(δ⁰)²(1 + v)` and b̄'s own noise, exactly, m > 2."""
    if law.targets is None and not law.pooled and not law.privacy and not law.noise:
        return square * (1.0 + float(ffa_floor.fresh_constant(law.active, law.samples)))
    return square + fit_excess(law, square)


@dataclass(frozen=True, slots=True)
class Measured:
    """Root mean square at rest, by the chain, with its standard error."""

    value: float
    error: float


def at_rest(
    law: Law, seed: int, name: str, begin: float, rate: float | None
) -> tuple[Measured, Measured] | None:
    """Angle and model error of the chain at rest, from rounds after the start is forgotten.

    None if that takes too long, draws of a bank, whose own error would not show, or if the first half of the
    rounds and the second disagree.

    Args:
        begin: sine of the start, near the answer.
        rate: the mean-square rate, below 1; None if nobody knows.
    """
    settling = 2 * SETTLING
    if rate is not None:
        settling = max(SETTLING, int(np.log(FORGOTTEN) / np.log(max(rate, 1e-9))) + 1)
    chains = max(CHAINS // law.steps_weight, FEWEST_CHAINS)
    if (settling + MEASURED) * chains * law.steps_weight > MOST_WORK:
        return None
    rng = generator(seed, "prediction at rest", name)
    supply = Supply(rng, law, chains * (settling + MEASURED))
    if supply.size is not None:
        return None
    s = np.full(chains, min(begin, 0.9))
    c = np.sqrt(1.0 - np.square(s))
    halves = np.zeros((2, 2, chains))  # half of the rounds, of angle and error
    for number in range(settling + MEASURED):
        with np.errstate(over="ignore", invalid="ignore"):
            c, s, excess = step(rng, law, c, s, supply(chains))
        if number >= settling:
            halves[2 * (number - settling) // MEASURED] += np.square(s), excess
    if not np.isfinite(halves).all():
        return None
    change = halves[1, 0] - halves[0, 0]
    if abs(change.mean()) > DRIFT * change.std(ddof=1) / sqrt(chains):
        return None
    squares = halves.sum(axis=0) / MEASURED
    means, errors = squares.mean(axis=1), squares.std(axis=1, ddof=1) / sqrt(chains)
    roots = np.sqrt(means)
    angle, model = (
        Measured(float(r), float(e / (2.0 * r))) for r, e in zip(roots, errors, strict=True)
    )
    return angle, model

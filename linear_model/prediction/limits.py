"""Where the formulas end, and what happens beyond: sentences, so that nothing is extrapolated silently."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, sqrt

import numpy as np

from linear_model.prediction import floors
from linear_model.prediction.floors import Measured
from linear_model.prediction.law import Law
from linear_model.prediction.passage import Passage
from linear_model.prediction.setting import Setting
from theory.local_steps import limits_of_pooling
from theory.samples import decreasing_steps, mean_square_rate

LEMMA = 1.5
"""κ(1 + q) up to which one round keeps the paper's contraction lemma in mean square."""


SMALL = 0.2
"""Floors of the angle up to which the first order may stand alone."""
FEW = 2_000
"""Draws of the clients' sums below which a quantile could show that they are taken again."""


def of_step(law: Law) -> Iterator[str]:
    """About κ, m and M, for RoLoRA."""
    kappa, q = law.kappa, floors.noise_ratio(law)
    whose = "pooled samples M" if law.pooled else "samples m"
    have = law.everything if law.pooled else law.samples
    if q == inf:
        yield (
            f"{whose} = {have} are not above rank + 1 = 2: the b-step has no finite variance and the"
            " mean-square formulas do not apply; rounds are the chain's, whose law is exact all the same,"
            " heavy tails included"
            + ("" if law.pooled else "; the pooled b-step needs only clients × samples > 2")
        )
    if kappa >= 2.0 and law.local_steps > 1:
        yield of_long_steps(kappa, law.local_steps)
    elif kappa >= 2.0:
        at = sqrt((kappa - 2.0) / (2.0 * kappa))
        yield (
            f"kappa = {kappa:g} is not below 2: with infinitely many samples the angle locks to the plateau"
            f" sin θ = {at:.3g} (tan²θ = (κ − 2)/(κ + 2)), it neither converges nor blows up"
        )
    elif law.local_steps == 1 and q < inf and kappa >= mean_square_rate.threshold_kappa(q):
        need = law.d * kappa / (2.0 - kappa)
        yield (
            f"kappa = {kappa:g} is not below 2/(1 + q) = {mean_square_rate.threshold_kappa(q):.3g}"
            f" (M = {law.everything}, about M > dκ/(2 − κ) = {need:.3g} is needed): the mean square of a"
            " small angle grows, so floors have no formula; a typical run may still converge: the chain says"
            " whether it does"
        )
    if law.local_steps > 1:
        yield (
            f"with {law.local_steps} local steps clients drift apart on finite samples, so M alone no longer"
            " counts; floors that are not 0 have no formula here: they and the rounds are the chain's"
        )
        if law.local_steps <= limits_of_pooling.MOST_STEPS and q < inf and law.samples > 2:
            sizes = law.kappa, law.d
            alone = limits_of_pooling.mean_factor(*sizes, law.samples, law.local_steps) ** 2
            yield (
                f"E s² of a small angle is multiplied by {floors.kept(law):.3g} a round, with any number of"
                f" clients by no less than {alone:.3g}, with infinitely many samples by"
                f" {_power(1.0 - kappa, 2 * law.local_steps):.3g} (theory.local_steps.limits_of_pooling)"
            )


def _power(base: float, exponent: int) -> float:
    return float(np.power(min(abs(base), 1e6), min(exponent, 50)))  # a float all the same


def of_long_steps(kappa: float, steps: int) -> str:
    """About several local steps that are too long."""
    return (
        f"kappa = {kappa:g} is not below 2: with {steps} local steps a small angle is multiplied by"
        f" |1 − κ|^K a round even with infinitely many samples, so nothing converges; on finite samples a's"
        " length may grow beyond all numbers"
    )


def of_own_step(law: Law) -> Iterator[str]:
    """About methods whose clients step with their own b."""
    kappa, q = floors.step_size(law), floors.noise_ratio(law)
    if law.samples <= 2:
        yield (
            f"samples m = {law.samples} are not above rank + 1 = 2: no mean-square formula applies; rounds"
            " are the chain's, heavy tails included"
        )
    if kappa >= 2.0:
        yield (
            f"its step is κ·mean ‖b_i*‖²/‖b̄*‖² = {kappa:.3g}, not below 2: even with infinitely many samples"
            " a small angle does not shrink"
        )
    elif law.local_steps == 1 and q < inf and kappa >= mean_square_rate.threshold_kappa(q):
        yield (
            f"its step {kappa:.3g} is not below 2/(1 + q) = {mean_square_rate.threshold_kappa(q):.3g}: the"
            " mean square of a small angle grows, so floors have no formula; the chain says what runs do"
        )
    elif law.noise or law.privacy:
        yield "with noise its floor has no formula here: it is the chain's at rest, and rounds are exact"
    elif law.local_steps > 1:
        yield "with several local steps its rate and floor have no formula here: rounds are the chain's"


def of_participants(setting: Setting) -> Iterator[str]:
    """About shares of the clients that are no whole number of them."""
    asked = setting.participation * setting.clients
    if abs(asked - setting.active) > 1e-9 * setting.clients:
        yield (
            f"participation {setting.participation:g} of {setting.clients} clients is {asked:.3g}: a round"
            f" has {setting.active}"
        )


def of_schedule(law: Law, eps: float) -> Iterator[str]:
    """About label noise whose floor is above ε: steps that decrease have none."""
    if not law.noise or law.privacy or law.targets is not None or law.pooled:
        return
    rate = floors.kept(law)
    if law.local_steps > 1 or not rate < 1.0 or floors.square_angle(law) <= eps**2:
        return
    nu = float(decreasing_steps.unit_noise(law.noise, 1.0, law.d, law.active, law.samples))
    yield (
        f"label noise keeps the angle above ε = {eps:g}: with steps κ_t = S_t/((1 + q)S_t + ν), ν ="
        f" {nu:.3g}, E s² falls like ν/t without a floor, to ε² after about {nu / eps**2:.3g} rounds"
        " (theory.samples.decreasing_steps)"
    )


def of_no_sine(square: float) -> Iterator[str]:
    """About a first-order floor of the angle beyond 1."""
    yield (
        f"the angle's floor by formula would be {sqrt(square):.3g}, which is no sine: what keeps the angle"
        " from 0 is too large for the first order, floors are the chain's"
    )


def of_floor(formula: float | None, measured: Measured | None) -> Iterator[str]:
    """About a formula that is first order in what it is about."""
    if formula is None or (measured is None and formula <= SMALL):
        return
    if measured is None:
        yield (
            f"the angle's floor {formula:.3g} by formula is first order in what causes it, which is not"
            " small here"
        )
    elif abs(formula - measured.value) > max(0.02 * formula, 5.0 * measured.error):
        yield (
            f"the angle's floor {formula:.3g} by formula is first order in what causes it: the chain, which"
            f" is exact, settles at {measured.value:.3g}"
        )


def of_passage(law: Law, passage: Passage, eps: float, floor: float | None) -> Iterator[str]:
    """About runs that did not get there, and what the numbers rest on."""
    if passage.bank is not None and passage.bank < FEW:
        yield (
            f"the clients' sums of each round are taken at random from {passage.bank} exact draws: new ones"
            f" for every round would be {law.active} × trials × rounds numbers"
        )
    if passage.lost:
        yield (
            f"in {passage.lost:.0%} of {passage.angle.size} runs a grows beyond all numbers: they diverge"
        )
    late = {"angle": passage.angle_rounds(), "model's error": passage.model_rounds()}
    for what, rounds in late.items():
        if rounds.median is None and not law.frozen:
            why = f", whose mean-square floor is {floor:.3g}" if floor and what == "angle" else ""
            yield (
                f"the {what}{why} was at most ε = {eps:g} within {rounds.horizon} rounds in"
                f" {rounds.reached:.0%} of {passage.angle.size} runs: no median is given"
            )

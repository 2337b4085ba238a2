"""Where the formulas end, and what happens beyond: sentences, so that nothing is extrapolated silently."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, sqrt

from linear_model.prediction import floors
from linear_model.prediction.floors import Measured
from linear_model.prediction.law import Law
from linear_model.prediction.passage import Passage
from theory.local_steps import limits_of_pooling
from theory.samples import mean_square_rate

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
    if kappa >= 2.0:
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
            " counts; floors have no formula here, rounds and floors are the chain's"
        )
        if law.local_steps <= limits_of_pooling.MOST_STEPS and q < inf and law.samples > 2:
            sizes = law.kappa, law.d
            alone = limits_of_pooling.mean_factor(*sizes, law.samples, law.local_steps) ** 2
            yield (
                f"E s² of a small angle is multiplied by {floors.kept(law):.3g} a round, with any number of"
                f" clients by no less than {alone:.3g}, with infinitely many samples by"
                f" {(1.0 - kappa) ** (2 * law.local_steps):.3g} (theory.local_steps.limits_of_pooling)"
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
    late = {"angle": passage.angle_rounds(), "model's error": passage.model_rounds()}
    for what, rounds in late.items():
        if rounds.median is None and not law.frozen:
            why = f", whose mean-square floor is {floor:.3g}" if floor and what == "angle" else ""
            yield (
                f"the {what}{why} was at most ε = {eps:g} within {rounds.horizon} rounds in"
                f" {rounds.reached:.0%} of {passage.angle.size} runs: no median is given"
            )

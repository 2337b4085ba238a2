"""How many rounds theorems ask for at a setting, and why they differ from what happens."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, inf, log, sqrt

from linear_model.prediction import floors
from linear_model.prediction.law import Law
from linear_model.prediction.limits import LEMMA
from linear_model.prediction.result import Bound
from linear_model.prediction.setting import Setting
from theory.recovery import recovery_theorem, sharp_recovery
from theory.recovery.sharp import dominating
from theory.recovery.sharp_paths import Start


def all_of(setting: Setting, law: Law) -> tuple[Bound, ...]:
    """Every theorem's rounds."""
    return (_paper(setting, law), _sharp(setting, law), _population(setting, law))


def _paper(setting: Setting, law: Law) -> Bound:
    source = "theory.recovery.recovery_theorem.rounds_bound: theorem 5.4 of arXiv 2502.01755v2"
    outside = list(_outside_the_paper(setting, law))
    if setting.delta0 <= setting.eps:
        return Bound("paper", None, source, "the start is already within ε")
    # 1 − (δ⁰)² of a random start is 1/d, which float64 would lose
    kept = 1.0 / setting.d if setting.start == "random" else 1.0 - setting.delta0**2
    T = 4.0 * log(setting.delta0 / setting.eps) / (setting.kappa * kept)
    if setting.start != "random":
        T = float(
            recovery_theorem.rounds_bound(setting.delta0, setting.eps, setting.kappa, log=log)
        )
    says = (
        "it charges every round with the first angle's cosine, which is the worst: 1/(1 − (δ⁰)²), d from a"
        " random start, multiplies all rounds, while in truth the cosine grows by about 1 + κ a round"
    )
    if outside:
        says += "; its assumptions do not hold here: " + "; ".join(outside)
    return Bound("paper", float(T), source, says)


def _outside_the_paper(setting: Setting, law: Law) -> Iterator[str]:
    edge = LEMMA / (1.0 + floors.noise_ratio(law))
    if setting.kappa > edge:
        yield f"κ = {setting.kappa:g} is above 3/(2(1 + q)) = {edge:.3g}, where its contraction lemma fails"
    if setting.samples < setting.d:
        yield f"it asks for m of the order of d log per client, m = {setting.samples} < d = {setting.d}"
    for name, value in (("label noise", setting.noise), ("privacy noise", setting.privacy_noise)):
        if value:
            yield f"it knows no {name}"
    if law.targets is not None:
        yield "it is about clients of one target"
    if setting.local_steps > 1:
        yield "its round has one step on a"


FAILURE = 0.01
"""What our theorem may fail with."""


def _sharp(setting: Setting, law: Law) -> Bound:
    source = "theory.recovery.sharp_recovery.rounds: ours"
    outside = {
        "label noise": setting.noise,
        "privacy noise": setting.privacy_noise,
        "unlike targets": law.targets is not None,
        "several local steps": setting.local_steps > 1,
        "κ ≥ 2": setting.kappa >= 2.0,
    }
    found = [name for name, here in outside.items() if here]
    if found:
        return Bound(
            "ours", None, source, f"it is about equal clients without noise, not {', '.join(found)}"
        )
    if setting.delta0 <= setting.eps:
        return Bound("ours", 0.0, source, "the start is already within ε")
    start: Start = "random" if setting.start == "random" else float(setting.start)
    sizes = setting.d, setting.active, setting.samples, setting.kappa, setting.eps
    rounds = sharp_recovery.rounds(FAILURE, *sizes, start, dominating.ROUGH)
    if rounds == inf:
        says = "it asks for more pooled samples than there are, whatever the rounds"
        return Bound("ours", None, source, says)
    says = (
        f"a guarantee that fails with probability at most {FAILURE:g}: it lets the cosine grow from round to"
        " round and pools the samples, and pays for the worst noise in what it tells apart"
    )
    return Bound("ours", rounds, source, says)


def _population(setting: Setting, law: Law) -> Bound:
    source = "theory.population.plateau.uniform_rate, theory.recovery.escape_time: theory.md §3"
    if setting.kappa >= 2.0:
        return Bound("population", None, source, "for κ ≥ 2 the angle does not go to 0")
    if setting.delta0 <= setting.eps:
        return Bound("population", 0.0, source, "the start is already within ε")
    staying = {
        "privacy noise stays": setting.privacy_noise > 0.0,
        "a round's mean target is its participants' own": law.targets is not None
        and setting.active < setting.clients,
    }
    stays = [what for what, here in staying.items() if here]
    if stays:
        says = f"even with infinitely many samples {' and '.join(stays)}"
        return Bound("population", None, source, says)
    rate = max(abs(1.0 - setting.kappa), 1.0 / (1.0 + setting.kappa))
    kept = 1.0 / setting.d if setting.start == "random" else 1.0 - setting.delta0**2
    ratio = (
        setting.delta0 / sqrt(kept) * sqrt((1.0 - setting.eps) * (1.0 + setting.eps)) / setting.eps
    )
    says = (
        "in the limit of infinitely many samples tan θ falls by max(|1 − κ|, 1/(1 + κ)) a round or more: the"
        " logarithm of d, not d, and no probability to pay for"
    )
    return Bound("population", float(ceil(log(ratio) / -log(rate))), source, says)

"""Rows by the chain: RoLoRA with either b-step, FedSA-LoRA and LA-LoRA with the clients' own b."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import comb, inf, sqrt

import numpy as np

from linear_model.prediction import floors, limits
from linear_model.prediction.law import Law
from linear_model.prediction.methods import population
from linear_model.prediction.methods.base import Before, Case, Entry, unanswered
from linear_model.prediction.passage import first_passage
from linear_model.prediction.result import Row
from theory.local_steps import limits_of_pooling
from theory.other_methods import turns

CHAIN = "exact chain of scalars (linear_model.prediction.chain, theory.md §5)"
OWN = "exact chain of scalars (linear_model.prediction.steps.own_fits, theory.md §17)"
RATE = "theory.samples.mean_square_rate.rate_squared, theory.md §6"
MOST_WEIGHT = 600
"""Work of a trial's round up to which the chain of many terms takes a second or two."""
MERGED = 6
"""Decimals to which clients' steps are told apart in the map of many clients, …"""
FEW_STEPS, MOST_MOMENTS = 100, 8
"""… how many of them are summed one by one, and up to which power by moments, without cancellation."""


def rolora(entry: Entry, case: Case, _: Before) -> Row:
    """Algorithm 2: its floors by formula and by the chain at rest."""
    law = case.law(pooled=entry.method.endswith("pooled"))
    if law.pooled and law.privacy:
        why = "a pooled b-step sends Gram numbers, to which noise on factors does not apply"
        return replace(entry.row, notes=(f"no answer with privacy noise: {why}",))
    if law.steps_weight > MOST_WEIGHT:
        why = f"{law.local_steps} local steps of {law.active} clients are too many numbers for a second"
        return replace(entry.row, notes=(f"no answer: {why}; ask for fewer clients, or one step",))
    source = RATE if law.local_steps == 1 else "theory.local_steps.limits_of_pooling.mean_square"
    notes = (*limits.of_step(law), *limits.of_schedule(law, case.setting.eps))
    return _chained(entry, case, law, (CHAIN, source), notes)


def own_fits(entry: Entry, case: Case, _: Before) -> Row:
    """FedSA-LoRA, whose b stay with the clients; LA-LoRA, which averages them."""
    law = case.law(own="kept" if entry.method == "fedsa" else "sent")
    what = "theory.other_methods.second_moment.noise_ratio, theory.md §17"
    if entry.method == "la-lora":
        what = "theory.other_methods.turns.excess, theory.md §17"
    if law.steps_weight > MOST_WEIGHT:
        return _by_its_map(entry, case, law, what)
    told = "the clients' own models, mean over them" if law.own == "kept" else "the averaged model"
    notes = (
        f"its error is of {told}; a is made a unit vector after each round and the b are fitted by least"
        " squares, as in Algorithm 2",
        *limits.of_own_step(law),
    )
    return _chained(entry, case, law, (OWN, what), notes)


def _chained(
    entry: Entry, case: Case, law: Law, sources: tuple[str, ...], notes: tuple[str, ...]
) -> Row:
    """A row by the chain's runs, formulas and rest."""
    setting, rate = case.setting, floors.kept(law)
    stable = rate < 1.0 and floors.step_size(law) < 2.0
    adding = floors.contributions(law) if stable else {}
    told_rate = _rate_is_known(law)
    formula = stable and told_rate and (not adding or (law.local_steps == 1 and not law.own))
    angle, error, told = 0.0, 0.0, list(notes)
    if formula:
        angle = floors.square_angle(law) if adding else 0.0
    if angle >= 1.0:  # no sine: nothing of first order holds
        told += limits.of_no_sine(angle)
        formula = False
    if formula:
        error = angle + floors.fit_excess(law, angle)
    measured = None
    if adding:
        begin = sqrt(min(angle, 0.8)) or 0.1
        known = rate if law.local_steps == 1 else None
        measured = floors.at_rest(law, setting.seed, entry.method, begin, known)
    floor, settles = sqrt(angle) if formula else None, inf
    told += limits.of_floor(floor, measured and measured[0])
    if formula:
        settles = sqrt(angle)
    elif measured:
        settles = measured[0].value
    passage = first_passage(setting, law, rate, entry.method, settles)
    told += limits.of_passage(law, passage, setting.eps, floor)
    bank = "" if passage.bank is None else f", clients' sums from a bank of {passage.bank} draws"
    return replace(
        entry.row,
        rounds=passage.angle_rounds(),
        model_rounds=passage.model_rounds(),
        angle_floor=floor,
        error_floor=sqrt(error) if formula else None,
        angle_measured=measured and measured[0],
        error_measured=measured and measured[1],
        left=passage.left,
        rate=sqrt(rate) if stable and told_rate else None,
        how=sources[0] + bank,
        sources=(*sources, *(one.source for one in adding if formula)),
        notes=tuple(told),
    )


def _mean_share(steps: np.ndarray, K: int) -> Callable[[np.ndarray], np.ndarray] | None:
    """`mean_i (1 − κ_i c²)^K` as a function of c², of many κ_i by moments; None if that takes too long."""
    apart, counts = np.unique(steps.round(MERGED), return_counts=True)
    if apart.size <= FEW_STEPS:
        share = counts / counts.sum()
        return lambda c2: turns.kept_share(apart, np.sqrt(c2)[:, None], K) @ share
    if K > MOST_MOMENTS:
        return None
    moments = [comb(K, j) * (-1.0) ** j * float(np.mean(steps**j)) for j in range(K + 1)]
    return lambda c2: np.asarray(np.polynomial.polynomial.polyval(c2, moments))


def _rate_is_known(law: Law) -> bool:
    """Whether `floors.kept` is no guess."""
    if law.local_steps == 1:
        return True
    return not law.own and law.samples > 2 and law.local_steps <= limits_of_pooling.MOST_STEPS


def _by_its_map(entry: Entry, case: Case, law: Law, source: str) -> Row:
    """Infinitely many samples, where the clients are too many for the chain."""
    missing = population.refusal(case)
    if missing:
        return unanswered(entry, f"{missing}, and the clients are too many for the chain", source)
    sizes = np.square(case.targets).sum(axis=1)
    kept = _mean_share(law.kappa * sizes, law.local_steps)
    if kept is None:
        why = f"{law.active} unlike clients' {law.local_steps} steps are too many numbers for a second"
        return replace(entry.row, sources=(source,), notes=(f"no answer: {why}; ask for fewer",))

    def error(t: np.ndarray, after: np.ndarray) -> np.ndarray:
        if law.own == "kept":
            return sqrt(float(sizes.mean())) * population.model_error(t, after)
        c2 = 1.0 / (1.0 + np.square(t))
        return np.sqrt(turns.excess(np.sqrt(1.0 - c2), kept(c2), 1.0))

    def after(t: np.ndarray) -> np.ndarray:
        return turns.next_tangent(t, kept(1.0 / (1.0 + np.square(t))))

    row = population.by_map(entry, case, (after, error), source)
    why = f"{law.active} clients' own fits are too many numbers for a second"
    return replace(row, notes=(*row.notes, f"not by the chain: {why}"))

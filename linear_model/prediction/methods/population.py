"""Rows of infinitely many samples, by maps of the angle: for methods whose finite samples have no formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isfinite

import numpy as np

from linear_model.prediction.methods.base import Before, Case, Entry, unanswered
from linear_model.prediction.passage import (
    LONGEST,
    LONGEST_ASTRAY,
    MOST_TRIALS,
    quantiles,
    rough_rounds,
    start,
)
from linear_model.prediction.result import Row
from theory.local_steps import no_client_drift
from theory.other_methods import who_wins
from theory.population import momentum_and_preconditioning as variants
from theory.samples import finite_sample
from verification.streams import generator

Map = tuple[
    Callable[[np.ndarray], np.ndarray],
    Callable[[np.ndarray, np.ndarray], np.ndarray],
]
"""tan θ → tan θ⁺ up to sign, and the model's error from both."""
LIMIT = (
    "all its numbers are of infinitely many samples a client, from the same starts: for finite ones there is"
    " no formula"
)
FARTHEST = 1e150
"""Tangent of an angle that does not move."""
MOMENTUM = 0.5
"""β that `rolora-momentum` has by default."""


def refusal(case: Case) -> str:
    """Why there is no map even with infinitely many samples; empty if there is one."""
    if case.setting.privacy_noise:
        return "privacy noise stays, however many samples there are"
    if not case.alike and not case.all_present:
        return "a round's mean target is its participants' own, however many samples there are"
    return ""


def model_error(t: np.ndarray, after: np.ndarray) -> np.ndarray:
    """‖a⁺(c b̄*)ᵀ − a*b̄*ᵀ‖, b fitted before a moved, from both tangents."""
    c, c_next = 1.0 / np.sqrt(1.0 + np.square(t)), 1.0 / np.sqrt(1.0 + np.square(after))
    s, s_next = t * c, after * c_next
    return np.hypot(finite_sample.cosine_drop(c, s, c_next, s_next), s_next)


def by_map(entry: Entry, case: Case, rule: Map, source: str) -> Row:
    """Rounds of a map from the setting's starts."""
    setting, (advance, _) = case.setting, rule
    trials = setting.trials or MOST_TRIALS if setting.start == "random" else 1
    c, s = start(generator(setting.seed, "prediction", entry.method), setting, trials)
    with np.errstate(divide="ignore"):
        t = s / np.abs(c)
    t = np.minimum(t, FARTHEST)  # across a* a start stays there; its square is still a number
    small = np.array([1e-8])
    with np.errstate(all="ignore"):
        rate = float((np.abs(advance(small)) / small)[0])
        rough = rough_rounds(setting.delta0, setting.eps, setting.kappa, rate**2)
        astray = not rate < 1.0 or setting.kappa >= 2.0
        horizon = min(int(3.0 * rough) + 60, LONGEST_ASTRAY if astray else LONGEST)
        first, left = _passage(rule, t, setting.eps, horizon)
    found = quantiles(first[0], horizon), quantiles(first[1], horizon)
    notes = [LIMIT]
    if found[1].median is None:
        notes.append(
            f"its error was at most ε = {setting.eps:g} within {horizon} rounds from"
            f" {found[1].reached:.0%} of the starts: no median is given"
        )
    settles = 0.0 if rate < 1.0 and setting.kappa < 2.0 else None
    return replace(
        entry.row,
        rounds=found[0],
        model_rounds=found[1],
        angle_floor=settles,
        error_floor=settles,
        left=left if isfinite(left) else None,
        rate=rate if isfinite(rate) else None,
        limit=True,
        how="map of the angle for m → ∞",
        sources=(source,),
        notes=tuple(notes),
    )


def _passage(rule: Map, t: np.ndarray, eps: float, horizon: int) -> tuple[np.ndarray, float]:
    """First rounds of the angle and the error, (2, T), inf for none; the median error in the last round."""
    advance, error = rule
    first = np.full((2, t.size), np.inf)
    first[0, t / np.sqrt(1.0 + np.square(t)) <= eps] = 0.0
    for number in range(1, horizon + 1):
        after = np.minimum(np.nan_to_num(np.abs(advance(t)), nan=FARTHEST), FARTHEST)
        left = np.nan_to_num(error(t, after), nan=np.inf)
        sine = after / np.sqrt(1.0 + np.square(after))
        for times, reached in zip(first, (sine, left), strict=True):
            times[(reached <= eps) & np.isinf(times)] = number
        t = after
        if np.isfinite(first).all():
            break
    return first, float(np.median(left))


def _local_power(case: Case, t: np.ndarray, rounds: int = 1) -> np.ndarray:
    """(1 − κc²)^K of so many a-rounds on one fit; finite, whatever it leads to."""
    with np.errstate(over="ignore"):
        base = 1.0 - case.setting.kappa / (1.0 + np.square(t))
        return np.clip(base ** (rounds * case.setting.local_steps), -1e100, 1e100)


def control_variates(entry: Entry, case: Case, before: Before) -> Row:
    """RoLoRA-CV: with one step and everybody RoLoRA itself; several steps by the map of central ones."""
    if not case.all_present:
        why = "control variates of clients that sit out are those of earlier rounds"
        return unanswered(entry, why, "claim method-floors measures no floor there")
    if case.setting.local_steps == 1:
        same = before["algorithm2"]
        why = "with one step and all clients its corrections add up to 0: the numbers are RoLoRA's"
        return replace(same, method=entry.method, label=entry.label, notes=(why,))
    return _central(entry, case, 1)


def heavy_a(entry: Entry, case: Case, _: Before) -> Row:
    """A-heavy: three a-rounds on one fit are as many central steps."""
    return _central(entry, case, 3)


def _central(entry: Entry, case: Case, rounds: int) -> Row:
    missing = refusal(case)
    if missing:
        return unanswered(entry, missing)

    def advance(t: np.ndarray) -> np.ndarray:
        return no_client_drift.next_tangent(t, _local_power(case, t, rounds))

    source = "theory.local_steps.no_client_drift.next_tangent, theory.md §16"
    return by_map(entry, case, (advance, model_error), source)


def preconditioned(entry: Entry, case: Case, _: Before) -> Row:
    """RoLoRA-Precond, whose K steps are one of size 1 − (1 − κ)^K."""
    missing = refusal(case)
    if missing:
        return unanswered(entry, missing)
    with np.errstate(over="ignore"):
        kept = np.clip(
            (1.0 - np.float64(case.setting.kappa)) ** case.setting.local_steps, -1e100, 1e100
        )
    eta = 0.5 * (1.0 - kept)

    def advance(t: np.ndarray) -> np.ndarray:
        return np.asarray(variants.preconditioned_tangent(t, eta))

    source = "theory.population.momentum_and_preconditioning.preconditioned_tangent, theory.md §15"
    row = by_map(entry, case, (advance, model_error), source)
    note = "its κ is 2η, whatever ‖b̄*‖, and its damping is taken for 0"
    return replace(row, notes=(*row.notes, note))


def momentum(entry: Entry, case: Case, _: Before) -> Row:
    """RoLoRA with momentum: the recursion of a small angle."""
    kappa, source = (
        case.setting.kappa,
        "theory.population.momentum_and_preconditioning, theory.md §15",
    )
    rate = float(np.abs(np.roots([1.0, -(1.0 + MOMENTUM - kappa), MOMENTUM])).max())
    row = unanswered(entry, "on the way to small angles its memory counts", source)
    note = (
        f"with infinitely many samples, one step a round and β = {MOMENTUM:g} a small angle is multiplied by"
        f" {rate:.3g} a round in the long run; at rank 1 there is one gap, for which the best β is 0: RoLoRA"
    )
    one = refusal(case) == "" and case.setting.local_steps == 1
    return replace(row, rate=rate, limit=True, notes=(*row.notes, note)) if one else row


def both_factors(entry: Entry, case: Case, _: Before) -> Row:
    """FedAvg-LoRA-CV: with one step and everybody a round of FedAvg-LoRA's gradient steps."""
    row = unanswered(entry, "control variates on both factors")
    if case.setting.local_steps > 1 or not case.all_present or refusal(case):
        return row
    rate = one_step_rate(case)
    note = (
        "with one step and all clients its corrections add up to 0: with infinitely many samples a small"
        f" error is multiplied by {rate:.3g} a round, as FedAvg-LoRA's"
    )
    source = "theory.other_methods.who_wins.fedavg_ends, theory.md §17"
    return replace(row, rate=rate, limit=True, sources=(source,), notes=(*row.notes, note))


def one_step_rate(case: Case) -> float:
    """FedAvg-LoRA's factor a round with one gradient step, near a balanced solution."""
    return float(max(map(abs, who_wins.fedavg_ends(case.setting.kappa / 2.0, 1.0, 1.0))))

"""Rows of methods whose clients go to their local optima in a round: closed forms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt

import numpy as np

from linear_model.prediction.methods.base import Before, Case, Entry, at_once, exactly, unanswered
from linear_model.prediction.methods.population import one_step_rate
from linear_model.prediction.passage import LONGEST, Rounds
from linear_model.prediction.result import Row
from linear_model.prediction.setting import Setting
from theory.clients_differ import fedavg_flow
from theory.other_methods import method_floors
from theory.privacy import privacy_floor

FLOW_WORK = 10_000_000
"""Client-rounds of FedAvg-LoRA's closed form."""
EQUAL = 1e-12
"""Difference of the ‖b_i*‖ that is rounding."""


def no_local_optimum(setting: Setting) -> str:
    """Why local optima have no closed form here; empty if they have one."""
    reasons = {
        f"m = {setting.samples} < d = {setting.d} samples do not fix a client's optimum": setting.samples
        < setting.d,
        "label noise moves the local optima": setting.noise > 0.0,
        "privacy noise is added to them": setting.privacy_noise > 0.0,
        "only some clients take part": setting.active < setting.clients,
    }
    return " and ".join(why for why, here in reasons.items() if here)


def equal_lengths(targets: np.ndarray) -> bool:
    """Whether all ‖b_i*‖ are one."""
    return bool(np.ptp(np.linalg.norm(targets, axis=1)) < EQUAL)


def fedavg(entry: Entry, case: Case, _: Before) -> Row:
    """FedAvg-LoRA: the closed form of its interference."""
    setting, name = case.setting, "theory.clients_differ.fedavg_flow.trajectory, theory.md §10"
    steps = tuple(_with_steps(case))
    missing = no_local_optimum(setting)
    if missing:
        row = unanswered(entry, missing, name)
        return replace(row, notes=(*row.notes, *steps))
    row = replace(entry.row, sources=(name,), how="closed form")
    if equal_lengths(case.targets):
        row = at_once(row, "clients of equal ‖b_i*‖ do not interfere")
        return replace(row, notes=(*row.notes, *steps))
    limit = max(min(LONGEST // 2, FLOW_WORK // setting.clients), 1)
    excess = fedavg_flow.trajectory(case.targets, limit)[0]
    there = np.flatnonzero(np.sqrt(excess) <= setting.eps)
    row = replace(row, rounds=exactly(1), angle_floor=0.0, error_floor=0.0, rate=1.0, notes=steps)
    if there.size:
        found, left = exactly(int(there[0]) + 1), float(sqrt(excess[there[0]]))
        return replace(row, model_rounds=found, left=left)
    later = sqrt(float(fedavg_flow.decay_constant(case.targets))) / setting.eps
    note = (
        f"its error is {sqrt(excess[-1]):.3g} after {limit} rounds and falls like 1/t in the limit, which"
        f" would be ε after about {later:.3g} rounds (theory.clients_differ.fedavg_flow.decay_constant)"
    )
    missed = Rounds(None, None, None, limit, 0.0)
    return replace(row, model_rounds=missed, left=float(sqrt(excess[-1])), notes=(note, *steps))


def _with_steps(case: Case) -> Iterator[str]:
    """What is known of gradient steps in place of local optima, and of noise on both factors."""
    setting = case.setting
    if setting.privacy_noise:
        sigma = setting.privacy_noise / sqrt(setting.active)
        added = float(privacy_floor.product_noise(sigma, 1.0, 1.0, setting.d, setting.outputs, 1))
        yield (
            f"the privacy noise of one round, on both unit factors, alone is an error of {sqrt(added):.3g}"
            " (theory.privacy.privacy_floor.product_noise)"
        )
    elif case.alike or case.all_present:
        yield (
            "with one gradient step a round instead, η = κ/2, and infinitely many samples a small error is"
            f" multiplied by {one_step_rate(case):.3g} a round"
            " (theory.other_methods.who_wins.fedavg_ends, balanced factors)"
        )


def fedrot(entry: Entry, _: Case, before: Before) -> Row:
    """FedRot-LoRA at rank 1: a rotation is a sign."""
    same = before["fedavg"]
    why = (
        "at rank 1 a rotation is a sign, and it is +: the clients' ‖a‖² − ‖b‖² is above 0, so a_i·a outweighs"
        " b_i·b; the numbers are FedAvg-LoRA's"
    )
    return replace(same, method=entry.method, label=entry.label, notes=(why, *same.notes))


def lora_fair(entry: Entry, case: Case, before: Before) -> Row:
    """LoRA-FAIR: its correction is 0 where clients are alike."""
    missing = no_local_optimum(case.setting)
    if missing or not equal_lengths(case.targets):
        why = missing or "its correction of B has none"
        row = unanswered(entry, why, "claim method-floors")
        note = "claim method-floors measures it on one small problem: with unlike targets it diverges there"
        return replace(row, notes=(*row.notes, note))
    row = replace(before["fedavg"], method=entry.method, label=entry.label)
    return replace(row, notes=(*row.notes, "without interference there is nothing to correct"))


def averaged_products(entry: Entry, case: Case, _: Before) -> Row:
    """FlexLoRA, FLoRA, FedEx-LoRA: the mean of rank-one targets a* b_i*ᵀ is a* b̄*ᵀ."""
    source = "theory.other_methods.one_shot_averaging, theory.md §17"
    missing = no_local_optimum(case.setting)
    if missing:
        return unanswered(entry, missing, source)
    row = replace(entry.row, how="closed form", sources=(source,))
    if entry.method == "flexlora" and not case.alike:
        eta = case.setting.kappa / 2.0
        moved = float(np.linalg.norm(method_floors.exact_average_bias(eta, case.targets)))
        note = (
            "with one gradient step on both factors a round instead, η = κ/2, it settles off b̄* by"
            f" {moved:.3g} to first order in η (theory.other_methods.method_floors.exact_average_bias)"
        )
        row = replace(row, notes=(note,))
    return at_once(row, "the exact mean product has rank 1")

"""Rows of methods whose a stays where it starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf, sqrt

from linear_model.prediction import floors
from linear_model.prediction.methods.base import Before, Case, Entry
from linear_model.prediction.passage import first_passage
from linear_model.prediction.result import Row
from theory.other_methods import method_floors


def ffa(entry: Entry, case: Case, _: Before) -> Row:
    """FFA-LoRA with least squares: at its floor after one round."""
    law, setting = case.law(frozen=True), case.setting
    square, source = setting.delta0**2, "theory.frozen_factor.ffa_floor, theory.md §8"
    notes: list[str] = []
    floor = None
    if floors.fit_variance(law) < inf:
        floor = sqrt(floors.frozen_excess(law, square))
    else:
        notes.append(f"samples m = {law.samples} are not above 2: its expected error is infinite")
    passage = first_passage(setting, law, inf, entry.method, inf)
    reached = passage.model_rounds()
    if reached.median is None:
        notes.append(
            "a stays where it starts, so rounds do not lower the error; b is refitted in each"
        )
    notes += _with_one_step(case, square)
    return replace(
        entry.row,
        rounds=passage.angle_rounds(),
        model_rounds=reached,
        angle_floor=sqrt(square),
        error_floor=floor,
        left=passage.left,
        rate=1.0,
        how="exact law of the b-step",
        sources=(source,),
        notes=tuple(notes),
    )


def fedsvd(entry: Entry, _: Case, before: Before) -> Row:
    """FedSVD at rank 1: the server turns a within its own line."""
    same = before["ffa"]
    why = (
        "at rank 1 a new basis of a's line is a itself, up to its sign: the numbers are FFA-LoRA's"
    )
    return replace(same, method=entry.method, label=entry.label, notes=(why, *same.notes))


def _with_one_step(case: Case, square: float) -> Iterator[str]:
    """Where one gradient step on b a round settles, from the closed forms of one hardship each."""
    setting = case.setting
    eta, noise, p = setting.kappa / 2.0, setting.noise, setting.outputs
    private, few = setting.privacy_noise, not case.all_present
    added, of, limit = 0.0, "", " and infinitely many samples"
    if case.alike and not private and eta * (1.0 + 2.0 / setting.pooled) < 1.0:
        of, limit = "of_labels", ""
        added = float(method_floors.of_labels(eta, noise, p, square, setting.pooled))
    elif eta >= 1.0 or (not case.alike and noise) or (private and (few or noise)):
        yield "with one gradient step on b a round instead there is no closed form here"
        return
    elif private:
        of = "of_privacy"
        added = float(method_floors.of_privacy(eta, private, p, setting.clients))
    elif few:
        of = "of_participation"
        spread = floors.Spread.of(case.law()).whole
        sizes = setting.clients, setting.active
        added = float(method_floors.of_participation(eta, sqrt(1.0 - square), spread, *sizes))
    name = f" (theory.other_methods.method_floors.{of})" if of else ""
    yield (
        f"with one gradient step on b a round instead, η = κ/2{limit}, its error settles at"
        f" {sqrt(square + added):.3g}{name}"
    )

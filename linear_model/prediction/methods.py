"""The methods a prediction has a row for, an entry each; a formula for one more is one more entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, sqrt

import numpy as np

import federated_lora
from federated_lora import Shape, Traffic
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.methods.ffa_least_squares import FFALeastSquares
from linear_model.prediction import floors, limits
from linear_model.prediction.law import Law
from linear_model.prediction.passage import LONGEST, Rounds, first_passage
from linear_model.prediction.result import Row
from linear_model.prediction.setting import Setting
from theory.clients_differ import fedavg_flow

CHAIN = "exact chain of scalars (linear_model.prediction.chain, theory.md §5)"
FLOW_WORK = 10_000_000
"""Client-rounds of FedAvg-LoRA's closed form."""
MOST_WEIGHT = 600
"""Work of a trial's round up to which the chain of several local steps takes a second or two."""


@dataclass(frozen=True, slots=True)
class Case:
    """A setting with its clients' targets (N, p), whose mean has length 1."""

    setting: Setting
    targets: np.ndarray

    def law(self, **variant: bool) -> Law:
        """The law of a round."""
        return Law.of(self.setting, self.targets, **variant)


@dataclass(frozen=True, slots=True)
class Entry:
    """A method: what it is called, how often a round exchanges with the server, what makes its row."""

    method: str
    label: str
    exchanges: int
    make: Callable[[Entry, Case], Row]


def rolora(entry: Entry, case: Case) -> Row:
    """Algorithm 2 by the chain, its floors by formula and by the chain at rest."""
    setting, law = case.setting, case.law(pooled=entry.method.endswith("pooled"))
    row = Row(entry.method, entry.label)
    if law.pooled and law.privacy:
        why = "a pooled b-step sends Gram numbers, to which noise on factors does not apply"
        return replace(row, notes=(f"no answer with privacy noise: {why}",))
    if law.steps_weight > MOST_WEIGHT:
        why = f"{law.local_steps} local steps of {law.active} clients are too many numbers for a second"
        return replace(row, notes=(f"no answer: {why}; ask for fewer clients, or one step",))
    rate, notes = floors.kept(law), list(limits.of_step(law))
    angle, error, sources = 0.0, 0.0, [CHAIN]
    stable = rate < 1.0 and law.kappa < 2.0
    formula = stable and law.local_steps == 1
    adding = floors.contributions(law) if stable else {}
    if formula:
        angle = floors.square_angle(law)
        sources += [one.source for one in adding]
    if angle >= 1.0:  # no sine: nothing of first order holds
        notes += limits.of_no_sine(angle)
        formula = False
    if formula:
        error = angle + floors.fit_excess(law, angle)
    measured = None
    if adding:
        begin = sqrt(min(angle, 0.8)) or 0.1
        known = rate if law.local_steps == 1 else None
        measured = floors.at_rest(law, setting.seed, entry.method, begin, known)
    floor, settles = sqrt(angle) if formula else None, inf
    notes += limits.of_floor(floor, measured and measured[0])
    if formula or (stable and not adding):
        settles = sqrt(angle)
    elif measured:
        settles = measured[0].value
    passage = first_passage(setting, law, rate, entry.method, settles)
    notes += limits.of_passage(law, passage, setting.eps, floor)
    return replace(
        row,
        rounds=passage.angle_rounds(),
        model_rounds=passage.model_rounds(),
        angle_floor=floor,
        error_floor=sqrt(error) if formula else None,
        angle_measured=measured and measured[0],
        error_measured=measured and measured[1],
        left=passage.left,
        how=CHAIN
        if passage.bank is None
        else f"{CHAIN}, clients' sums from a bank of {passage.bank} draws",
        sources=tuple(sources),
        notes=tuple(notes),
    )


def ffa(entry: Entry, case: Case) -> Row:
    """FFA-LoRA with least squares: at its floor after one round."""
    law, setting = case.law(frozen=True), case.setting
    row = Row(entry.method, entry.label)
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
    return replace(
        row,
        rounds=passage.angle_rounds(),
        model_rounds=reached,
        angle_floor=sqrt(square),
        error_floor=floor,
        left=passage.left,
        how="exact law of the b-step",
        sources=(source,),
        notes=tuple(notes),
    )


def fedavg(entry: Entry, case: Case) -> Row:
    """FedAvg-LoRA whose clients go to their local optima: the closed form of its interference."""
    setting, name = case.setting, "theory.clients_differ.fedavg_flow.trajectory, theory.md §10"
    row = Row(entry.method, entry.label, sources=(name,))
    missing = no_local_optimum(setting)
    if missing:
        return replace(row, notes=(missing,))
    if case.law().targets is None or np.ptp(np.linalg.norm(case.targets, axis=1)) < 1e-12:
        why = "clients of equal ‖b_i*‖ do not interfere"
        return _at_once(replace(row, how="closed form"), why)
    limit = max(min(LONGEST // 2, FLOW_WORK // setting.clients), 1)
    excess, _ = fedavg_flow.trajectory(case.targets, limit)
    there = np.flatnonzero(np.sqrt(excess) <= setting.eps)
    row = replace(row, rounds=_exactly(1), angle_floor=0.0, error_floor=0.0, how="closed form")
    if there.size:
        return replace(
            row, model_rounds=_exactly(int(there[0]) + 1), left=float(sqrt(excess[there[0]]))
        )
    later = sqrt(float(fedavg_flow.decay_constant(case.targets))) / setting.eps
    note = (
        f"its error is {sqrt(excess[-1]):.3g} after {limit} rounds and falls like 1/t in the limit, which"
        f" would be ε after about {later:.3g} rounds (theory.clients_differ.fedavg_flow.decay_constant)"
    )
    missed = Rounds(None, None, None, limit, 0.0)
    return replace(row, model_rounds=missed, left=float(sqrt(excess[-1])), notes=(note,))


def averaged_products(entry: Entry, case: Case) -> Row:
    """FlexLoRA, FLoRA, FedEx-LoRA with local optima: the mean of rank-one targets a* b_i*ᵀ is a* b̄*ᵀ."""
    source = "mean of the products of local optima, theory.md §11"
    row = Row(entry.method, entry.label, how="closed form", sources=(source,))
    missing = no_local_optimum(case.setting)
    if missing:
        return replace(row, how="", notes=(missing,))
    return _at_once(row, "the exact mean product has rank 1")


ENTRIES = (
    Entry("algorithm2", "RoLoRA", 2, rolora),
    Entry("algorithm2-pooled", "RoLoRA pooled b", 2, rolora),
    Entry("ffa", "FFA-LoRA", 1, ffa),
    Entry("fedavg", "FedAvg-LoRA", 1, fedavg),
    Entry("flexlora", "FlexLoRA", 1, averaged_products),
    Entry("flora", "FLoRA", 1, averaged_products),
    Entry("fedex", "FedEx-LoRA", 1, averaged_products),
)


def unanswered() -> tuple[str, ...]:
    """Federated methods without a row."""
    told = {entry.method for entry in ENTRIES} | {"rolora"}
    return tuple(name for name in federated_lora.method_names() if name.split(":")[0] not in told)


def no_local_optimum(setting: Setting) -> str:
    """Why local optima have no closed form here; empty if they have one."""
    reasons = {
        f"m = {setting.samples} < d = {setting.d} samples do not fix a client's optimum": setting.samples
        < setting.d,
        "label noise moves the local optima": setting.noise > 0.0,
        "privacy noise is added to them": setting.privacy_noise > 0.0,
        "only some clients take part": setting.active < setting.clients,
    }
    found = [why for why, here in reasons.items() if here]
    if not found:
        return ""
    return f"no formula here, {' and '.join(found)}; simulate it: `rolora linear run --method …`"


def _exactly(rounds: int) -> Rounds:
    return Rounds(rounds, rounds, rounds, rounds, 1.0)


def _at_once(row: Row, why: str) -> Row:
    """Exact after one round."""
    row = replace(row, notes=(*row.notes, f"exact after one round: {why}"))
    one = _exactly(1)
    return replace(row, rounds=one, model_rounds=one, angle_floor=0.0, error_floor=0.0, left=0.0)


def _traffic(entry: Entry, setting: Setting) -> Traffic:
    """Numbers a client sends and receives in a round of which it missed nothing before."""
    shape, own = Shape(setting.d, 1, setting.outputs), entry.method
    if own.startswith("algorithm2"):
        return (
            Algorithm2(kappa=setting.kappa, pooled=own.endswith("pooled")).exchange(shape).traffic
        )
    if own == "ffa":
        return FFALeastSquares().exchange(shape).traffic
    rule = federated_lora.method_named(own)
    traffic = rule.traffic([shape], 1)
    if not rule.merges:
        return traffic
    # What it merges goes down: all clients' factors, with the residual the server's too, or a dense matrix.
    rank = setting.active + (traffic.down > 0)
    whole = min(rank * (shape.d_in + shape.d_out), shape.d_in * shape.d_out)
    return traffic + Traffic(0, whole)


def _told(row: Row, entry: Entry, setting: Setting) -> Row:
    """With the numbers a round moves, and those per client until the model's error is at most ε.

    Who sat out the round before is sent that round's result first, as `federation.sent` counts it.
    """
    traffic = _traffic(entry, setting)
    row = replace(row, up=traffic.up, down=traffic.down, exchanges=entry.exchanges)
    reached = row.model_rounds.median if row.model_rounds else None
    if reached is None:
        return row
    share = setting.active / setting.clients
    missed = max(reached - 1, 0) * (1.0 - share) * traffic.down
    return replace(row, sent=float(share * (reached * traffic.total + missed)))


def rows(case: Case) -> tuple[Row, ...]:
    """Every method's."""
    setting = case.setting
    return tuple(_told(entry.make(entry, case), entry, setting) for entry in ENTRIES)

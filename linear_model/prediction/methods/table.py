"""The methods a prediction has a row for, an entry each; a formula for one more is one more entry."""

from __future__ import annotations

from dataclasses import replace

import federated_lora
from federated_lora import Shape, Traffic
from linear_model.methods.algorithm2 import Algorithm2
from linear_model.methods.ffa_least_squares import FFALeastSquares
from linear_model.prediction.methods import frozen, local_optima, population, rolora, schedules
from linear_model.prediction.methods.base import Case, Entry
from linear_model.prediction.result import Row
from linear_model.prediction.setting import Setting

ENTRIES = (
    Entry("algorithm2", "RoLoRA", 2, rolora.rolora),
    Entry("algorithm2-pooled", "RoLoRA pooled b", 2, rolora.rolora),
    Entry("ffa", "FFA-LoRA", 1, frozen.ffa),
    Entry("fedavg", "FedAvg-LoRA", 1, local_optima.fedavg),
    Entry("flexlora", "FlexLoRA", 1, local_optima.averaged_products),
    Entry("flora", "FLoRA", 1, local_optima.averaged_products),
    Entry("fedex", "FedEx-LoRA", 1, local_optima.averaged_products),
    Entry("fedsa", "FedSA-LoRA", 1, rolora.own_fits),
    Entry("fedsvd", "FedSVD", 1, frozen.fedsvd),
    Entry("fedrot", "FedRot-LoRA", 1, local_optima.fedrot),
    Entry("lora-fair", "LoRA-FAIR", 1, local_optima.lora_fair),
    Entry("la-lora", "LA-LoRA", 1, rolora.own_fits),
    Entry("rolora-cv", "RoLoRA-CV", 2, population.control_variates),
    Entry("rolora-precond", "RoLoRA-Precond", 2, population.preconditioned),
    Entry("rolora-momentum", "RoLoRA momentum", 2, population.momentum),
    Entry("fedavg-cv", "FedAvg-LoRA-CV", 1, population.both_factors),
    Entry("a-heavy", "A-heavy", 4, population.heavy_a),
    Entry("b-heavy", "B-heavy", 4, schedules.heavy_b),
    Entry("rolora-then-ffa", "RoLoRA, then FFA", 1, schedules.switch),
    Entry("ffa-then-rolora", "FFA, then RoLoRA", 1, schedules.switch),
)
"""Of `rolora` the row is that of Algorithm 2; a row may be made from those before it."""


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
    first, *more = (rule.traffic([shape], number + 1) for number in range(entry.exchanges))
    traffic = sum(more, first)
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
    if entry.make is schedules.switch:  # what a round sends depends on the run's length
        return replace(row, exchanges=entry.exchanges)
    traffic = _traffic(entry, setting)
    row = replace(row, up=traffic.up, down=traffic.down, exchanges=entry.exchanges, sent=None)
    reached = row.model_rounds.median if row.model_rounds else None
    if reached is None:
        return row
    share = setting.active / setting.clients
    missed = max(reached - 1, 0) * (1.0 - share) * traffic.down
    return replace(row, sent=float(share * (reached * traffic.total + missed)))


def rows(case: Case) -> tuple[Row, ...]:
    """Every method's."""
    found: dict[str, Row] = {}
    for entry in ENTRIES:
        found[entry.method] = _told(entry.make(entry, case, found), entry, case.setting)
    return tuple(found.values())

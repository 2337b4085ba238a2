"""The paper's three methods after an equal number of exchanges, or of numbers sent: who is ahead where."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np

from linear_model.prediction import floors
from linear_model.prediction.chain import step
from linear_model.prediction.law import Law, Supply
from linear_model.prediction.methods.local_optima import no_local_optimum
from linear_model.prediction.passage import start
from linear_model.prediction.setting import Setting
from theory.clients_differ import fedavg_flow
from verification.streams import generator

EXCHANGES = {"equal exchanges": 2, "equal traffic": 1}
"""Rounds of FedAvg-LoRA that are compared with one of RoLoRA, which is both half-steps."""


def errors_after(setting: Setting, exchanges: int, trials: int = 64) -> dict[str, dict[str, float]]:
    """The model's root mean square error per method, after so many exchanges and after as much traffic.

    FedAvg-LoRA makes one exchange a round, of both factors, and goes to local optima; RoLoRA's round is two,
    of one factor each, so it sends what FedAvg-LoRA does. "Nothing here says" is inf.

    Returns:
        By "equal exchanges" and "equal traffic", the errors by method.
    """
    law = Law.of(setting, setting.targets)
    rng = generator(setting.seed, "prediction phase")
    supply = Supply(rng, law, trials * exchanges)
    c, s = start(rng, setting, trials)
    errors = np.empty(exchanges)
    for number in range(exchanges):
        c, s, excess = step(rng, law, c, s, supply(trials))
        errors[number] = sqrt(float(excess.mean()))
    frozen = Law.of(setting, setting.targets, frozen=True)
    ffa = inf
    if floors.fit_variance(frozen) < inf:
        ffa = sqrt(floors.frozen_excess(frozen, setting.delta0**2))
    fedavg = inf
    if not no_local_optimum(setting):
        risk, _ = fedavg_flow.trajectory(setting.targets, exchanges)
        fedavg = sqrt(float(risk[-1]))
    return {
        at: {"rolora": float(errors[exchanges // each - 1]), "fedavg": fedavg, "ffa": ffa}
        for at, each in EXCHANGES.items()
    }

"""FedAvg-LoRA with local optima against RoLoRA in the long run: the round of the last crossing."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isfinite, sqrt

import numpy as np

from linear_model.prediction.methods.base import Case
from linear_model.prediction.methods.local_optima import equal_lengths, no_local_optimum
from linear_model.prediction.result import Winner
from linear_model.prediction.setting import Setting
from theory.clients_differ import fedavg_flow
from theory.other_methods import who_wins

AT = "the long run, m → ∞, RoLoRA against FedAvg-LoRA"
SHORTEST = 1e-3
"""Distance of κ from 0, 1 and 2 from which on its logarithms are no rounding."""
SOURCE = "theory.other_methods.who_wins.crossing_round, theory.md §17"


def winners(case: Case) -> Iterator[Winner]:
    """Who leads for ever, and from which round; nothing where no theorem compares them."""
    setting = case.setting
    many = setting.changed(samples=max(setting.samples, setting.d), noise=0.0)
    if no_local_optimum(many) or case.alike or setting.local_steps > 1:
        return
    if equal_lengths(case.targets):
        yield Winner(AT, ("fedavg",), "clients of equal ‖b_i*‖: it is exact after one round")
        return
    crossing = _crossing(setting, case.targets)
    if crossing is None:
        return
    since = f"for ever from round {crossing:.4g}" if crossing else "throughout"
    rate = abs(1.0 - setting.kappa)
    because = (
        f"{since} on: FedAvg-LoRA's excess falls like C/t², RoLoRA's by {rate**2:.3g} a round; from"
        f" {_words(setting)} ({SOURCE})"
    )
    yield Winner(AT, ("algorithm2",), because)


def _words(setting: Setting) -> str:
    return "a start at cos²θ = 1/d" if setting.start == "random" else f"sin θ = {setting.start}"


def _crossing(setting: Setting, targets: np.ndarray) -> float | None:
    """The round of the last crossing; None where κ or the targets leave none."""
    kappa, s = setting.kappa, setting.delta0
    if min(kappa, 2.0 - kappa, abs(1.0 - kappa)) < SHORTEST or not 0.0 < s < 1.0:
        return None
    tangent = sqrt(setting.d - 1.0) if setting.start == "random" else s / sqrt(1.0 - s * s)
    decay = float(fedavg_flow.decay_constant(targets))
    ahead = who_wins.prefactor(tangent, kappa)
    if not (0.0 < ahead < inf and decay > 0.0):
        return None
    found = who_wins.crossing_round(decay, ahead, kappa)
    return found if isfinite(found) else None

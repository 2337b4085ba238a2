"""Every negative control is within 10 % of the true statement where a number is at stake.

A claim's mutant is a number beside the true one, and then the distance is read off; or it is listed here,
with what it puts in the place of the true number, or with why there is none.
"""

import numpy as np
import pytest

from llm_validation.claims import planted
from nonlinear_model.claims import (
    atlas_predicts_network,
    drift_correction,
    ffa_seed_spread,
    mnist_lead_size,
    study_replay,
)
from nonlinear_model.study import table
from nonlinear_model.study.design import DIFFERENCE
from rolora.verify.registry import entries
from theory.samples.bstep import mean_variance
from verification.budget import Budget

CLAIMS = {one.name: one.value for one in entries()}
MOST = 0.1

TURNED = "says the opposite of a ranking, which names no number"
OTHER = {
    "alternating-exact": "says of another method that it trains one factor a round",
    "mnist-ranking": TURNED,
    "mnist-gap-over-fedavg": TURNED,
    "mnist-gap-over-ffa": TURNED,
    "schedule-balance": TURNED,
    "early-A-matters": TURNED,
    "local-steps": TURNED,
}
"""Mutants with no number at stake, and what they are."""


def _half_in_every_round() -> float:
    at = CLAIMS["traffic-halved"].control_at
    return at["d_out"] / (at["d_in"] + at["d_out"]) / 0.5 - 1.0


def _without_the_noise_along_b() -> float:
    at = CLAIMS["noise-floor"]
    clients, samples = at.control_at["clients"], at.parameters["samples"]
    return float(mean_variance(clients, samples))


def _one_cell() -> float:
    pairs = zip(table.stored(), study_replay.tampered(table.stored(), "cell"), strict=True)
    (changed,) = [b["score"] / a["score"] for a, b in pairs if a["score"] != b["score"]]
    return changed - 1.0


def _planted_lead() -> float:
    found = CLAIMS["mnist-lead-size"].negative_control(Budget())
    assert {round(c.measured, 12) for c in found.comparisons} == {-mnist_lead_size.TOO_MUCH}
    return mnist_lead_size.TOO_MUCH / DIFFERENCE


def _planted_loss() -> float:
    found = CLAIMS["drift-correction"].negative_control(Budget())
    assert np.allclose([c.measured for c in found.comparisons], -drift_correction.BEHIND)
    return drift_correction.BEHIND / DIFFERENCE


def _planted_count() -> float:
    found = CLAIMS["atlas-predicts-network"].negative_control(Budget())
    right, many = atlas_predicts_network.PLANTED
    assert {c.measured for c in found.comparisons} == {right / many}
    return right / many / atlas_predicts_network.HALF - 1.0


def _planted_spread() -> float:
    found = CLAIMS["ffa-seed-spread"].negative_control(Budget())
    assert np.allclose([c.measured for c in found.comparisons], -ffa_seed_spread.TENTH)
    return float(np.expm1(ffa_seed_spread.TENTH))


TOLD = {
    "traffic-halved": _half_in_every_round,
    "noise-floor": _without_the_noise_along_b,
    "study-replay": _one_cell,
    "mnist-lead-size": _planted_lead,
    "drift-correction": _planted_loss,
    "ffa-seed-spread": _planted_spread,
    "atlas-predicts-network": _planted_count,
}
"""How far a mutant is off whose parameter is a word."""


@pytest.mark.parametrize("name", [name for name in CLAIMS if name not in OTHER])
def test_a_control_is_within_a_tenth(name: str) -> None:
    claim = CLAIMS[name]
    ((parameter, value),) = claim.mutant.items()
    true = claim.positive.get(parameter, claim.parameters[parameter])
    if name in TOLD:
        off = TOLD[name]()
    elif claim.section == "language-models":  # in half-widths: a nearer one no runs could tell
        off = planted.BEYOND - 1.0
    else:
        assert not isinstance(value, bool | str), f"{name} must tell how far {value!r} is off"
        off = float(value / true - 1 if true else value)  # of a share that is 0, the share itself
    assert 0 < abs(off) <= MOST + 1e-12, (parameter, true, value)


def test_every_exception_is_a_claim_and_names_no_number() -> None:
    for name in OTHER:
        assert all(isinstance(value, bool | str | tuple) for value in CLAIMS[name].mutant.values())

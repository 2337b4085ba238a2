from __future__ import annotations

import numpy as np

from linear_model.claims import noise_floor
from verification.budget import Budget
from verification.verdict import Verdict


def test_claim_is_proved_and_its_control_refuted() -> None:
    assert noise_floor.CLAIM.check(Budget()).verdict is Verdict.PROVED
    assert noise_floor.CLAIM.negative_control(Budget(seed=2)).verdict is Verdict.REFUTED


def test_each_trial_gives_one_number() -> None:
    squares = noise_floor.stationary_squares(Budget(), noise_floor.CELLS[0], 0.01, 7)
    assert squares.shape == (7,)
    assert np.all(squares > 0)

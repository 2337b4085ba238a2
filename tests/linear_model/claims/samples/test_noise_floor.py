from __future__ import annotations

import numpy as np

from linear_model.claims.samples import noise_floor
from verification.budget import Budget


def test_each_trial_gives_one_number() -> None:
    squares = noise_floor.stationary_squares(Budget(), noise_floor.CELLS[0], 0.01, 7)
    assert squares.shape == (7,)
    assert np.all(squares > 0)

from __future__ import annotations

import numpy as np

from linear_model.claims.samples import noise_floor
from verification.budget import Budget
from verification.evidence import Evidence


def test_each_trial_gives_one_number() -> None:
    squares = noise_floor.stationary_squares(
        Evidence("noise-floor", Budget()), (4, 2, 8, 0.5), 0.01, 7
    )
    assert squares.shape == (7,)
    assert np.all(squares > 0)

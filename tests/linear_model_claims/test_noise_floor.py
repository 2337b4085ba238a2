from __future__ import annotations

import numpy as np
import pytest

from linear_model.claims import noise_floor
from theory import noise
from theory.budget import Budget
from theory.verdict import Verdict


def test_claim_is_proved_and_its_control_refuted() -> None:
    assert noise_floor.CLAIM.check(Budget()).verdict is Verdict.PROVED
    assert noise_floor.CLAIM.negative_control(Budget(seed=2)).verdict is Verdict.REFUTED


def test_each_trial_gives_one_number() -> None:
    squares = noise_floor.stationary_squares(Budget(), noise_floor.CELLS[0], 0.01, 7)
    assert squares.shape == (7,)
    assert np.all(squares > 0)


@pytest.mark.parametrize("name", ["round_noise", "floor", "fit_inflation", "next_tangent_vector"])
def test_a_formula_off_by_five_percent_is_noticed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = getattr(noise, name)
    monkeypatch.setattr(noise, name, lambda *args: exact(*args) * 1.05)
    # The derivation alone would notice; here the measurement must, wherever it uses the formula.
    if name != "next_tangent_vector":
        monkeypatch.setattr(noise, "derive", tuple)
    assert noise_floor.CLAIM.check(Budget()).verdict is Verdict.REFUTED

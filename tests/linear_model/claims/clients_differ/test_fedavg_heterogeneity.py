from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from linear_model.claims.clients_differ import fedavg_heterogeneity
from theory.clients_differ import fedavg_flow
from verification.budget import Budget
from verification.verdict import Verdict


def test_flow_from_an_aligned_start_keeps_the_direction() -> None:
    targets = np.array([[1.0, 0.3], [1.2, -0.4]])
    excess, sizes, sines = fedavg_heterogeneity.flow_rounds(
        targets, np.array([1.3, 0.0, 0.0]), np.array([0.2, 0.1]), 1
    )
    q = 1.3**2 - 0.05
    scales, fits = fedavg_flow.client_optima(q, targets)
    assert sines[0] == 0.0
    assert excess[0] == pytest.approx(fedavg_flow.interference(scales, fits), rel=1e-6)
    assert sizes[0] == pytest.approx(q + fedavg_flow.growth(scales, fits), rel=1e-9)


@pytest.mark.parametrize("name", ["client_scale", "interference", "growth", "decay_constant"])
def test_a_formula_off_by_five_percent_is_noticed_by_measurement_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = getattr(fedavg_flow, name)

    def off(*args: object) -> object:
        value = exact(*args)
        return value * (sp.Rational(21, 20) if isinstance(value, sp.Basic) else 1.05)

    monkeypatch.setattr(fedavg_flow, name, off)
    monkeypatch.setattr(fedavg_flow, "derive", tuple)
    assert fedavg_heterogeneity.check(Budget()).verdict is Verdict.REFUTED

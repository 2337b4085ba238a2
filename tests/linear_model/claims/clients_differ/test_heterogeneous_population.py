from __future__ import annotations

import pytest
import sympy as sp

from linear_model.claims.clients_differ import heterogeneous_population
from theory.clients_differ import heterogeneity
from verification.budget import Budget
from verification.verdict import Verdict


@pytest.mark.parametrize(
    "name", ["effective_kappa", "excess", "excess_after_round", "sampling_floor"]
)
def test_a_formula_off_by_five_percent_is_noticed_by_measurement_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = getattr(heterogeneity, name)

    def off(*args: object) -> object:
        value = exact(*args)
        return value * (sp.Rational(21, 20) if isinstance(value, sp.Basic) else 1.05)

    monkeypatch.setattr(heterogeneity, name, off)
    monkeypatch.setattr(heterogeneity, "derive", tuple)
    assert heterogeneous_population.check(Budget()).verdict is Verdict.REFUTED

import numpy as np
import pytest

from linear_model.claims.clients_differ import fedavg_heterogeneity
from theory.clients_differ import fedavg_flow


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

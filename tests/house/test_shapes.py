"""The shapes in the signatures of the lower packages hold on every call of a representative piece."""

import pytest

from tests.house.test_import_floors import fresh

HOOKED = """
import tests.support.shapes
from jaxtyping import install_import_hook
with install_import_hook(["federated_lora", "theory", "linear_model"], "tests.support.shapes.arrays_checked"):
    import numpy as np
    import federated_lora.weights, rolora
    from linear_model import Algorithm2, FFALeastSquares, LocalSteps, Problem, simulate
"""
PIECES = {
    "rules on numpy": "rolora.check('interference-identity')",
    "rules on torch": """
import torch
from federated_lora import Adapter, ClientFactors, FedAvgLoRA, aggregate, aggregation_error
server = Adapter(torch.ones(4, 2), torch.ones(2, 3))
clients = ClientFactors(A=torch.ones(5, 4, 2), B=torch.ones(5, 2, 3))
weights = np.full(5, 0.2)
found = aggregate(FedAvgLoRA(), server, clients, weights, 1)
aggregation_error(found.adapter, server, clients, weights)
""",
    "theory": "for id in ('population-map', 'rank-r-map', 'nonconvex-bound'): rolora.check(id)",
    "theory of clients that differ": "rolora.check('fedavg-heterogeneity')",
    "simulators": """
wide = Problem(d=6, rank=2, clients=4, samples=20, noise=0.1, participants=3)
for problem in (Problem(d=6, clients=3, samples=20), wide):
    for method in (Algorithm2(kappa=0.5), FFALeastSquares(), LocalSteps(eta=0.1, local_steps=2)):
        for simulator in ("data", "gram", "population"):
            if simulator != "population" or problem is not wide:
                simulate(problem, method, simulator=simulator, rounds=2, trials=2)
""",
}
PLANTED = {
    "weights": "federated_lora.weights.accumulated_mean(np.ones((3, 4, 2)), np.ones((3, 1)))",
    "samples": """
from linear_model.simulators.samples import SampleClients
SampleClients(np.ones((2, 3, 9, 4)), np.ones((2, 3, 9, 5))).fit(np.ones((2, 4)))
""",
    "dtype": "from theory.population.angle import spectral_norm; spectral_norm(np.ones((3, 2), int))",
}


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_every_array_has_the_shape_its_signature_says(piece):
    fresh(HOOKED + piece)


@pytest.mark.parametrize("piece", PLANTED.values(), ids=PLANTED)
def test_a_wrong_shape_or_type_is_seen(piece):
    with pytest.raises(AssertionError, match="TypeCheckError"):
        fresh(HOOKED + piece)

"""The shapes in the signatures of the lower packages hold on every call of a representative piece."""

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


# One interpreter for all: what is checked must be imported by the hook, and that takes longest.
def test_every_array_has_the_shape_its_signature_says():
    said = [f"exec({piece!r})\nprint({name!r})\n" for name, piece in PIECES.items()]
    assert fresh(HOOKED + "".join(said)).splitlines() == [*PIECES]


def test_a_wrong_shape_or_type_is_seen():
    tried = [
        f"try: exec({piece!r})\nexcept Exception as e: print({name!r}, type(e).__name__)\n"
        for name, piece in PLANTED.items()
    ]
    seen = fresh(HOOKED + "".join(tried)).splitlines()
    assert seen == [f"{name} TypeCheckError" for name in PLANTED]

"""The round that `benchmarks.nonlinear` times, in Flower's simulation engine on Ray.

    python benchmarks/flower_round.py '{"clients": 10, …, "out": "seconds.json"}'

Needs an interpreter with `flwr[simulation]` and torch; imports nothing of ours. FedAvg of both LoRA factors,
the same network, local steps and batch as the stacked engine; each client holds its data in memory. The time
of a round is taken between two calls of the server's aggregation.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import flwr
import numpy as np
import ray
import torch
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation

SETTINGS = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}


def start() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    r, h = SETTINGS["rank"], SETTINGS["hidden"]
    shapes = ((784, r), (r, h))
    return [(rng.standard_normal(s) / np.sqrt(s[0])).astype(np.float32) for s in shapes]


def make_client(settings: dict) -> type[NumPyClient]:
    class Client(NumPyClient):
        """K steps of SGD on both factors, W_out fixed."""

        def fit(self, parameters, config):
            """One client's local training."""
            torch.set_num_threads(1)
            generator = torch.Generator().manual_seed(0)
            x = torch.rand(6000, 784, generator=generator)
            y = torch.arange(6000) % 10
            head = torch.randn(settings["hidden"], 10, generator=generator) / 14.0
            A, B = (torch.tensor(value, requires_grad=True) for value in parameters)
            optimiser = torch.optim.SGD([A, B], lr=0.01)
            for _ in range(settings["steps"]):
                rows = torch.randint(0, 6000, (settings["batch"],), generator=generator)
                loss = torch.nn.functional.cross_entropy(
                    torch.relu(x[rows] @ A @ B) @ head, y[rows]
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            return [A.detach().numpy(), B.detach().numpy()], 6000, {}

    return Client


class Timed(FedAvg):
    """FedAvg that notes when each round's aggregation is done."""

    def __init__(self, moments: list[float], **options):
        super().__init__(**options)
        self.moments = moments

    def aggregate_fit(self, server_round, results, failures):
        """Average, and note the time."""
        assert not failures, failures[0]
        done = super().aggregate_fit(server_round, results, failures)
        self.moments.append(time.perf_counter())
        return done


def main() -> None:
    moments: list[float] = []
    client = make_client(dict(SETTINGS))

    def client_fn(context: Context):
        return client().to_client()

    def server_fn(context: Context):
        strategy = Timed(
            moments,
            fraction_fit=1.0,
            fraction_evaluate=0.0,
            min_fit_clients=SETTINGS["clients"],
            min_available_clients=SETTINGS["clients"],
            initial_parameters=ndarrays_to_parameters(start()),
        )
        return ServerAppComponents(
            strategy=strategy, config=ServerConfig(num_rounds=SETTINGS["rounds"])
        )

    run_simulation(
        server_app=ServerApp(server_fn=server_fn),
        client_app=ClientApp(client_fn=client_fn),
        num_supernodes=SETTINGS["clients"],
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
    seconds = float(np.min(np.diff(moments)))
    body = {"seconds": seconds, "flwr": flwr.__version__, "ray": ray.__version__}
    Path(SETTINGS["out"]).write_text(json.dumps(body))


if __name__ == "__main__":
    main()

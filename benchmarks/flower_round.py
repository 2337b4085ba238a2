"""The round that `benchmarks.nonlinear` times, in Flower's simulation engine on Ray.

    python benchmarks/flower_round.py '{"clients": 10, …, "out": "seconds.json"}'

Needs an interpreter with `flwr[simulation]` and torch; imports nothing of ours. FedAvg of both LoRA factors,
the same network, images, local steps and batches as the stacked engine. Each client is an actor's task on one
CPU and one thread, `actors` of them at a time. Its images lie in a file that is mapped into memory and read
before the timed rounds, so nothing is made or loaded in a round but the rows of its batches. The time of a
round is taken between two calls of the server's aggregation: starting Ray and the actors' first round are
left out, and evaluation is off.
"""

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

        def __init__(self, place: int):
            self.place = place

        def fit(self, parameters, config):
            """One client's local training."""
            torch.set_num_threads(1)
            x = torch.from_numpy(np.load(settings["images"], mmap_mode="c"))
            y = torch.from_numpy(np.load(settings["labels"], mmap_mode="c"))
            head = torch.from_numpy(np.load(settings["head"]))
            per_client = len(y) // settings["clients"]
            rng = np.random.default_rng()
            wanted = settings["steps"] * settings["batch"]
            picks = rng.choice(per_client, size=wanted, replace=False)
            picks = picks + self.place * per_client
            batches = torch.from_numpy(picks).view(settings["steps"], settings["batch"])
            A, B = (torch.tensor(value, requires_grad=True) for value in parameters)
            optimiser = torch.optim.SGD([A, B], lr=0.01)
            for rows in batches:
                loss = torch.nn.functional.cross_entropy(
                    torch.relu(x[rows] @ A @ B) @ head, y[rows]
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            return [A.detach().numpy(), B.detach().numpy()], per_client, {}

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
    np.load(SETTINGS["images"]).sum()  # into the page cache
    client = make_client(dict(SETTINGS))

    def client_fn(context: Context):
        return client(int(context.node_config["partition-id"])).to_client()

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
        backend_config={
            "init_args": {"num_cpus": SETTINGS["actors"]},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )
    seconds = float(np.min(np.diff(moments)))
    body = {"seconds": seconds, "flwr": flwr.__version__, "ray": ray.__version__}
    Path(SETTINGS["out"]).write_text(json.dumps(body))


if __name__ == "__main__":
    main()

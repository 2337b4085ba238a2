"""What the server pays for FlexLoRA's SVD, as a ratio against a dense SVD in the same run.

    python -m benchmarks.methods [--out FILE] [--repeats K] [--sizes 2048,4096]

A square layer of each size at rank 8 with 50 clients, float64, one thread. Exit status 1 if a requirement
does not hold. A model of 200 such layers costs 200 times one: the layers do not meet.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.ratios import Case, by_turns, told
from federated_lora import Adapter, ClientFactors, aggregate, method_named

DEFAULT_OUT = Path(__file__).parent / "results" / "methods.json"
CLIENTS, RANK, LAYERS = 50, 8, 200
REQUIRED = {4096: 50.0}


def flexlora_case(d: int, repeats: int) -> Case:
    """The method's whole server step, checks included, against an SVD of the dense mean."""
    rng = np.random.default_rng(0)
    server = Adapter(rng.standard_normal((d, RANK)), rng.standard_normal((RANK, d)))
    A, B = rng.standard_normal((CLIENTS, d, RANK)), rng.standard_normal((CLIENTS, RANK, d))
    sent = ClientFactors(A=A, B=B)
    method = method_named("flexlora")

    def dense() -> object:
        mean = np.einsum("kir,kro->io", A, B, optimize=True) / CLIENTS
        U, sigma, Vt = np.linalg.svd(mean, full_matrices=False)
        return U[:, :RANK] * np.sqrt(sigma[:RANK]), np.sqrt(sigma[:RANK, None]) * Vt[:RANK]

    slow, ours, floor = by_turns(
        repeats,
        (dense, 1),
        (lambda: aggregate(method, server, sent, None, 1), 1),
        (lambda: (A.sum(), B.sum()), 1),
    )
    return Case(
        f"FlexLoRA's server step, {d} × {d}, rank {RANK}, {CLIENTS} clients",
        "layer",
        "numpy: the dense mean and its SVD",
        f"aggregate(flexlora): QR of either stack and an SVD of {CLIENTS * RANK} × {CLIENTS * RANK}, checks"
        f" included; {LAYERS} layers would take {LAYERS * ours:.0f} s, dense {LAYERS * slow / 60:.0f} min",
        slow,
        ours,
        REQUIRED.get(d),
        f"read what the clients sent, {(A.nbytes + B.nbytes) / 1e6:.0f} MB, once",
        floor,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Time FlexLoRA's server step.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="JSON file to write")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of each side")
    parser.add_argument("--sizes", default="1024,2048,4096", help="layer sizes")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",") if size.isdecimal()]
    if options.repeats < 1 or not sizes:
        parser.error("--repeats must be at least 1, and --sizes whole numbers, as 1024,4096")
    with threadpool_limits(limits=1):
        cases = [flexlora_case(size, options.repeats) for size in sizes]
    return told("The server's SVD, fastest of the repetitions, one thread", options.out, cases)


if __name__ == "__main__":
    sys.exit(main())

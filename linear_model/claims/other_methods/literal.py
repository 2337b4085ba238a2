"""One round of a federated_lora method, client by client: the reference of this chapter's claims."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from federated_lora import Adapter, ClientFactors, Factor, added, aggregate, method_named
from federated_lora.server_step import Aggregate

Pair = tuple[np.ndarray, np.ndarray]
Train = Callable[[np.ndarray, np.ndarray, np.ndarray], Pair]
"""What client i comes out with, from the A and B that it begins with and its target matrix."""


def server_round(
    name: str, server: Adapter, targets: np.ndarray, train: Train, number: int = 1
) -> Aggregate:
    """The method's own rule on what every client, one after another, made of its target."""
    method = method_named(name)
    sent = [train(server.A, server.B, target) for target in targets]
    stacks = dict(zip(Factor, map(np.stack, zip(*sent, strict=True)), strict=True))
    named = {str(f): stacks[f] for f in method.trainable(number) | method.personal}
    return aggregate(method, server, ClientFactors(**named), None, number)


def models(
    name: str, server: Adapter, targets: np.ndarray, train: Train, rounds: int
) -> list[np.ndarray]:
    """The server's model W + A B after each round; clients train on what W leaves of their targets."""
    W, found = np.zeros(targets.shape[1:]), []
    for number in range(1, rounds + 1):
        made = server_round(name, server, targets - W, train, number)
        server = made.adapter
        W = W if made.merged is None else added(W, made.merged)
        found.append(W + server.delta())
    return found


def to_the_optimum(A: np.ndarray, B: np.ndarray, target: np.ndarray, sweeps: int = 400) -> Pair:
    """Both factors by least squares in turn until they rest, from the A that was broadcast."""
    for _ in range(sweeps):
        before = A @ B
        B = np.linalg.lstsq(A, target, rcond=None)[0]
        A = np.linalg.lstsq(B.T, target.T, rcond=None)[0].T
        if np.abs(A @ B - before).max() < 1e-14:
            break
    return A, B

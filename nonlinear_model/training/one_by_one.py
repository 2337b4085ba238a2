"""The literal way: client after client, autograd, PyTorch's own optimisers. Slow, and the reference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from federation.optimisers import Optimiser
from nonlinear_model.training.all_at_once import Examples, Returned, Server, Work


def train(
    server: Server,
    examples: Examples,
    work: Work,
    optimiser: Optimiser,
    states: dict[tuple[int, int, str], dict[str, Any]] | None = None,
) -> Returned:
    """K local steps of every participant from the server's model, client by client.

    Args:
        server: the broadcast model.
        examples: the training set.
        work: batches, what trains, learning rates.
        optimiser: the update rule; carried out by `torch.optim`.
        states: `torch.optim` state dicts by (replica, participant, tensor name), read and updated in
            place; None for fresh states in this round.

    Returns:
        As the stacked engine returns, without optimiser states.
    """
    R, N, K, _ = work.batches.shape
    results: dict[str, list[Tensor]] = {name: [] for name in sorted(work.train)}
    last, worst = torch.zeros(R, N, dtype=server.A.dtype), torch.zeros(R, N, dtype=server.A.dtype)
    for replica in range(R):
        for client in range(N):
            tensors = {
                name: (value[replica] if value.ndim == 3 else value[replica, client]).clone()
                for name, value in server.tensors().items()
            }
            steppers = {}
            for name in sorted(work.train):
                tensors[name].requires_grad_()
                steppers[name] = optimiser.reference([tensors[name]], float(work.rate[replica]))
                if states is not None and (replica, client, name) in states:
                    steppers[name].load_state_dict(states[replica, client, name])
            steps = K if work.steps is None else int(work.steps[replica, client])
            losses = []
            for rows in work.batches[replica, client, :steps]:
                loss = _loss(tensors, examples, rows, work.scale)
                for stepper in steppers.values():
                    stepper.zero_grad()
                loss.backward()
                for stepper in steppers.values():
                    stepper.step()
                losses.append(float(loss.detach()))
            last[replica, client], worst[replica, client] = losses[-1], max(losses)
            for name, stepper in steppers.items():
                results[name].append(tensors[name].detach())
                if states is not None:
                    states[replica, client, name] = stepper.state_dict()
    stacks = {
        name: torch.stack(values).view(R, N, *values[0].shape) for name, values in results.items()
    }
    return Returned(stacks, last, worst)


def _loss(tensors: dict[str, Tensor], examples: Examples, rows: Tensor, scale: float) -> Tensor:
    pre = scale * (examples.x[rows] @ tensors["A"] @ tensors["B"])
    if examples.base is not None:
        pre = pre + examples.base[rows]
    if "merged" in tensors:
        pre = pre + examples.x[rows] @ tensors["merged"]
    return functional.cross_entropy(torch.relu(pre) @ tensors["head"], examples.y[rows])

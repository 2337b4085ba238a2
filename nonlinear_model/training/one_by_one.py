"""The literal way: client after client, autograd, PyTorch's own optimisers. Slow, and the reference."""

import torch
from torch import Tensor
from torch.nn import functional

from federation.optimisers import Optimiser, State
from nonlinear_model.training.all_at_once import Examples, Returned, Server, Work


def train(
    server: Server,
    examples: Examples,
    work: Work,
    optimiser: Optimiser,
    states: dict[str, State] | None = None,
) -> Returned:
    """K local steps of every participant from the server's model, client by client.

    The participants' optimiser states are updated in place; None for fresh ones, which are not returned.
    """
    R, N, K, _ = work.batches.shape
    results: dict[str, list[Tensor]] = {name: [] for name in sorted(work.train)}
    last, worst = server.A.new_zeros(R, N), server.A.new_zeros(R, N)
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
                if states is not None:
                    held = {slot: v[replica, client] for slot, v in states[name].items()}
                    steppers[name].state[tensors[name]] = held
            steps = K if work.steps is None else int(work.steps[replica, client])
            losses = []
            for k, rows in enumerate(work.batches[replica, client, :steps]):
                loss = _loss(tensors, examples, rows, work.scale)
                for stepper in steppers.values():
                    stepper.zero_grad()
                loss.backward()
                _correct(tensors, work, replica, client)
                for name in sorted(work.moving(k)):
                    steppers[name].step()
                losses.append(float(loss.detach()))
            last[replica, client], worst[replica, client] = losses[-1], max(losses)
            for name, stepper in steppers.items():
                results[name].append(tensors[name].detach())
                for slot, value in ({} if states is None else states[name]).items():
                    value[replica, client] = stepper.state[tensors[name]][slot]
    stacks = {
        name: torch.stack(values).view(R, N, *values[0].shape) for name, values in results.items()
    }
    return Returned(stacks, last, worst, states or {})


def _correct(tensors: dict[str, Tensor], work: Work, replica: int, client: int) -> None:
    if work.shape is not None and tensors["A"].grad is not None:
        tensors["A"].grad = tensors["A"].grad @ work.shape[replica]
    for name, correction in work.corrections.items():
        gradient = tensors[name].grad
        assert gradient is not None  # it trains
        gradient.add_(correction[replica, client])


def _loss(tensors: dict[str, Tensor], examples: Examples, rows: Tensor, scale: float) -> Tensor:
    pre = scale * (examples.x[rows] @ tensors["A"] @ tensors["B"])
    if examples.base is not None:
        pre = pre + examples.base[rows]
    if "merged" in tensors:
        pre = pre + examples.x[rows] @ tensors["merged"]
    return functional.cross_entropy(torch.relu(pre) @ tensors["head"], examples.y[rows])

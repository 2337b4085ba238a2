"""What the participants of a round are to do: the same for whoever asks, the server or a client elsewhere."""

from collections.abc import Sequence

import numpy as np
import torch

from federated_lora import Adapter, Method
from nonlinear_model.configuration import Configuration
from nonlinear_model.training import sampling
from nonlinear_model.training.all_at_once import Work
from nonlinear_model.training.record import Replica


def trained(config: Configuration, method: Method, t: int) -> frozenset[str]:
    """Names of the tensors that train in a round: of `A`, `B`, `head`."""
    head = ["head"] if config.head != "frozen" else []
    return frozenset({*map(str, method.trainable(t)), *head})


def planned(
    config: Configuration,
    method: Method,
    replicas: Sequence[Replica],
    parts: Sequence[Sequence[np.ndarray]],
    t: int,
    people: np.ndarray,
    adapter: Adapter,
    *,
    at_least: int = 0,
) -> Work:
    """The round's work, on the adapter's device.

    Args:
        parts: of each replica, its clients' examples.
        people: the participants, (R, n).
        adapter: the server's, A (R, d, r).
        at_least: steps to draw batches for, those of whoever takes most, where not all take part here.
    """
    device, train = adapter.A.device, trained(config, method, t)
    steps, most = None, config.local_steps
    if config.local_epochs is not None:
        pairs = zip(parts, people, strict=True)
        sizes = np.array([[part[k].size for k in present] for part, present in pairs])
        own = sampling.steps_of_epochs(sizes, config.local_epochs, config.batch_size)
        most = max(at_least, int(own.max()))
        steps = None if np.all(own == most) else torch.tensor(own, device=device)
    drawn: dict[int, np.ndarray] = {}
    for replica, present, part in zip(replicas, people, parts, strict=True):
        if replica.seed not in drawn:  # replicas of one seed differ in the learning rate alone
            seed, size = replica.seed, config.batch_size
            own_rows = [sampling.draw(seed, t, int(k), part[k], most, size) for k in present]
            drawn[seed] = np.stack(own_rows)
    batches = torch.from_numpy(np.stack([drawn[r.seed] for r in replicas])).to(device)
    turns = [{*map(str, method.moving(t, k))} for k in range(1, most + 1)]
    still = train - {*map(str, method.trainable(t))}
    whole = [frozenset(turn | still) for turn in turns]
    different = whole if any(turn != train for turn in whole) else ()
    rates = torch.tensor([r.rate for r in replicas], dtype=adapter.A.dtype, device=device)
    shape = method.preconditioner(adapter, t)
    return Work(
        batches, steps, train, rates, config.scale, turns=different, shape=shape, round=t, people=people
    )  # fmt: skip

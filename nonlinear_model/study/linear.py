"""The network before its first round as a linear federated problem, and the methods' rounds in it.

Each ReLU is replaced by its mean gate ½ and the cross-entropy by its second order at equal probabilities.
Then client i's loss is quadratic in the product, `L_i = E‖xAG − t‖²/20` over its own images: x their first
`DIRECTIONS` principal components (not centred), `G = BW_out P/2` with P the projection off the constant, and
t = 10·(one-hot label) − 1 for ten labels. So all that a round needs of a client is the second moment
S_i = E xxᵀ and the cross term C_i = E xtᵀ: its target is W_i = S_i⁻¹C_i, where S_i is invertible. A gradient
step of rate η on B moves G by `−(η/10) Aᵀ(S_iAG − C_i)F`, `F = PW_outᵀW_outP/4`; one on A moves A by
`−(η/10) (S_iAG − C_i)Gᵀ`. Where one factor moves alone, K steps have a closed form.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from federated_lora import method_named
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.dataset import Dataset
from nonlinear_model.data.registry import load
from nonlinear_model.network import draw_start
from nonlinear_model.training.sampling import steps_of_epochs
from verification.streams import generator

DIRECTIONS = 32
"""Principal components of the images that are kept."""

LOST = 1e3
"""An excess so many times that of the start is divergence."""


@dataclass(frozen=True, eq=False)
class Clients:
    """What all clients' images say at the start, float64.

    Attributes:
        S: second moments (N, k, k).
        C: cross terms with the targets (N, k, c).
        F: how a step on B moves G, (c, c).
        A: the start's first factor (k, r).
        G: the start's second factor with the head, (r, c).
        steps: local steps of a round.
    """

    S: Tensor
    C: Tensor
    F: Tensor
    A: Tensor
    G: Tensor
    steps: int

    def excess(self, A: Tensor, G: Tensor) -> Tensor:
        """Mean loss above its least over all matrices, of factors (R, k, r) and (R, r, c): (R,)."""
        S = self.S.mean(0)
        off = A @ G - torch.linalg.solve(S, self.C.mean(0))
        return (off * (S @ off)).sum((1, 2)) / (2 * self.C.shape[2])


@lru_cache(maxsize=2)
def _projected(dataset: str, data_dir: Path | None) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """A data set, its first principal directions (d, k), and the training images in them (n, k)."""
    data = load(dataset, data_dir)
    x = data.train_x.astype(np.float64)
    directions = np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :DIRECTIONS]
    return data, directions, x @ directions


def at_the_start(config: Configuration, seed: int, data_dir: Path | None) -> Clients:
    """The linear problem that a seed's split and start give.

    Args:
        config: of any run of the point.
        seed: fixes split and start, as in the study.
        data_dir: folder with MNIST.
    """
    data, directions, x = _projected(config.dataset, data_dir)
    start = draw_start(config, data, seed)
    parts = config.deal(data.train_y, generator(seed, "nonlinear", "split"))
    classes = data.classes
    targets = classes * np.eye(classes)[data.train_y] - 1.0
    moments = np.stack([x[part].T @ x[part] / part.size for part in parts])
    crossed = np.stack([x[part].T @ targets[part] / part.size for part in parts])
    head = (start.head - start.head.mean(axis=1, keepdims=True)) / 2.0
    steps = config.local_steps
    if config.local_epochs is not None:
        sizes = np.array([part.size for part in parts])
        steps = int(steps_of_epochs(sizes, config.local_epochs, config.batch_size).max())
    arrays = moments, crossed, head.T @ head, directions.T @ start.A, start.B @ head
    S, C, F, A, G = map(torch.tensor, arrays)
    return Clients(S, C, F, A, G, steps)


def after_steps(value: Tensor, drive: Tensor, bend: Tensor, steps: int) -> Tensor:
    """So many steps `v ← (1 − bend)·v + drive`, in closed form."""
    factor = 1.0 - bend
    power = factor**steps
    small = bend.abs() < 1e-14
    total = torch.where(small, float(steps), (1.0 - power) / torch.where(small, 1.0, bend))
    return power * value + total * drive


def a_round(at: Clients, A: Tensor, G: Tensor, pace: Tensor, steps: int) -> Tensor:
    """The server's A after a round that trains A alone, for every rate.

    Args:
        at: the clients.
        A, G: factors, (R, k, r) and (R, r, c).
        pace: rates divided by the number of labels, (R,).
        steps: local steps.
    """
    s, V = torch.linalg.eigh(at.S)
    q, U = torch.linalg.eigh(G @ G.mT)
    across = pace[:, None, None]
    turned = V.mT[:, None] @ A @ U
    drive = across * (V.mT[:, None] @ (at.C[:, None] @ G.mT) @ U)
    bend = across * s[:, None, :, None] * q[:, None, :]
    return (V[:, None] @ after_steps(turned, drive, bend, steps) @ U.mT).mean(0)


def b_round(at: Clients, A: Tensor, G: Tensor, pace: Tensor, steps: int) -> Tensor:
    """The server's G after a round that trains B alone; arguments as in `a_round`."""
    m, V = torch.linalg.eigh(A.mT @ at.S[:, None] @ A)
    f, U = torch.linalg.eigh(at.F)
    across = pace[:, None, None]
    drive = across * f * (V.mT @ (A.mT @ at.C[:, None]) @ U)
    bend = across * m[..., None] * f
    return (V @ after_steps(V.mT @ G @ U, drive, bend, steps) @ U.mT).mean(0)


def both_round(
    at: Clients, A: Tensor, G: Tensor, pace: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """The server's A and G after a round that trains both, each averaged; arguments as in `a_round`."""
    N, R = at.S.shape[0], pace.shape[0]

    def spread(each: Tensor) -> Tensor:
        return each.repeat_interleave(R, dim=0)

    S, C = spread(at.S), spread(at.C)
    across = pace.repeat(N)[:, None, None]
    a, g = A.repeat(N, 1, 1), G.repeat(N, 1, 1)
    for _ in range(steps):
        error = torch.baddbmm(C, S, torch.bmm(a, g), beta=-1.0)
        error *= across
        moved = torch.bmm(torch.bmm(a.mT, error), at.F.expand(N * R, -1, -1))
        a = torch.baddbmm(a, error, g.mT, alpha=-1.0)
        g = g - moved
    return a.view(N, R, *A.shape[1:]).mean(0), g.view(N, R, *G.shape[1:]).mean(0)


def excesses(
    at: Clients, method: str, rates: Sequence[float], rounds: int, steps: int
) -> np.ndarray:
    """Excess of a method after every round, from the start on, (rounds + 1, R); infinite once it diverged.

    Args:
        at: the clients.
        method: `rolora`, `fedavg` or `ffa`.
        rates: learning rates.
        rounds: number of rounds.
        steps: local steps that stand for the clients' own, at rates raised so that the product is theirs.
    """
    schedule = method_named(method, rounds)
    pace = torch.tensor(rates, dtype=torch.float64) * (at.steps / steps / at.C.shape[2])
    A, G = at.A.repeat(len(rates), 1, 1), at.G.repeat(len(rates), 1, 1)
    found = np.full((rounds + 1, len(rates)), np.inf)
    left = torch.arange(len(rates))
    found[0] = at.excess(A, G).numpy()
    for t in range(1, rounds + 1):
        A, G = _after(at, {str(f) for f in schedule.trainable(t)}, A, G, pace[left], steps)
        now = at.excess(A, G)
        alive = now < LOST * found[0, 0]
        A, G, left = A[alive], G[alive], left[alive]
        found[t, left.numpy()] = now[alive].numpy()
        if not left.numel():
            break
    return found


def _after(
    at: Clients, trained: Collection[str], A: Tensor, G: Tensor, pace: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    if trained == {"A", "B"}:
        return both_round(at, A, G, pace, steps)
    if trained == {"A"}:
        return a_round(at, A, G, pace, steps), G
    return A, b_round(at, A, G, pace, steps)

"""The paper's two-layer network, `ReLU(x(W0 + sAB)) W_out`, for a whole stack of clients at once.

Without a base (W0 = 0) this is `f(x) = ReLU(x A B) W_out` of the paper's MNIST study (A 784×16,
B 16×200, W_out 200×10). Gradients are written by hand: a frozen factor's gradient is never computed.

Layout of every stacked array: replicas R first (independent experiments run side by side), then the
clients N of each, then the array's own axes. A three-dimensional factor (R, ·, ·) is one that all clients
of a replica share; a four-dimensional one (R, N, ·, ·) is each client's own.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nonlinear_model.configuration import Network
from nonlinear_model.data.dataset import Dataset
from verification.streams import design, generator


@dataclass(frozen=True, eq=False)
class Start:
    """The network before the first round, float64: A (d, r), B (r, hidden), head (hidden, classes), W0.

    W0 is (d, hidden), or None without a base.
    """

    A: np.ndarray
    B: np.ndarray
    head: np.ndarray
    W0: np.ndarray | None = None


def draw_start(spec: Network, data: Dataset, seed: int) -> Start:
    """The start all methods of one seed share: A ~ N(0, 1/d), B ~ b_scale·N(0, 1/r), W_out ~ N(0, 1/hidden).

    With a base, W0 and W_out come from `pretrain` instead.
    """
    if spec.rank > min(data.width, spec.hidden):
        raise ValueError(
            f"rank must be at most min(pixels, hidden) = {min(data.width, spec.hidden)}, got {spec.rank}"
        )
    rng = generator(seed, "nonlinear", "start")
    A = rng.standard_normal((data.width, spec.rank)) / np.sqrt(data.width)
    B = rng.standard_normal((spec.rank, spec.hidden)) * (spec.b_scale / np.sqrt(spec.rank))
    head = rng.standard_normal((spec.hidden, data.classes)) / np.sqrt(spec.hidden)
    if spec.b_start == "zero":
        B = np.zeros_like(B)
    if spec.variant == "plain":
        return Start(A, B, head)
    W0, head = pretrain(spec, data)
    return Start(A, B, head, W0)


def pretrain(
    spec: Network, data: Dataset, *, steps: int = 300, batch: int = 128, rate: float = 2e-3
) -> tuple[np.ndarray, np.ndarray]:
    """W0 and W_out trained with Adam on the first `base_classes` labels only, in float64.

    One base per data set and spec, whatever the seed: it plays the part of the downloaded model.
    """
    if spec.base_classes > data.classes:
        raise ValueError(f"base_classes must be at most {data.classes}, got {spec.base_classes}")
    rng = design("nonlinear", "base", spec.base_classes, spec.hidden)
    W = torch.tensor(rng.standard_normal((data.width, spec.hidden)) * np.sqrt(2.0 / data.width))
    head = torch.tensor(rng.standard_normal((spec.hidden, data.classes)) / np.sqrt(spec.hidden))
    members = np.flatnonzero(data.train_y < spec.base_classes)
    parameters = [W.requires_grad_(), head.requires_grad_()]
    optimiser = torch.optim.Adam(parameters, lr=rate)
    for _ in range(steps):
        rows = rng.choice(members, size=min(batch, members.size), replace=False)
        x = torch.from_numpy(data.train_x[rows]).double()
        y = torch.from_numpy(data.train_y[rows])
        loss = functional.cross_entropy(torch.relu(x @ W) @ head, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return W.detach().numpy(), head.detach().numpy()


@dataclass(frozen=True, eq=False)
class Gradients:
    """Mean cross-entropy per client, (R, N), and its gradients by tensor, those that were asked for.

    They are A (R, N, d, r), B (R, N, r, hidden) and head (R, N, hidden, classes).
    """

    loss: Tensor
    of: dict[str, Tensor]


def multiply(x: Tensor, W: Tensor) -> Tensor:
    """`x @ W` for x (R, N, b, i) and W either shared, (R, i, o), or each client's, (R, N, i, o)."""
    R, N, b, i = x.shape
    if W.ndim == 3:  # one product per replica instead of one per client
        return torch.bmm(x.reshape(R, N * b, i), W).view(R, N, b, W.shape[-1])
    return torch.bmm(x.reshape(R * N, b, i), W.reshape(R * N, i, W.shape[-1])).view(R, N, b, -1)


def gradients(
    x: Tensor,
    y: Tensor,
    model: Mapping[str, Tensor],
    scale: float,
    want: Collection[str],
    *,
    base: Tensor | None = None,
    projected: Tensor | None = None,
) -> Gradients:
    """Mean cross-entropy over each client's batch and the gradients asked for.

    Args:
        x: images (R, N, b, d); not looked at if `projected` is given.
        y: labels (R, N, b), int64.
        model: A, B and head, shared (three axes) or per client (four axes).
        want: names of the tensors whose gradients to compute; the others cost nothing.
        base: x·W0, (R, N, b, hidden), or None.
        projected: x·A if it is known already (a frozen A), (R, N, b, r).
    """
    B, head = model["B"], model["head"]
    z = multiply(x, model["A"]) if projected is None else projected
    hidden = multiply(z, B)  # ours alone, so what follows may overwrite it
    if scale != 1.0:
        hidden *= scale
    if base is not None:
        hidden += base
    hidden.relu_()
    logits = multiply(hidden, head)
    b = logits.shape[2]
    log_p = torch.log_softmax(logits, dim=-1)
    chosen = y.unsqueeze(-1)
    loss = -log_p.gather(-1, chosen).sum(dim=(2, 3)) / b
    to_logits = log_p.exp_()
    to_logits.scatter_add_(-1, chosen, to_logits.new_full((), -1.0).expand(chosen.shape))
    to_logits /= b

    found: dict[str, Tensor] = {}
    if "head" in want:
        found["head"] = _weight_gradient(hidden, to_logits)
    if "A" in want or "B" in want:
        to_pre = multiply(to_logits, head.transpose(-1, -2))
        # The frameworks' own ReLU gradient, one pass: 0 where the unit is off, ReLU'(0) = 0 with it.
        to_pre = torch.ops.aten.threshold_backward(to_pre, hidden, 0.0)
        if scale != 1.0:
            to_pre *= scale
        if "B" in want:
            found["B"] = _weight_gradient(z, to_pre)
        if "A" in want:
            found["A"] = _weight_gradient(x, multiply(to_pre, B.transpose(-1, -2)))
    return Gradients(loss, found)


def _weight_gradient(left: Tensor, right: Tensor) -> Tensor:
    """`leftᵀ @ right` per client: (R, N, b, i), (R, N, b, o) → (R, N, i, o)."""
    R, N, b, i = left.shape
    o = right.shape[-1]
    product = torch.bmm(left.reshape(R * N, b, i).transpose(1, 2), right.reshape(R * N, b, o))
    return product.view(R, N, i, o)

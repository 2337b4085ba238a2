"""What is measured on the server's model after a round."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nonlinear_model.network import Gradients, gradients
from nonlinear_model.training.all_at_once import Examples, Server, with_merged

Row = dict[str, Any]
"""One tracked round of one repetition, as `Record.add` makes it. Angles are sines in [0, 1] of the largest
principal angle; None where a quantity does not exist (no A-step before the first round, no gradient norms
without a probe). Numbers are counted since the start, over all clients."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """On the test set, float64 arrays: accuracy (R,), loss (R,), accuracy by class (R, classes).

    Where clients have models of their own: their means, and accuracy by class of each, (R, N, classes).
    """

    accuracy: np.ndarray
    loss: np.ndarray
    by_class: np.ndarray


def evaluate(
    server: Server, test: Examples, scale: float, classes: int, present: np.ndarray
) -> Evaluation:
    """Accuracy and mean cross-entropy of each replica's server model.

    Where something in it is each client's own, (R, N, ·, ·), every client's model is measured, and the mean
    is over those that took part so far (`present`, bool (R, N)).
    """
    R, N = present.shape
    tensors = server.tensors()
    own = any(value.ndim == 4 for value in tensors.values())
    clients = range(N) if own else (0,)
    found = [
        _measured(_one(tensors, r, k), test, scale, classes) for r in range(R) for k in clients
    ]
    accuracy, loss, by_class = (np.array(column) for column in zip(*found, strict=True))
    if not own:
        return Evaluation(accuracy, loss, by_class)
    counted = present | ~present.any(axis=1, keepdims=True)
    means = [np.average(v.reshape(R, N), axis=1, weights=counted) for v in (accuracy, loss)]
    return Evaluation(means[0], means[1], by_class.reshape(R, N, classes))


def _one(tensors: dict[str, Tensor], replica: int, client: int) -> dict[str, Tensor]:
    return {n: v[replica] if v.ndim == 3 else v[replica, client] for n, v in tensors.items()}


def _measured(
    model: dict[str, Tensor], test: Examples, scale: float, classes: int
) -> tuple[float, float, np.ndarray]:
    pre = scale * (test.x @ model["A"]) @ model["B"]
    if test.base is not None:
        pre = pre + test.base
    if "merged" in model:
        pre = pre + test.x @ model["merged"]
    logits = torch.relu_(pre) @ model["head"]
    right = (logits.argmax(dim=1) == test.y).double()
    counts = torch.bincount(test.y, minlength=classes).clamp(min=1)
    hits = torch.zeros(classes, dtype=torch.float64, device=right.device)
    hits.index_add_(0, test.y, right)
    loss = float(torch.nn.functional.cross_entropy(logits, test.y))
    return float(right.mean()), loss, (hits / counts).cpu().numpy()


def client_accuracies(evaluation: Evaluation, label_shares: np.ndarray) -> np.ndarray:
    """Accuracy of the server's model, or of its own, on each client's own mix of labels: (R, N).

    The share of each label among a client's images is (R, N, classes).
    """
    of = "rc" if evaluation.by_class.ndim == 2 else "rnc"
    return np.einsum(f"rnc,{of}->rn", label_shares, evaluation.by_class)


def gradients_at(
    server: Server, examples: Examples, rows: Tensor, scale: float, want: Collection[str]
) -> Gradients:
    """Gradients of the named tensors on the images at `rows`, (R, N, p)."""
    flat, base = rows.reshape(-1), examples.base
    x = examples.x.index_select(0, flat).view(*rows.shape, -1)
    if base is not None:
        base = base.index_select(0, flat).view(*rows.shape, -1)
    y = examples.y.index_select(0, flat).view(rows.shape)
    base = with_merged(base, x, server.merged)
    return gradients(x, y, server.tensors(), scale, want, base=base)


def block_gradient_norms(
    server: Server, examples: Examples, probe: Tensor, weights: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Norms of the global objective's gradients in A and in B, at the server's model: two (R,) arrays.

    A factor of which every client has its own is the block of all of them. The probe holds indices of the
    same images in every round, (R, N, p), the weights are the clients', (R, N).
    """
    found = gradients_at(server, examples, probe, scale, "AB").of
    shares = torch.as_tensor(weights, dtype=server.A.dtype, device=server.A.device)
    norms = []
    for held, stack in ((server.A, found["A"]), (server.B, found["B"])):
        if held.ndim == 4:
            each = shares * torch.linalg.matrix_norm(stack)
            norms.append(torch.linalg.vector_norm(each, dim=1).double().cpu().numpy())
            continue
        mean = torch.einsum("rn,rnij->rij", shares, stack)
        norms.append(torch.linalg.matrix_norm(mean).double().cpu().numpy())
    return norms[0], norms[1]

"""What is measured on the server's model after a round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nonlinear_model.network import gradients
from nonlinear_model.training.all_at_once import Examples, Server

COLUMNS = (
    "round",
    "seed",
    "learning_rate",
    "method",
    "trained",
    "test_accuracy",
    "test_loss",
    "train_loss",
    "client_accuracy_min",
    "client_accuracy_max",
    "client_accuracy_std",
    "gradient_norm_A",
    "gradient_norm_B",
    "aggregation_error",
    "angle_step",
    "angle_to_final",
    "numbers_up",
    "numbers_down",
)
"""Columns of the tidy record, one row per tracked round and repetition. Angles are sines in [0, 1] of the
largest principal angle; empty where a quantity does not exist (no A-step before the first round, no
gradient norms without a probe). Numbers are counted since the start, over all clients."""

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """On the test set, float64 arrays: accuracy (R,), loss (R,), accuracy by class (R, classes)."""

    accuracy: np.ndarray
    loss: np.ndarray
    by_class: np.ndarray


def evaluate(server: Server, test: Examples, scale: float, classes: int) -> Evaluation:
    """Accuracy and mean cross-entropy of each replica's server model."""
    counts = torch.bincount(test.y, minlength=classes).clamp(min=1)
    accuracy, loss, by_class = [], [], []
    for replica in range(server.A.shape[0]):
        pre = scale * (test.x @ server.A[replica]) @ server.B[replica]
        if test.base is not None:
            pre = pre + test.base
        logits = torch.relu_(pre) @ server.head[replica]
        right = (logits.argmax(dim=1) == test.y).double()
        accuracy.append(float(right.mean()))
        loss.append(float(torch.nn.functional.cross_entropy(logits, test.y)))
        hits = torch.zeros(classes, dtype=torch.float64, device=right.device)
        hits.index_add_(0, test.y, right)
        by_class.append((hits / counts).cpu().numpy())
    return Evaluation(np.array(accuracy), np.array(loss), np.stack(by_class))


def client_accuracies(evaluation: Evaluation, label_shares: np.ndarray) -> np.ndarray:
    """Accuracy of the server's model on each client's own mix of labels: (R, N).

    Args:
        evaluation: on the test set.
        label_shares: share of each label among a client's images, (R, N, classes).
    """
    return np.einsum("rnc,rc->rn", label_shares, evaluation.by_class)


def block_gradient_norms(
    server: Server, examples: Examples, probe: Tensor, weights: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Norms of the global objective's gradients in A and in B, at the server's model: two (R,) arrays.

    Args:
        server: the model.
        examples: the training set.
        probe: indices of the same images in every round, (R, N, p).
        weights: client weights, (R, N).
        scale: s of the adapter.
    """
    R, N, p = probe.shape
    flat = probe.reshape(-1)
    base = examples.base
    found = gradients(
        examples.x.index_select(0, flat).view(R, N, p, -1),
        examples.y.index_select(0, flat).view(R, N, p),
        server.A,
        server.B,
        server.head,
        scale,
        base=None if base is None else base.index_select(0, flat).view(R, N, p, -1),
        want_A=True,
        want_B=True,
    )
    shares = torch.as_tensor(weights, dtype=server.A.dtype, device=server.A.device)
    norms = []
    for stack in (found.A, found.B):
        assert stack is not None  # both were asked for
        mean = torch.einsum("rn,rnij->rij", shares, stack)
        norms.append(torch.linalg.matrix_norm(mean).double().cpu().numpy())
    return norms[0], norms[1]

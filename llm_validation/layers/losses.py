"""One training loss per client of a pass."""

import torch
from torch.nn import functional

from llm_validation.base.encoding import IGNORED, Batch


def client_losses(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of each client over its own labelled examples or tokens: (clients,), float32 or 64.

    A client's loss depends on its own rows alone, so the gradient of the sum over clients with respect
    to a client's adapter is the gradient of that client's loss. Logits are (clients · rows, classes), or of
    causal text (clients · rows, tail, vocabulary) for the last `tail` positions.
    """
    labels = batch.labels
    if labels.ndim == 2:
        # The token at position t is predicted from position t − 1.
        tail = logits.shape[1]
        logits, labels = logits[:, :-1], labels[:, labels.shape[1] - tail + 1 :]
        logits = logits.reshape(-1, logits.shape[-1])
    flat = labels.reshape(-1)
    each = functional.cross_entropy(
        at_least_single(logits), flat, ignore_index=IGNORED, reduction="none"
    )
    per_client = each.reshape(batch.clients, -1).sum(dim=1)
    counted = (flat != IGNORED).reshape(batch.clients, -1).sum(dim=1)
    return per_client / counted


def at_least_single(x: torch.Tensor) -> torch.Tensor:
    """The tensor in float32; in float64 if it is so already."""
    return x.to(torch.promote_types(x.dtype, torch.float32))

"""Clients of different LoRA ranks: client k of rank r_k has the first r_k columns of A and rows of B.

The rest of its factors is zero. There a step's gradient is zero, too: `∇A = (…) Bᵀ` where B's rows are, and
`∇B = Aᵀ (…)` where A's columns are. So whatever optimiser moves it, a client never leaves its rank.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from federated_lora import Factor, Method
from federated_lora.arrays import Array, namespace


def require_ranks(method: Method, ranks: Sequence[int], clients: int, rank: int) -> None:
    """Refuse ranks that are not one for each client, none above the server's, or not for the method."""
    if not ranks:
        return
    if len(ranks) != clients or not all(1 <= own <= rank for own in ranks):
        raise ValueError(
            f"ranks must be one for each of the {clients} clients, between 1 and rank = {rank}, got"
            f" {','.join(map(str, ranks))}"
        )
    method.require_ranks(ranks, rank)


def cut(
    factor: Factor, stack: Float[Array, "*batch n rows columns"], ranks: Int[np.ndarray, "*batch n"]
) -> Float[Array, "*batch n rows columns"]:
    """The clients' factors with zeros beyond their ranks."""
    xp = namespace(stack)
    rank = stack.shape[-1] if factor is Factor.A else stack.shape[-2]
    inside = xp.asarray(np.arange(rank) < ranks[..., None], device=stack.device)
    inside = inside[..., None, :] if factor is Factor.A else inside[..., :, None]
    return xp.where(inside, stack, xp.zeros_like(stack))

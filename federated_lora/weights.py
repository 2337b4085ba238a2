"""Client weights p_k, and the mean they define."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from federated_lora.arrays import Array, accumulator, like


def client_weights(
    sizes: Sequence[float] | np.ndarray | None, clients: int
) -> Float[np.ndarray, " N"]:
    """float64 weights that sum to one, proportional to sizes (example counts, say); None: uniform.

    Raises ValueError on a wrong length, a negative or non-finite size, or sizes that are all zero.
    """
    if clients < 1:
        raise ValueError(f"clients must be at least 1, got {clients}")
    if sizes is None:
        return np.full(clients, 1.0 / clients)
    try:
        given = np.asarray(sizes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"weights must be real numbers, one per client, got {sizes!r}") from error
    if given.shape != (clients,):
        raise ValueError(
            f"weights must be one number per client ({clients}), got shape {given.shape}"
        )
    if not np.all(np.isfinite(given)) or np.any(given < 0.0) or not np.any(given):
        raise ValueError(
            f"weights must be finite, non-negative and not all zero, got {given.tolist()}"
        )
    shares = given / given.max()  # first, so that the sum of huge sizes does not overflow
    return shares / shares.sum()


def accumulated_mean(
    stack: Float[Array, " N *rest"], weights: Float[np.ndarray, " N"]
) -> Float[Array, " *rest"]:
    """`Σ_k p_k stack_k` over the leading axis of a stack (N, …), weights (N,), in at least float32.

    The sum runs over clients one by one, so the bits do not depend on how the stack was chunked.
    """
    total = accumulator(stack[0]) * float(weights[0])
    for k in range(1, stack.shape[0]):
        total = total + accumulator(stack[k]) * float(weights[k])
    return total


def weighted_mean(
    stack: Float[Array, " N *rest"], weights: Float[np.ndarray, " N"]
) -> Float[Array, " *rest"]:
    """`accumulated_mean`, rounded back to the precision of the stack."""
    return like(accumulated_mean(stack, weights), stack)

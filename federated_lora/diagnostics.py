"""How far a server's rule is from the exact average of the clients' products."""

from __future__ import annotations

import numpy as np

from federated_lora.adapter import Adapter, ClientFactors
from federated_lora.arrays import Array, accumulator, namespace, swap
from federated_lora.weights import accumulated_mean


def aggregation_error(
    adapter: Adapter,
    server: Adapter,
    clients: ClientFactors,
    weights: np.ndarray,
    *,
    merged: Array | None = None,
) -> Array:
    """`||s·A·B + merged − Σ p_k s A_k B_k||_F`.

    The difference is written as one product of thin stacks, so the dense d_in × d_out matrices are
    formed only where that is the smaller way or where `merged` is dense anyway.

    Args:
        adapter: the aggregated adapter.
        server: the broadcast adapter; stands in for a factor the clients did not send.
        clients: what came back.
        weights: normalised weights, shape (N,).
        merged: dense change of W0, or None.

    Returns:
        Scalar array of the factors' (at least float32) precision, one per batch entry.
    """
    # A factor that stayed with the server and left with it unchanged is factored out, so that exact
    # rules give exactly their rounding error.
    if merged is None and clients.A is None and adapter.A is server.A:
        mean_B = accumulated_mean(clients.B, weights)
        left, right = accumulator(adapter.A), accumulator(adapter.B) - mean_B
        return abs(adapter.scale) * _product_norm(left, right)
    if merged is None and clients.B is None and adapter.B is server.B:
        mean_A = accumulated_mean(clients.A, weights)
        left, right = accumulator(adapter.A) - mean_A, accumulator(adapter.B)
        return abs(adapter.scale) * _product_norm(left, right)

    xp = namespace(adapter.A)
    lefts, rights = [accumulator(adapter.A)], [accumulator(adapter.B)]
    if clients.A is None:
        lefts.append(-accumulator(server.A))
        rights.append(accumulated_mean(clients.B, weights))
    elif clients.B is None:
        lefts.append(-accumulated_mean(clients.A, weights))
        rights.append(accumulator(server.B))
    else:
        for k in range(clients.count):
            lefts.append(-float(weights[k]) * accumulator(clients.A[k]))
            rights.append(accumulator(clients.B[k]))
    left, right = xp.concat(lefts, axis=-1), xp.concat(rights, axis=-2)
    if merged is None:
        return abs(adapter.scale) * _product_norm(left, right)
    return xp.linalg.matrix_norm(adapter.scale * (left @ right) + accumulator(merged))


def _product_norm(left: Array, right: Array) -> Array:
    """Frobenius norm of left @ right by way of the smaller shape."""
    xp = namespace(left, right)
    inner = left.shape[-1]
    if inner < min(left.shape[-2], right.shape[-1]):
        # ||L R|| = ||R_L R_R^T|| with the triangular factors of L and R^T: no squares are taken,
        # so small errors keep their digits.
        triangle_left = xp.linalg.qr(left).R
        triangle_right = xp.linalg.qr(swap(right)).R
        return xp.linalg.matrix_norm(triangle_left @ swap(triangle_right))
    return xp.linalg.matrix_norm(left @ right)

"""How far a server's rule is from the exact average of the clients' products."""

import numpy as np
from jaxtyping import Float

from federated_lora.adapter import Adapter, ClientFactors
from federated_lora.arrays import Array, accumulator, namespace, swap
from federated_lora.merged import residual
from federated_lora.weights import accumulated_mean


def aggregation_error(
    adapter: Adapter,
    server: Adapter,
    clients: ClientFactors,
    weights: Float[np.ndarray, " N"],
    *,
    merged: Adapter | Float[Array, "*batch d_in d_out"] | None = None,
    personal: ClientFactors | None = None,
) -> Float[Array, " *batch"]:
    """`||s·A·B + merged − Σ p_k s A_k B_k||_F`.

    The difference is written as one product of thin stacks, so the dense d_in × d_out matrices are
    formed only where that is the smaller way or where `merged` is dense anyway.

    Args:
        server: the broadcast adapter; stands in for a factor the clients did not train.
        personal: what the clients keep for themselves, which takes the adapter's place in the mean:
            `||Σ p_k s A_k' B_k' + merged − Σ p_k s A_k B_k||_F`.

    Returns:
        Scalar array of the factors' (at least float32) precision, one per batch entry.
    """
    # A factor that stayed with the server and left with it unchanged is factored out, so that exact
    # rules give exactly their rounding error.
    if merged is None and personal is None and clients.A is None and adapter.A is server.A:
        mean_B = accumulated_mean(clients.B, weights)
        left, right = accumulator(adapter.A), accumulator(adapter.B) - mean_B
        return abs(adapter.scale) * _product_norm(left, right)
    if merged is None and personal is None and clients.B is None and adapter.B is server.B:
        mean_A = accumulated_mean(clients.A, weights)
        left, right = accumulator(adapter.A) - mean_A, accumulator(adapter.B)
        return abs(adapter.scale) * _product_norm(left, right)

    gap = residual(adapter, server, clients, weights, personal=personal)
    if isinstance(merged, Adapter):
        xp = namespace(gap.A)
        taken = accumulator(merged.A) * (-merged.scale / gap.scale)
        left = xp.concat([gap.A, taken], axis=-1)
        right = xp.concat([gap.B, accumulator(merged.B)], axis=-2)
        return abs(gap.scale) * _product_norm(left, right)
    if merged is not None:
        return namespace(gap.A).linalg.matrix_norm(gap.delta() - accumulator(merged))
    return abs(gap.scale) * _product_norm(gap.A, gap.B)


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

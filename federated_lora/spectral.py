"""Singular values of a sum of thin products, and rotations, without a dense d_in × d_out matrix."""

from jaxtyping import Float

from federated_lora.arrays import Array, namespace, swap


def thin_svd(
    left: Float[Array, "*batch d_in k"], right: Float[Array, "*batch k d_out"]
) -> tuple[Float[Array, "*batch d_in n"], Float[Array, "*batch n"], Float[Array, "*batch n d_out"]]:
    """SVD of `left @ right`, largest first, n = min(d_in, k, d_out), by QR of either and of a small core.

    Left vectors are columns, right ones rows: the product is U·diag(σ)·Vᵀ. The largest entry of every left
    vector is positive, so that libraries agree about signs.
    """
    xp = namespace(left, right)
    outer, inner = xp.linalg.qr(left), xp.linalg.qr(swap(right))
    U, sigma, Vt = xp.linalg.svd(outer.R @ swap(inner.R), full_matrices=False)
    U, Vt = outer.Q @ U, Vt @ swap(inner.Q)
    at = xp.argmax(xp.abs(U), axis=-2, keepdims=True)
    sign = xp.sign(xp.take_along_axis(U, at, axis=-2))  # (*batch, 1, n)
    return U * sign, sigma, Vt * swap(sign)


def truncated(
    left: Float[Array, "*batch d_in k"], right: Float[Array, "*batch k d_out"], rank: int
) -> tuple[Float[Array, "*batch d_in r"], Float[Array, "*batch r"], Float[Array, "*batch r d_out"]]:
    """The first `rank` singular triples of `left @ right`, with zeros where it has fewer."""
    xp = namespace(left, right)
    U, sigma, Vt = thin_svd(left, right)
    short = rank - sigma.shape[-1]
    if short <= 0:
        return U[..., :, :rank], sigma[..., :rank], Vt[..., :rank, :]
    shape = U.shape[:-2]

    def zeros(*size: int) -> Array:
        return xp.zeros((*shape, *size), dtype=U.dtype, device=U.device)

    return (
        xp.concat([U, zeros(U.shape[-2], short)], axis=-1),
        xp.concat([sigma, zeros(short)], axis=-1),
        xp.concat([Vt, zeros(short, Vt.shape[-1])], axis=-2),
    )


def rotation(matrix: Float[Array, "*batch r r"]) -> Float[Array, "*batch r r"]:
    """The orthogonal Q that maximises tr(Qᵀ·matrix): its polar factor (Schönemann 1966)."""
    xp = namespace(matrix)
    U, _, Vt = xp.linalg.svd(matrix, full_matrices=False)
    return U @ Vt

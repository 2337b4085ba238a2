"""The angle distance between column spaces, the paper's measure of progress on A.

Source: paper, linear model: `δ = ||(I − a* a*ᵀ) a|| = |sin θ(a, a*)|`; for rank r the spectral norm,
the sine of the largest principal angle.
"""

import numpy as np
from jaxtyping import Float


def angle_distance(
    A: Float[np.ndarray, "*batch d r"] | Float[np.ndarray, " d"],
    A_star: Float[np.ndarray, " *#batch d r"] | Float[np.ndarray, " d"],
    *,
    orthonormal: bool = False,
) -> Float[np.ndarray, " *out"] | np.floating:
    """Sine of the largest principal angle between the column spaces of A and A_star.

    The part of A outside the span of A_star is formed as such, never as sqrt(1 − cos²), so angles far
    below 1e−8 keep their digits: the absolute error is a few units of 1e−16.

    Args:
        A: float64, shape (*batch, d, r) with independent columns; vectors of shape (d,) also do.
        A_star: as A, with batch axes that broadcast against A's and the same d and r.
        orthonormal: True promises that both have orthonormal columns already and saves two QRs.

    Returns:
        float64 in [0, 1], shape of the broadcast batch axes.

    Raises:
        ValueError: on shapes that do not match, a non-finite entry, or a zero vector.
    """
    left, right = _columns(A, "A"), _columns(A_star, "A_star")
    if left.shape[-2:] != right.shape[-2:]:
        raise ValueError(
            f"A and A_star must have the same width and rank, got {left.shape[-2:]}"
            f" and {right.shape[-2:]}"
        )
    if not orthonormal:
        left, right = _orthonormal(left, "A"), _orthonormal(right, "A_star")
    outside = left - right @ (np.swapaxes(right, -1, -2) @ left)
    return np.minimum(spectral_norm(outside), 1.0)


def spectral_norm(
    matrix: Float[np.ndarray, "*batch d r"],
) -> Float[np.ndarray, " *batch"] | np.floating:
    """Largest singular value over the last two axes, by the Gram matrix of the (few) columns.

    Squaring costs the largest singular value no relative precision, only the small ones. Entries are
    scaled first, so nothing under- or overflows.
    """
    largest = np.abs(matrix).max(axis=(-2, -1))
    scale = np.where(largest > 0.0, largest, 1.0)
    scaled = matrix / scale[..., None, None]
    if matrix.shape[-1] == 1:
        return scale * np.sqrt(np.square(scaled).sum(axis=(-2, -1)))
    gram = np.swapaxes(scaled, -1, -2) @ scaled
    return scale * np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[..., -1], 0.0))


def _columns(matrix: np.ndarray, name: str) -> np.ndarray:
    given = np.asarray(matrix, dtype=np.float64)
    if given.ndim == 0:
        raise ValueError(f"{name} must have shape (d,) or (*batch, d, r), got a single number")
    if given.ndim == 1:
        given = given[:, None]
    if not np.all(np.isfinite(given)):
        raise ValueError(f"{name} must be finite, got a NaN or infinite entry")
    return given


def _orthonormal(matrix: np.ndarray, name: str) -> np.ndarray:
    largest = np.abs(matrix).max(axis=(-2, -1), keepdims=True)
    if np.any(largest == 0.0):
        raise ValueError(f"{name} must not be zero, its direction would be undefined")
    scaled = matrix / largest
    if matrix.shape[-1] == 1:
        return scaled / np.sqrt(np.square(scaled).sum(axis=-2, keepdims=True))
    return np.linalg.qr(scaled).Q

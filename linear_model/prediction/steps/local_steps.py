"""Several local steps on a as scalars: Golub and Kahan's band form of a Gaussian matrix.

Client i's K steps from a move it by `−(κ‖b̄‖²/m) Σ_k X_iᵀy_k`, where `y_0 = X_i x_i − σe_i/‖b̄‖`,
`x_i = a − a* (b_i*·b̄)/‖b̄‖²` and `y_{k+1} = (I − (κ‖b̄‖²/m) X_iX_iᵀ) y_k`. In suitable bases of samples and
features `X_i v`, v along x_i, is χ_m times the first vector, e_i lies in the first two, and what X_i is
across v is a lower band matrix with independent entries: χ on both edges, normal in between (Golub and
Kahan 1965; Silverstein 1985 for the laws). The features' basis is uniform across v. So a few times K numbers
a client are exact.
"""

from __future__ import annotations

import numpy as np

from linear_model.prediction.law import Law, chi2


def moved(
    rng: np.random.Generator, law: Law, q: np.ndarray, length: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How a moves along a, along u, and its squared length out of plane, (T,).

    Args:
        q: `a‖b̄‖² − a* (b_i*·b̄)` in (a, u), (2, T, n), or one for all clients, (2, T, 1).
        length: ‖b̄‖², (T, 1), or of each client's own b, (T, n).
    """
    size = np.hypot(*q)
    safe = np.where(size > 0.0, size, 1.0)
    unit = np.where(size > 0.0, q / safe, np.array([1.0, 0.0])[:, None, None])
    square = np.where(length > 0.0, length, 1.0)
    noise = law.noise / np.sqrt(square)
    along, beside = pulled(rng, law, size / square, noise, law.kappa * length)
    # Across x_i a uniform direction: a part in the plane, and the rest out of it.
    z, rest = rng.standard_normal(beside.shape), chi2(rng, law.d - 2, beside.shape)
    whole = np.sqrt(np.square(z) + rest)
    turn, out = beside * z / whole, beside * np.sqrt(rest) / whole
    a, u = (along * unit + turn * np.stack([-unit[1], unit[0]])).mean(axis=-1)
    return a, u, np.square(_sum_of_uniform(rng, out, law.d - 2) / law.active)


def pulled(
    rng: np.random.Generator, law: Law, x: np.ndarray, noise: np.ndarray, gain: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far each client moves along its x_i, and across it, (T, n).

    Args:
        x: lengths of the x_i, (T, n) or (T, 1).
        noise, gain: σ/‖b̄‖ and κ‖b̄‖², alike.
    """
    shape, m, wide = (x.shape[0], law.active), law.samples, law.d - 1
    width = 2 if law.noise else 1  # vectors of samples that the steps begin with
    rows = width * law.local_steps
    band = np.zeros((width + 1, rows, *shape))  # entry (k, j) stands in row j + k, column j
    for j in range(min(rows, wide)):
        band[0, j] = np.sqrt(chi2(rng, wide - j if j < m else 0, shape))
        if width == 2 and j + 1 < m:
            band[1, j] = rng.standard_normal(shape)
        band[width, j] = np.sqrt(chi2(rng, m - width - j, shape))
    first = np.sqrt(chi2(rng, m, shape))
    y = np.zeros((rows, *shape))
    y[0] = first * x
    if width == 2:
        y[0] -= noise * rng.standard_normal(shape)
        y[1] = -noise * np.sqrt(chi2(rng, m - 1, shape))
    total = np.zeros_like(y)
    for _ in range(law.local_steps):
        total += y
        change = _times(band, _transposed_times(band, y))
        change[0] += np.square(first) * y[0]
        y -= gain / m * change
    beside = np.sqrt(np.square(_transposed_times(band, total)).sum(axis=0))
    return -gain / m * first * total[0], gain / m * beside


def _transposed_times(band: np.ndarray, y: np.ndarray) -> np.ndarray:
    out = band[0] * y
    for k in range(1, len(band)):
        out[:-k] += band[k, :-k] * y[k:]
    return out


def _times(band: np.ndarray, z: np.ndarray) -> np.ndarray:
    out = band[0] * z
    for k in range(1, len(band)):
        out[k:] += band[k, :-k] * z[:-k]
    return out


def _sum_of_uniform(rng: np.random.Generator, lengths: np.ndarray, dim: int) -> np.ndarray:
    """Length of the sum over clients of vectors of given lengths (T, n) in uniform directions."""
    total = lengths[:, 0]
    if dim < 1:
        return np.zeros_like(total)
    for length in lengths.T[1:]:
        z = rng.standard_normal(total.size)
        cosine = z / np.sqrt(np.square(z) + chi2(rng, dim - 1, total.size))
        square = np.square(total) + np.square(length) + 2.0 * total * length * cosine
        total = np.sqrt(np.maximum(square, 0.0))
    return total

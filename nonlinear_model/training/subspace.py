"""Angles between column spaces, as sines of the largest principal angle, for batches of factors."""

import torch
from torch import Tensor


def basis(A: Tensor) -> Tensor:
    """Orthonormal basis of the columns of A, (…, d, r), by QR in float64."""
    # QR returns columns first; products of rows-first copies (from a checkpoint, say) round differently.
    return torch.linalg.qr(A.double()).Q.contiguous()


def sine(first: Tensor, second: Tensor) -> Tensor:
    """Sine of the largest angle between two subspaces, given by orthonormal bases (…, d, r).

    ||(I − Q₁Q₁ᵀ)Q₂||₂: a norm of what sticks out, so angles of 1e−12 are still seen; an arccos of the
    inner product would return 0 below 1e−8.
    """
    sticking_out = second - first @ (first.transpose(-1, -2) @ second)
    return torch.linalg.matrix_norm(sticking_out, ord=2)

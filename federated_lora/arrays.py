"""The few array operations the rules need, on numpy and torch alike, through the array API."""

from functools import cache
from typing import Any

import array_api_compat as compat

Array = Any
"""A numpy array or a torch tensor. The array API has no common static type."""


def namespace(*arrays: Array) -> Any:
    """The array API namespace of the given arrays; ValueError if they do not come from one library."""
    try:
        return compat.array_namespace(*arrays)
    except TypeError as error:
        kinds = ", ".join(sorted({type(a).__module__ + "." + type(a).__name__ for a in arrays}))
        raise ValueError(
            f"factors must be numpy arrays or torch tensors of one library, got {kinds}"
        ) from error


def dtype_name(array: Array) -> str:
    """The array's type without its library: `float32`, `bfloat16`."""
    return _name(array.dtype)


@cache  # asked of every client in every round
def _name(dtype: Any) -> str:
    return str(dtype).rsplit(".", 1)[-1]


def accumulator(array: Array) -> Array:
    """The array in the precision sums over clients are taken in: float32 for 16-bit floats, else its own."""
    if dtype_name(array) not in {"bfloat16", "float16"}:
        return array
    xp = namespace(array)
    return xp.astype(array, xp.float32)


def like(array: Array, reference: Array) -> Array:
    """`array` in the precision of `reference`."""
    if array.dtype == reference.dtype:
        return array
    return namespace(array).astype(array, reference.dtype)


def swap(array: Array) -> Array:
    """Transpose of the last two axes."""
    return namespace(array).matrix_transpose(array)

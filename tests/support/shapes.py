"""What jaxtyping's import hook checks: annotated arrays, and no other type."""

import sys
from typing import get_args

from beartype import beartype
from jaxtyping import AbstractArray


def arrays_checked(function):
    """The function with the shapes and types of its arrays checked on every call."""
    names = vars(sys.modules[function.__module__])
    kept = {}
    for name, hint in function.__annotations__.items():
        try:
            meant = eval(hint, names) if isinstance(hint, str) else hint  # noqa: S307 - our own source
        except NameError:
            continue  # imported for type checkers only, so no array
        if holds_arrays(meant):
            kept[name] = meant
    function.__annotations__ = kept
    return beartype(function)


def holds_arrays(hint):
    return (isinstance(hint, type) and issubclass(hint, AbstractArray)) or any(
        holds_arrays(inner) for inner in get_args(hint)
    )

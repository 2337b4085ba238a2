"""Choices by name: the sentences a wrong name gets, with the nearest known one suggested."""

from collections.abc import Collection
from difflib import get_close_matches


def one_of(argument: str, name: object, known: Collection[str]) -> str:
    """The name itself if it is known.

    Args:
        argument: what is being chosen, as the user knows it.
        name: the user's choice.
        known: the choices, in the order they are listed.

    Raises:
        ValueError: if it is not; the choices are listed and the nearest one suggested.
    """
    if isinstance(name, str) and name in known:
        return name
    raise ValueError(
        f"{argument} must be one of {', '.join(known)}, got {name!r}{_nearest(name, known)}"
    )


def unknown(kind: str, name: str, known: Collection[str], *, listing: str = "") -> str:
    """One sentence: the name is unknown, the nearest known one, where the list is."""
    where = f" ({listing})" if listing else ""
    return f"unknown {kind} {name!r}{_nearest(name, sorted(known))}{where}"


def _nearest(name: object, known: Collection[str]) -> str:
    near = get_close_matches(str(name), list(known), n=1, cutoff=0.0)
    return f"; did you mean {near[0]!r}?" if near else ""

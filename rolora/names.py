"""Sentences about names nobody knows, with the nearest known one suggested."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def unknown(kind: str, name: str, known: Collection[str], *, listing: str = "") -> str:
    """One sentence: the name is unknown, the nearest known one, where the list is."""
    near = get_close_matches(name, sorted(known), n=1, cutoff=0.0)
    suggestion = f"; did you mean {near[0]!r}?" if near else ""
    where = f" ({listing})" if listing else ""
    return f"unknown {kind} {name!r}{suggestion}{where}"


def one_of(option: str, name: str, known: Collection[str]) -> str:
    """The name itself if it is known.

    Raises:
        ValueError: if it is not; the choices are listed and the nearest one suggested.
    """
    if name in known:
        return name
    near = get_close_matches(name, list(known), n=1, cutoff=0.0)
    raise ValueError(
        f"{option} must be one of {', '.join(known)}, got {name!r}; did you mean {near[0]!r}?"
    )

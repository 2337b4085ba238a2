"""Every claim of the toolkit, and of anybody else: found because it is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from verification.names import unknown

if TYPE_CHECKING:
    from verification.claim import Claim
    from verification.discovery import Found

SOURCES: tuple[str, ...] = (
    "theory", "linear_model.claims", "nonlinear_model.claims", "llm_validation.claims",
)  # fmt: skip
"""Packages whose modules state the toolkit's claims (or `module:name`); importable without torch."""


def entries(more: Sequence[str] = ()) -> tuple[Found[Claim], ...]:
    """Every claim, `more` modules' (or `module:name`) too, and where it was found, in the claims' order.

    Raises ValueError if two claims have the same id, or a further module cannot be imported or has none.
    """
    from verification.claim import Claim
    from verification.discovery import Catalogue

    catalogue: Catalogue[Claim] = Catalogue(
        "claim",
        tuple(source for source in SOURCES if ":" not in source),
        "rolora.claims",
        lambda value: isinstance(value, Claim),
        name=attrgetter("id"),
    )
    return catalogue.entries([*(source for source in SOURCES if ":" in source), *more])


def select(only: Iterable[str], more: Sequence[str] = ()) -> tuple[Found[Claim], ...]:
    """The claims with the given ids, in order; without ids all of the further modules', or all there are.

    Raises ValueError on an unknown id; the nearest one is suggested.
    """
    wanted = list(only)
    everything = entries(more)
    known = {entry.name for entry in everything}
    for claim_id in wanted:
        if claim_id not in known:
            raise ValueError(
                unknown("claim", claim_id, known, listing="`rolora claims` lists them")
            )
    if more and not wanted:
        modules = {place.partition(":")[0] for place in more}
        return tuple(e for e in everything if e.place.partition(":")[0] in modules)
    return tuple(e for e in everything if not wanted or e.name in wanted)


def load(place: str) -> Claim:
    """The claim at `module:name`, or ValueError; used by workers, which import nothing else."""
    from verification.discovery import at

    claim: Claim = at(place)
    return claim

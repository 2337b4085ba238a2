"""Every figure of the toolkit, and of anybody else: found because it is there."""

from collections.abc import Collection

from rolora.plotting.figure import Figure
from verification.discovery import Catalogue, Found, at
from verification.names import unknown

CATALOGUE: Catalogue[Figure] = Catalogue(
    "figure", ("rolora.figures",), "rolora.figures", lambda value: isinstance(value, Figure)
)


def load(name: str) -> Figure:
    """The figure of that name, or at `module:name` (used by workers, which look at nothing else)."""
    found: Figure = at(name) if ":" in name else CATALOGUE.named(name).value
    return found


def select(names: Collection[str]) -> tuple[Found[Figure], ...]:
    """The given figures in the order of presentation; all of them if none is given."""
    places = {name for name in names if ":" in name}
    wanted = set(names) - places | {CATALOGUE.named(place).name for place in places}
    everything = CATALOGUE.entries(places)
    known = [one.name for one in everything]
    for name in sorted(wanted - set(known)):
        raise ValueError(
            unknown("figure", name, known, listing="`rolora figures --list` lists them")
        )
    return tuple(one for one in everything if not wanted or one.name in wanted)

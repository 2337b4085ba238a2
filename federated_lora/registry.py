"""The methods by name: those in `federated_lora/methods`, other packages', and `module:Class`."""

from collections.abc import Collection

from federated_lora.averaging import Method
from verification.discovery import Catalogue
from verification.names import one_of

METHODS: Catalogue[type[Method]] = Catalogue(
    "method",
    ("federated_lora.methods",),
    "rolora.methods",
    lambda one: isinstance(one, type) and issubclass(one, Method) and "name" in vars(one),
)


def method_names() -> tuple[str, ...]:
    """Every name `method_named` knows, with the default of its parameter if it takes one."""
    return tuple(
        one.name if one.value.parameter is None else f"{one.name}:{one.value.parameter}"
        for one in METHODS.entries()
    )


def method_named(
    name: str, rounds: int | None = None, *, argument: str = "method", more: Collection[str] = ()
) -> Method:
    """The method of that name, for a run.

    Args:
        name: `fedavg`, `ffa`, `rolora`; `a-heavy` (one B-round, three A-rounds), `b-heavy`;
            `rolora-then-ffa:20` (the first 20 % of the rounds RoLoRA, then FFA-LoRA with the A found),
            `ffa-then-rolora:20`; or anybody's, as `module:Class`, with `:parameter` if it takes one.
        rounds: length of the run, of which a percentage is taken; None where nobody knows it yet.
        more: names beside these that the user could have meant.

    Raises:
        ValueError: if there is none (the nearest name is suggested), its module cannot be imported,
            or the method cannot be made for such a run.
    """
    parts = name.split(":", 1)
    known = {one.name: one.value for one in METHODS.entries()}
    if parts[0] not in known:
        if len(parts) == 1 or not all(part.isidentifier() for part in parts[0].split(".")):
            one_of(argument, name, (*more, *method_names()))
        place, *rest = parts[1].split(":", 1)
        found = METHODS.named(f"{parts[0]}:{place}", argument)
        known, parts = {found.name: found.value}, [found.name, *rest]
    return known[parts[0]].made(parts[1] if len(parts) > 1 else None, rounds)

"""Every claim of the toolkit, collected from the packages that own them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verification.names import unknown

if TYPE_CHECKING:
    from verification.claim import Claim

PROVIDERS = (
    "theory.registry:claims",
    "linear_model.claims:claims",
    "nonlinear_model.claims:claims",
    "llm_validation.claims.all_claims:claims",
)
"""Where claims come from, in the order of the report: `module:function`, importable without torch."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A claim and the provider that gave it, so that another process can find it again."""

    provider: str
    claim: Claim


def entries(providers: Iterable[str] | None = None) -> tuple[Entry, ...]:
    """Every claim, in the providers' order.

    Args:
        providers: `module:function` strings; None for the toolkit's own.

    Raises:
        ValueError: if two claims have the same id.
    """
    found: dict[str, Entry] = {}
    for provider in PROVIDERS if providers is None else providers:
        for claim in _claims_of(provider):
            if claim.id in found:
                raise ValueError(
                    f"claim ids must be unique, got {claim.id!r} from both "
                    f"{found[claim.id].provider} and {provider}"
                )
            found[claim.id] = Entry(provider, claim)
    return tuple(found.values())


def select(only: Iterable[str]) -> tuple[Entry, ...]:
    """The claims with the given ids (all of them if none is given), in the registry's order.

    Raises:
        ValueError: on an unknown id; the nearest one is suggested.
    """
    wanted = list(only)
    everything = entries()
    known = {entry.claim.id for entry in everything}
    for claim_id in wanted:
        if claim_id not in known:
            raise ValueError(
                unknown("claim", claim_id, known, listing="`rolora claims` lists them")
            )
    return tuple(e for e in everything if not wanted or e.claim.id in wanted)


def load(provider: str, claim_id: str) -> Claim:
    """One claim by its provider and id (used by workers, which import nothing else).

    Raises:
        ValueError: if the provider has no such claim.
    """
    for claim in _claims_of(provider):
        if claim.id == claim_id:
            return claim
    raise ValueError(f"{provider} has no claim {claim_id!r}")


def _claims_of(provider: str) -> tuple[Claim, ...]:
    module_name, _, function = provider.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A laboratory without claims is fine; a laboratory that fails to import is not.
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            return ()
        raise
    if module.__file__ is None:  # a folder without an __init__.py: nothing in it yet
        return ()
    return tuple(getattr(module, function)())

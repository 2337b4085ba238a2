"""The sentence that an option gets under the name it used to have."""

from __future__ import annotations

from collections.abc import Mapping

_NAMES = {
    "alpha": "dirichlet_alpha",
    "participants": "participation, a share of the clients in (0, 1]",
}
_VALUES = {
    "engine": {"batched": "all-at-once", "sequential": "one-by-one"},
    "head": {"fixed": "frozen", "trained": "average"},
    "optimiser_state": {"kept": "keep"},
    "weighting": {"size": "examples"},
}


def refuse_old_names(values: Mapping[str, object]) -> None:
    """Refuse options and values under the names one of the laboratories used to give them.

    Raises:
        ValueError: on the first old one; the sentence says the new one.
    """
    for name, value in values.items():
        if name in _NAMES:
            raise ValueError(f"{name} is now called {_NAMES[name]}")
        now = _VALUES.get(name, {}).get(str(value))
        if now is not None:
            raise ValueError(f"{name} = {value} is now called {name} = {now}")

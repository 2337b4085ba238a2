"""Spectra of the mean target by name, and feature covariances of a given spread."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from verification.names import one_of

SPECTRA: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "flat": lambda place, _: np.ones_like(place),
    "linear": lambda place, last: 1.0 - (1.0 - last) * place,
    "geometric": lambda place, last: last**place,
    "power": lambda place, last: (1.0 + place * (len(place) - 1.0)) ** _exponent(place, last),
}
"""Name to singular values at places from 0 to 1: 1 at first, `last` in the end; flat is 1 throughout."""


def singular_values(name: str, count: int, condition: float) -> Float[np.ndarray, " count"]:
    """The `count` values of a named spectrum from 1 down to 1/condition, for condition ≥ 1.

    flat: all 1. linear: in equal steps. geometric: by equal factors. power: j^(−α), j = 1…count.
    """
    if not condition >= 1.0:
        raise ValueError(f"condition must be at least 1, got {condition!r}")
    place = np.linspace(0.0, 1.0, count)
    return np.asarray(SPECTRA[one_of("spectrum", name, SPECTRA)](place, 1.0 / condition))


def shifted_covariances(
    shift: float, clients: int, d: int, rng: np.random.Generator
) -> Float[np.ndarray, "N d d"]:
    """S_i = I + shift · E_i, E_i symmetric with mean 0 over the clients, the largest eigenvalue ±1.

    Args:
        shift: at least 0 and below 1, where every S_i is positive definite.
    """
    if not 0.0 <= shift < 1.0:
        raise ValueError(f"shift must be at least 0 and below 1, got {shift!r}")
    if clients < 2:
        raise ValueError(f"shift needs at least 2 clients, got {clients}")
    apart = rng.standard_normal((clients, d, d))
    apart += np.swapaxes(apart, 1, 2)
    apart -= apart.mean(axis=0)
    apart /= np.abs(np.linalg.eigvalsh(apart)).max()
    return np.asarray(np.eye(d) + shift * apart)


def _exponent(place: np.ndarray, last: float) -> float:
    return float(np.log(last) / np.log(len(place))) if len(place) > 1 else 0.0

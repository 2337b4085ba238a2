"""Who takes part in a round, and what each participant counts."""

from math import floor, isfinite

import numpy as np

from federated_lora import client_weights


def how_many(clients: int, share: float) -> int:
    """Participants of a round: the share of the clients, halves rounded up, at least one."""
    if not isfinite(share) or not 0.0 < share <= 1.0:
        raise ValueError(f"participation must be above 0 and at most 1, got {share}")
    return max(1, floor(clients * share + 0.5))


def participants(rng: np.random.Generator, clients: int, share: float) -> np.ndarray:
    """The clients of a round, in increasing order, drawn without replacement; no draw if all take part."""
    count = how_many(clients, share)
    if count == clients:
        return np.arange(clients)
    return np.sort(rng.choice(clients, size=count, replace=False))


def weights_of(weighting: str, sizes: np.ndarray) -> np.ndarray:
    """Normalised weights of a round's participants, float64 (n,)."""
    return client_weights(sizes if weighting == "examples" else None, len(sizes))

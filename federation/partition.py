"""Who holds which examples: IID, label-shard and Dirichlet splits of a labelled data set.

Every function returns one array of example indices per client: disjoint, in increasing order, non-empty,
and together all examples. Nothing here reads files or knows what an example is.
"""

from collections.abc import Sequence
from math import isfinite

import numpy as np

Partition = tuple[np.ndarray, ...]
"""One increasing int64 index array per client."""

DIRICHLET_ATTEMPTS = 200
"""Draws of a Dirichlet split before giving up on every client holding enough examples."""


def iid(
    examples: int,
    clients: int,
    rng: np.random.Generator,
    *,
    proportions: Sequence[float] | None = None,
) -> Partition:
    """Shuffle the examples and deal them out, in sizes that differ by at most one or in given proportions.

    Raises ValueError with fewer examples than clients, or proportions that are not N positive numbers.
    """
    _check_counts(examples, clients)
    shares = np.ones(clients) if proportions is None else np.asarray(proportions, dtype=np.float64)
    if shares.shape != (clients,) or not np.all(np.isfinite(shares)) or np.any(shares <= 0.0):
        raise ValueError(
            f"proportions must be {clients} positive numbers, one per client, got {proportions!r}"
        )
    sizes = 1 + apportion(examples - clients, shares)
    order = rng.permutation(examples)
    return _sorted(np.split(order, np.cumsum(sizes)[:-1]))


def shards(
    labels: np.ndarray, clients: int, labels_per_client: int, rng: np.random.Generator
) -> Partition:
    """Give every client the same number of labels, and share a label's examples among its holders.

    The labels are shuffled and dealt in turn, so that 5 clients with 2 labels of 10, or 10 clients with
    1 label, hold disjoint labels. A label held by several clients is split evenly between them.

    Raises ValueError if a client would need more labels than exist, if some label would have no holder,
    or if a label has fewer examples than holders.
    """
    labels, classes = _check_labels(labels, clients)
    if not 1 <= labels_per_client <= classes.size:
        raise ValueError(
            f"labels_per_client must lie between 1 and the number of labels ({classes.size}),"
            f" got {labels_per_client}"
        )
    if clients * labels_per_client < classes.size:
        raise ValueError(
            f"clients × labels_per_client must be at least the number of labels ({classes.size}), or some"
            f" examples belong to nobody, got {clients} × {labels_per_client}"
        )
    dealt = rng.permutation(classes)
    holders: dict[int, list[int]] = {int(label): [] for label in dealt}
    for slot in range(clients * labels_per_client):
        holders[int(dealt[slot % classes.size])].append(slot // labels_per_client)
    held: list[list[np.ndarray]] = [[] for _ in range(clients)]
    for label, owners in holders.items():
        members = rng.permutation(np.flatnonzero(labels == label))
        if members.size < len(owners):
            raise ValueError(
                f"label {label} has {members.size} examples, too few for the {len(owners)} clients that"
                " would share it"
            )
        for owner, part in zip(owners, np.array_split(members, len(owners)), strict=True):
            held[owner].append(part)
    return _sorted([np.concatenate(parts) for parts in held])


def dirichlet(
    labels: np.ndarray, clients: int, alpha: float, rng: np.random.Generator
) -> Partition:
    """Split each label's examples among the clients in proportions drawn from Dirichlet(α, …, α).

    Small α is uneven, large tends to IID. The whole split is drawn again, up to `DIRICHLET_ATTEMPTS` times,
    until every client holds an example: the law is Dirichlet's, conditioned on that. Raises ValueError if α
    is not positive and finite, or if no draw gave every client an example.
    """
    labels, classes = _check_labels(labels, clients)
    if not isfinite(alpha) or alpha <= 0.0:
        raise ValueError(f"alpha must be positive and finite, got {alpha}")
    for _ in range(DIRICHLET_ATTEMPTS):
        held: list[list[np.ndarray]] = [[] for _ in range(clients)]
        for label in classes:
            members = rng.permutation(np.flatnonzero(labels == label))
            sizes = apportion(members.size, rng.dirichlet(np.full(clients, alpha)))
            for owner, part in enumerate(np.split(members, np.cumsum(sizes)[:-1])):
                held[owner].append(part)
        parts = [np.concatenate(pieces) for pieces in held]
        if all(part.size for part in parts):
            return _sorted(parts)
    raise ValueError(
        f"alpha = {alpha} left a client without examples in each of"
        f" {DIRICHLET_ATTEMPTS} draws: raise alpha or lower the number of clients ({clients})"
    )


def apportion(total: int, shares: np.ndarray) -> np.ndarray:
    """Whole numbers of sum `total`, as near as can be to shares (n,), not all zero: largest remainders."""
    exact = total * (shares / shares.sum())
    sizes = np.floor(exact).astype(np.int64)
    # A stable sort settles ties by position, so equal shares give sizes that differ by at most one.
    largest = np.argsort(-(exact - sizes), kind="stable")
    sizes[largest[: total - int(sizes.sum())]] += 1
    return sizes


def _check_counts(examples: int, clients: int) -> None:
    if clients < 1:
        raise ValueError(f"clients must be at least 1, got {clients}")
    if examples < clients:
        raise ValueError(
            f"clients must not exceed the number of examples ({examples}), got {clients}"
        )


def _check_labels(labels: np.ndarray, clients: int) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(labels)
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"labels must be a one-dimensional integer array, got {values.dtype} of shape {values.shape}"
        )
    _check_counts(values.size, clients)
    return values, np.unique(values)


def _sorted(parts: Sequence[np.ndarray]) -> Partition:
    return tuple(np.sort(part).astype(np.int64) for part in parts)

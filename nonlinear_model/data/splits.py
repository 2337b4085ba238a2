"""Which client holds which training images: the study's splits, their sizes and weights."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np

from federation.partition import Partition, dirichlet, iid, shards
from verification.names import one_of

SPLITS = ("shards", "iid", "dirichlet")


@dataclass(frozen=True, slots=True)
class SplitRule:
    """How training images are dealt to clients.

    Attributes:
        kind: `shards` (by label: the paper's), `iid`, or `dirichlet`.
        clients: number of clients N ≥ 1.
        labels_per_client: for shards; None for labels ÷ clients, rounded up (at least 1).
        dirichlet_alpha: for dirichlet, concentration α > 0.
        proportions: for iid: relative client sizes; None for equal ones.
        equal_sizes: cut every client's images (at random) to the smallest client's number.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """

    kind: str = "shards"
    clients: int = 5
    labels_per_client: int | None = None
    dirichlet_alpha: float = 0.5
    proportions: tuple[float, ...] | None = None
    equal_sizes: bool = False

    def __post_init__(self) -> None:
        one_of("split", self.kind, SPLITS)
        if isinstance(self.clients, bool) or not isinstance(self.clients, int) or self.clients < 1:
            raise ValueError(f"clients must be a whole number of at least 1, got {self.clients!r}")
        if self.labels_per_client is not None and self.labels_per_client < 1:
            raise ValueError(
                f"labels_per_client must be at least 1, got {self.labels_per_client}: a client"
                " without data cannot train"
            )
        if not isfinite(self.dirichlet_alpha) or self.dirichlet_alpha <= 0.0:
            raise ValueError(
                f"dirichlet_alpha must be positive and finite, got {self.dirichlet_alpha}"
            )
        if self.proportions is not None and self.kind != "iid":
            raise ValueError(f"proportions go with the iid split only, got split {self.kind!r}")

    def divide(self, labels: np.ndarray, rng: np.random.Generator) -> Partition:
        """Index arrays into the training set, one per client, disjoint and non-empty.

        Args:
            labels: training labels, int64 array of shape (n,).
            rng: source of the dealing.

        Raises:
            ValueError: if the rule cannot be carried out on these labels.
        """
        if self.kind == "iid":
            parts = iid(labels.size, self.clients, rng, proportions=self.proportions)
        elif self.kind == "dirichlet":
            parts = dirichlet(labels, self.clients, self.dirichlet_alpha, rng)
        else:
            classes = np.unique(labels).size
            each = self.labels_per_client or max(1, -(-classes // self.clients))
            parts = shards(labels, self.clients, each, rng)
        if self.equal_sizes:
            smallest = min(part.size for part in parts)
            parts = tuple(np.sort(rng.permutation(part)[:smallest]) for part in parts)
        return parts


def label_counts(parts: Partition, labels: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each label a client holds: int64 array of shape (clients, classes)."""
    return np.stack([np.bincount(labels[part], minlength=classes) for part in parts])


def picture(counts: np.ndarray) -> str:
    """The split as text for a terminal: one row per client, darker for more images of a label.

    Args:
        counts: as `label_counts` returns.
    """
    shades = " ░▒▓█"
    top = max(int(counts.max()), 1)
    header = "client " + " ".join(f"{label:>2}" for label in range(counts.shape[1])) + "  images"
    lines = [header]
    for client, row in enumerate(counts):
        cells = " ".join(shades[-(-4 * int(count) // top)] * 2 for count in row)
        lines.append(f"{client:>6} {cells}  {int(row.sum()):>6}")
    return "\n".join(lines)


def figure(counts: np.ndarray, title: str = "") -> object:
    """The split as a matplotlib figure: clients down, labels across, image counts as colour.

    Args:
        counts: as `label_counts` returns.
        title: heading, "" for none.

    Returns:
        A `matplotlib.figure.Figure`, made without global state.
    """
    from matplotlib.figure import Figure

    clients, classes = counts.shape
    drawing = Figure(figsize=(5.5, min(1.2 + 0.22 * clients, 7.0)), layout="constrained")
    axes = drawing.add_subplot()
    image = axes.imshow(counts, cmap="cividis", aspect="auto", interpolation="nearest", vmin=0)
    axes.set(xlabel="label", ylabel="client", title=title)
    axes.set_xticks(range(classes))
    if clients <= 20:
        axes.set_yticks(range(clients))
    drawing.colorbar(image, ax=axes, label="training images")
    return drawing

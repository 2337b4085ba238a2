"""Which client holds which training images: counted, and drawn."""

import numpy as np

from federation.partition import Partition


def label_counts(parts: Partition, labels: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each label a client holds: int64 array of shape (clients, classes)."""
    return np.stack([np.bincount(labels[part], minlength=classes) for part in parts])


def picture(counts: np.ndarray) -> str:
    """The split as text for a terminal: one row per client, darker for more images of a label."""
    shades = " ░▒▓█"
    top = max(int(counts.max()), 1)
    header = "client " + " ".join(f"{label:>2}" for label in range(counts.shape[1])) + "  images"
    lines = [header]
    for client, row in enumerate(counts):
        cells = " ".join(shades[-(-4 * int(count) // top)] * 2 for count in row)
        lines.append(f"{client:>6} {cells}  {int(row.sum()):>6}")
    return "\n".join(lines)


def figure(counts: np.ndarray, title: str = "") -> object:
    """The split as a matplotlib figure of its own: clients down, labels across, image counts as colour."""
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

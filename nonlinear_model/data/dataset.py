"""A labelled image data set as plain arrays."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as rows in [0, 1], and their labels 0 … classes − 1.

    Attributes:
        train_x: float32 array of shape (n, d).
        train_y: int64 array of shape (n,).
        test_x: float32 array of shape (n_test, d).
        test_y: int64 array of shape (n_test,).
    """

    name: str
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def __post_init__(self) -> None:
        for part, x, y in (
            ("train", self.train_x, self.train_y),
            ("test", self.test_x, self.test_y),
        ):
            if x.ndim != 2 or y.shape != (x.shape[0],) or x.shape[0] == 0:
                raise ValueError(
                    f"{part} images must be (n, d) with n labels, got {x.shape} and {y.shape}"
                )
        if self.train_x.shape[1] != self.test_x.shape[1]:
            raise ValueError(
                f"train and test images must be equally wide, got {self.train_x.shape[1]}"
                f" and {self.test_x.shape[1]}"
            )

    @property
    def width(self) -> int:
        """Number of pixels d."""
        return int(self.train_x.shape[1])

    @property
    def digest(self) -> str:
        """Hash of every image and label, to know the same data again."""
        found = hashlib.sha256()
        for array in (self.train_x, self.train_y, self.test_x, self.test_y):
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()[:16]

    @property
    def classes(self) -> int:
        """Number of labels."""
        return int(max(self.train_y.max(), self.test_y.max())) + 1


@dataclass(frozen=True)
class Images:
    """A data set by name; an instance at the top of a module of `nonlinear_model.data` is found there.

    Attributes:
        read: its images, from a data folder (None for ROLORA_DATA_DIR), downloaded if that is allowed.
    """

    name: str
    read: Callable[[Path | None, bool], Dataset]
    order: int = 1000

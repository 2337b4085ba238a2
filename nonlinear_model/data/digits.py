"""The 8 × 8 digits that ship with scikit-learn: 1,797 images, no files, no network."""

import numpy as np

from nonlinear_model.data.dataset import Dataset, Images

TEST_EVERY = 3
"""Every third image of each label is a test image: a fixed split, with all labels on both sides."""


def load() -> Dataset:
    """Digits with pixels divided by 16: about 1,200 training and 600 test images of 64 pixels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = np.ascontiguousarray(images / 16.0, dtype=np.float32)
    y = labels.astype(np.int64)
    rank_in_label = np.zeros(y.size, dtype=np.int64)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        rank_in_label[members] = np.arange(members.size)
    test = rank_in_label % TEST_EVERY == TEST_EVERY - 1
    return Dataset("digits", x[~test], y[~test], x[test], y[test])


DIGITS = Images("digits", lambda _data_dir, _download: load(), order=20)

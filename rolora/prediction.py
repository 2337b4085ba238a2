"""`rolora.predict`: a prediction from options, or from real features whose model is estimated first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from federation import partition
from linear_model.prediction import features as estimated
from linear_model.prediction.predict import predict as found
from linear_model.prediction.result import Prediction
from linear_model.prediction.setting import Setting
from verification.names import one_of
from verification.streams import generator

if TYPE_CHECKING:
    from nonlinear_model.data.dataset import Dataset

DECIDED = ("d", "outputs", "noise", "heterogeneity")
"""Options that features decide, and `clients` where they are a folder's."""
SPLITS = ("label", "iid")


def predict(
    *,
    features: str | Path | None = None,
    dataset: str | None = None,
    split: str = "label",
    data_dir: str | Path | None = None,
    download: bool = False,
    **setting: Any,
) -> Prediction:
    """Predict from options; with a folder of features or a data set, from what is estimated of those.

    Args:
        features: folder with an .npz file (arrays X and Y) for each client.
        dataset: digits, mnist, or another the two-layer study knows; targets are labels, one of p each.
        split: how the data set is dealt to `clients`: label (each its own labels), or iid.
        data_dir: folder with the data set's files.
        download: whether to fetch them if they are missing.
    """
    one_of("split", split, SPLITS)
    if dataset is None and split != SPLITS[0]:
        raise ValueError(f"split {split} is for a dataset, and none is given")
    if features is None and dataset is None:
        return found(Setting.read(setting))
    if features is not None and dataset is not None:
        raise ValueError(f"give features or dataset, got {features} and {dataset}")
    _refuse(setting, (*DECIDED, "clients") if features is not None else DECIDED)
    if features is not None:
        model = estimated.estimate(*estimated.read(features))
    else:
        from nonlinear_model.data import registry

        asked = Setting.read(setting)  # refused before any work
        folder = None if data_dir is None else Path(data_dir)
        model = estimated.estimate(
            *_dealt(registry.load(str(dataset), folder, download=download), split, asked)
        )
    whole = Setting.read({**model.values, **setting})
    return found(whole, model.targets, model.seen)


def _refuse(setting: Mapping[str, Any], decided: tuple[str, ...]) -> None:
    for name in decided:
        if name in setting:
            raise ValueError(
                f"{name} follows from the features, got {setting[name]!r}; leave it out"
            )


def _dealt(
    data: Dataset, split: str, setting: Setting
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A data set's images and one-of-p labels, client by client."""
    rng = generator(setting.seed, "prediction", "deal")
    if split == "iid":
        parts = partition.iid(data.train_y.size, setting.clients, rng)
    else:
        each = max(data.classes // setting.clients, 1)
        parts = partition.shards(data.train_y, setting.clients, each, rng)
    labels = np.eye(data.classes)[data.train_y]
    return [data.train_x[part] for part in parts], [labels[part] for part in parts]

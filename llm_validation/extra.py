"""Says in one sentence what to install where the `llm` extra is missing."""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("torch", "transformers", "peft", "datasets", "safetensors")


class MissingExtraError(ValueError):
    """The packages of the `llm` extra are not installed."""


def require_extra() -> None:
    """Check that everything the language-model part needs can be imported.

    Raises:
        MissingExtraError: naming what is missing and the command that installs it.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"the language-model part needs {', '.join(missing)}: pip install 'rolora-verify[llm]'"
        )

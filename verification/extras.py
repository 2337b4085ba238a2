"""Packages that come with an extra, and the one sentence that names the extra where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

EXTRAS = {
    "nonlinear": ("torch", "safetensors", "sklearn", "tqdm"),
    "llm": ("torch", "safetensors", "transformers", "peft", "datasets", "accelerate"),
}
"""Extras of rolora-verify and the modules each brings, the lighter extra first."""


class MissingExtraError(ValueError, ImportError):
    """A package that only an extra brings is not installed."""


def require(extra: str) -> None:
    """Check that everything an extra brings can be imported, without importing it.

    Raises:
        MissingExtraError: naming what is missing and the command that installs it.
    """
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise MissingExtraError(_sentence(", ".join(missing), extra))


@contextmanager
def named() -> Iterator[None]:
    """Name the extra wherever an import inside fails for want of it.

    Raises:
        MissingExtraError: in place of ModuleNotFoundError, if an extra brings the module.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        extra = next((extra for extra, brought in EXTRAS.items() if name in brought), None)
        if extra is None:
            raise
        raise MissingExtraError(_sentence(name, extra)) from error


def _sentence(missing: str, extra: str) -> str:
    return f"this needs {missing}: pip install 'rolora-verify[{extra}]'"

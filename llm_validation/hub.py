"""Fails in seconds where the model hub cannot be reached, and says how to work without it."""

import os
import urllib.error
import urllib.request

SECONDS = 5.0
"""How long a first answer of the hub is waited for."""


def offline() -> bool:
    """True if the user asked for no network."""
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value.upper() in {"1", "ON", "YES", "TRUE"} for value in values)


def require_hub(what: str, instead: str) -> None:
    """Check that the hub answers, before the client library starts its minute of retries."""
    if offline():
        raise ValueError(f"{what} is not here and HF_HUB_OFFLINE forbids the hub: give {instead}")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        request = urllib.request.Request(endpoint, method="HEAD")
        with urllib.request.urlopen(request, timeout=SECONDS):
            return
    except urllib.error.HTTPError:
        return  # it answered
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{what} is not here and the hub {endpoint} cannot be reached: give {instead}"
        ) from error

"""What tells one base's weights from another's of the same name."""

import hashlib
from typing import Any

import torch

from llm_validation.base.base_model import HEADS

SAMPLED = 256
"""Numbers of each tensor that are looked at, spread over it: a base of 7e9 takes a moment, not minutes."""


def base_digest(base: Any) -> str:
    """Hash of names, shapes and some numbers of the frozen weights, the drawn head and adapters left out."""
    found = hashlib.sha256()
    for name, weight in sorted(base.named_parameters()):
        parts = name.split(".")
        if any(part in HEADS or part.startswith("lora_") for part in parts):
            continue
        plain = ".".join(part for part in parts if part != "base_layer")
        found.update(f"{plain} {tuple(weight.shape)} {weight.dtype}\n".encode())
        flat = weight.detach().reshape(-1)
        some = flat[:: max(1, flat.numel() // SAMPLED)][:SAMPLED]
        found.update(some.to("cpu", torch.float64).numpy().tobytes())
    return found.hexdigest()[:16]

"""What a base model must be before a run is started on it; a wrong one is refused in one sentence."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from llm_validation.config import Config
from llm_validation.hub import require_hub

HEADS = ("classifier", "score")
"""Names of classification heads that PEFT trains beside the adapter."""
_POSITIONS = ("position_embeddings", "embed_positions", "wpe")


def check_checkpoint(model: str) -> None:
    """Refuse what cannot be loaded, before loading it.

    That is a local folder without a checkpoint or with a truncated weight file, a name that can be no hub id,
    and one that is not in the local cache while the hub does not answer.
    """
    folder = Path(model)
    if not folder.is_dir():
        if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
            raise ValueError(f"model folder {model} does not exist")
        _check_id(model)
        return
    if not (folder / "config.json").is_file():
        raise ValueError(f"model folder {model} is no checkpoint: it has no config.json")
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not weights:
        raise ValueError(f"model folder {model} is no checkpoint: it has no weight file")
    for path in weights:
        _check_weights(path)


def require_causal(model: str, settings: Any) -> None:
    """Refuse an encoder for a task that continues text: it would see the token it is to predict."""
    from transformers.models.auto import modeling_auto

    both_ways = settings.model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if both_ways and not getattr(settings, "is_decoder", False):
        raise ValueError(
            f"model {model} ({settings.model_type}) reads text in both directions; this task needs a causal"
            " language model, such as Llama"
        )


def require_vocabulary(model: str, tokenizer: Any) -> None:
    """Refuse a tokenizer without words, which transformers makes up where a folder holds none."""
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        raise ValueError(
            f"model {model} has no tokenizer: its vocabulary is empty, so every word would be unknown"
        )


def require_complete(model: str, base: nn.Module, missing: list[str]) -> None:
    """Refuse weight files that lack tensors of the transformer itself, which would stay random.

    Transformers found no weights for the `missing`: a head, and the pooler some encoders are published
    without, may be among them.
    """
    prefix = getattr(base, "base_model_prefix", "") + "."
    lacking = [name for name in sorted(missing) if name.startswith(prefix) and "pooler" not in name]
    if lacking:
        raise ValueError(
            f"model {model} is no checkpoint of its config.json: {len(lacking)} tensors are missing from its"
            f" weight files, {lacking[0]} among them"
        )


def require_positions(config: Config, base: nn.Module, longest: int) -> None:
    """Check that the model has a learned position for every token of the data."""
    for name, module in base.named_modules():
        if isinstance(module, nn.Embedding) and name.rsplit(".", 1)[-1] in _POSITIONS:
            # RoBERTa counts positions from its padding id on.
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
            most = module.num_embeddings - offset
            if longest > most:
                raise ValueError(
                    f"max_length must be at most {most}, the positions {config.model} has: an example is"
                    f" {longest} tokens long at max_length = {config.max_length}"
                )


def head_parts(linear: Mapping[str, Any]) -> set[str]:
    """Those of the named layers that belong to a classification head."""
    return {name for name in linear if set(name.split(".")) & set(HEADS)}


def _check_id(model: str) -> None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(model, "config.json")
    except HFValidationError as error:
        raise ValueError(f"model {model!r} is neither a local folder nor a hub id") from error
    if not isinstance(cached, str):
        require_hub(f"model {model}", "--model with a local folder")


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if path.suffix == ".bin":
        with path.open("rb") as opened:
            begins_as_zip = opened.read(2) == b"PK"
        # Torch's archive has its directory at the end: a truncated one is no archive.
        if begins_as_zip and not zipfile.is_zipfile(path):
            raise ValueError(f"weight file {path} is truncated or corrupt")
        return
    try:
        with safe_open(path, framework="pt") as opened:
            opened.keys()
    except (SafetensorError, OSError) as error:
        raise ValueError(f"weight file {path} is truncated or corrupt: {error}") from error
